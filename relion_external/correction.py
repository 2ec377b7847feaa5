"""The correction of one call: regularise, and write the reference into the job's private folder.

If this process fails or is killed, its parent still gives RELION the uncorrected map.
"""

from __future__ import annotations

import logging
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from relion_external.call import read_back_projector, read_call
from relion_external.halves import GpuLock, JointCorrection
from relion_external.inputs import CallInputs, read_all
from relion_external.options import with_variable
from relion_external.workspace import Workspace
from spisonet.errors import SpisonetError
from spisonet.io.atomic import write_json
from spisonet.io.labels import COUPLED, INDEPENDENT, SINGLE
from spisonet.io.mrc import Volume, write_volume
from spisonet.io.processors import available_cores
from spisonet.learning.checkpoint import load_network, save_network
from spisonet.learning.devices import choose_devices, use_cpu_threads
from spisonet.learning.memory import GIGABYTE, Memory
from spisonet.learning.training_config import NETWORK_OF_OBJECTIVE, TrainingConfig, fitting_cube_size
from spisonet.misalignment.regularisation import RegularisedReference, regularise

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from relion_external.call import ReconstructCall
    from spisonet.learning.unet import Network
    from spisonet.misalignment.backprojection import BackProjector


log = logging.getLogger("spisonet")


def main() -> None:
    """Correct the call whose STAR file is the only argument."""
    call = read_call(Path(sys.argv[1]))
    try:
        _correct(call)
    except SpisonetError as error:
        record = error.as_record() | {"message": with_variable(error)}
        try:
            write_json(Workspace(call).result, {"error": record})
        except SpisonetError as unwritten:  # on a full disk, for instance
            sys.exit(f"spisonet: {record['message']} {unwritten}")
        sys.exit(1)


def _correct(call: ReconstructCall) -> None:
    started = time.monotonic()
    inputs = read_all(call)
    settings, workspace = inputs.settings, Workspace(call)
    ranks = 1 if call.half is None else 2
    use_cpu_threads(settings.ncpus or max(1, available_cores() // ranks))
    device = _device(settings.device, call.half)
    memory = Memory(device, None if settings.memory_limit is None else settings.memory_limit * GIGABYTE)
    memory.enforce()
    lock: AbstractContextManager[object] = GpuLock(device) if device.type == "cuda" else nullcontext()
    if settings.joint and call.half is not None:
        sequential = inputs.refinement.has("--sequential_halves_recons")
        joint = JointCorrection(workspace.folder, call, sequential)
        with joint as other_star:
            if other_star is not None and call.half == 1:
                with lock:
                    other = read_back_projector(
                        read_call(other_star),
                        inputs.refinement.data_dimensionality,
                        inputs.refinement.minres_map,
                    )
                    half1, half2 = _regularise(inputs, memory, [other])
                _write(half1, workspace.reference, workspace.result, inputs, started, COUPLED)
                _write(half2, workspace.half2_reference, workspace.half2_result, inputs, started, COUPLED)
                joint.announce_result()
                _keep_network(half1, workspace, inputs, joint=True)
                return
            if other_star is not None and joint.wait_for_result():
                workspace.half2_result.replace(workspace.result)
                workspace.half2_reference.replace(workspace.reference)
                return
    with lock:
        (regularised,) = _regularise(inputs, memory, [])
    halves = SINGLE if call.half is None else INDEPENDENT
    _write(regularised, workspace.reference, workspace.result, inputs, started, halves)
    _keep_network(regularised, workspace, inputs, joint=False)


def _device(option: str | None, half: int | None) -> torch.device:
    """Return the chosen device or, of several GPUs, one for each half."""
    if option is not None:
        return choose_devices(option)[0]
    n_gpus = torch.cuda.device_count()
    if n_gpus > 1:
        return torch.device("cuda", ((half or 1) - 1) % n_gpus)
    return choose_devices()[0]


def _regularise(
    inputs: CallInputs, memory: Memory, others: list[BackProjector]
) -> list[RegularisedReference]:
    settings, call = inputs.settings, inputs.call
    training_config = TrainingConfig.from_options(
        settings,
        cube_size=fitting_cube_size(settings.cube_size, call.box),
        seed=settings.seed + 2 * call.iteration + (call.half or 0),
    )
    start = None if settings.retrain_each_iter else _previous_network(inputs, joint=bool(others))
    return regularise(
        [inputs.back_projector, *others],
        inputs.check,
        inputs.voxel_size_angstrom,
        inputs.prior(),
        settings,
        training_config,
        memory,
        start,
    )


def _previous_network(inputs: CallInputs, joint: bool) -> Network | None:
    """Return the network of the previous iteration; a half alone never starts from a joint one."""
    path = Workspace(inputs.call).network(1, joint)
    if not path.is_file():
        return None
    try:
        network, _ = load_network(path, inputs.settings.filter_base)
    except SpisonetError as error:
        log.info("Training starts from scratch: %s", error)
        return None
    return network if isinstance(network, NETWORK_OF_OBJECTIVE[inputs.settings.objective]) else None


def _keep_network(
    regularised: RegularisedReference, workspace: Workspace, inputs: CallInputs, joint: bool
) -> None:
    """Write the weights if the next iteration starts from them; remove those of the previous one."""
    if inputs.settings.retrain_each_iter or regularised.network is None:
        return
    save_network(workspace.network(0, joint), regularised.network, {"trained_on": str(inputs.call.star)})
    workspace.network(1, joint).unlink(missing_ok=True)


def _write(
    regularised: RegularisedReference,
    reference_path: Path,
    result_path: Path,
    inputs: CallInputs,
    started: float,
    halves: str,
) -> None:
    if not np.isfinite(regularised.reference).all() or not regularised.reference.any():
        raise SpisonetError("the regularised reference is empty or not finite.", code="reference_not_finite")
    write_volume(reference_path, Volume(regularised.reference, inputs.voxel_size_angstrom))
    kept = inputs.refinement.initial_low_pass_angstrom if inputs.keeps_low_resolutions else None
    judged = inputs.settings.keep_lowres != "no" and (kept or inputs.may_keep_low_resolutions)
    reference = inputs.reference_check if judged else None
    metrics = {
        "seconds": time.monotonic() - started,
        "loss": regularised.losses[-1] if regularised.losses else None,
        "resolution_angstrom": inputs.check.resolution_angstrom,
        "undersampled_fraction": inputs.check.undersampled_fraction,
        "unmeasured_fraction": regularised.unmeasured_fraction,
        "inferred_fraction": regularised.inferred_fraction,
        "inferred_angle_degrees": regularised.inferred_angle_degrees,
        "initial_reference_to_angstrom": kept,
        "initial_reference_class": reference.category if reference else None,
        "initial_reference_agreement": reference.agreement if reference else None,
        "kept_fraction_of_change": regularised.kept_fraction_of_change if kept else None,
    }
    write_json(result_path, {"metrics": metrics, "halves": halves})
