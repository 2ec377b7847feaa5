"""The worker of one call: regularise, and leave the reference in the job's private folder.

It runs in a process of its own, so that whatever befalls it, the plain reconstruction can still be given
to RELION.
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
from relion_external.halves import GpuLock, JointWork
from relion_external.inputs import CallInputs, read_all
from relion_external.options import with_variable
from relion_external.process import available_cores, end_with_parent, log_to_standard_error
from relion_external.workspace import ERROR, Workspace
from spisonet.errors import SpisonetError
from spisonet.io.atomic import write_json
from spisonet.io.mrc import Volume, write_volume
from spisonet.learning.checkpoint import load_network, save_network
from spisonet.learning.devices import choose_devices, use_cpu_threads
from spisonet.learning.memory import GIGABYTE, Memory
from spisonet.learning.training_config import NETWORKS, TrainingConfig, fitting_cube_size
from spisonet.misalignment.regularisation import RegularisedReference, regularise

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from relion_external.call import ReconstructCall
    from spisonet.learning.unet import Network
    from spisonet.misalignment.backprojection import BackProjector


log = logging.getLogger("spisonet")


def main() -> None:
    """Correct the call whose STAR file is the only argument."""
    log_to_standard_error()
    end_with_parent()
    call = read_call(Path(sys.argv[1]))
    try:
        _correct(call)
    except SpisonetError as error:
        write_json(Workspace(call).facts, {ERROR: with_variable(error)})
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
        joint = JointWork(workspace.folder, call, inputs.refinement.has("--sequential_halves_recons"))
        with joint as partner_star:
            if partner_star is not None and call.half == 1:
                with lock:
                    partner = read_back_projector(
                        read_call(partner_star),
                        inputs.refinement.data_dimensionality,
                        inputs.refinement.prior_from_shell,
                    )
                    mine, its = _regularise(inputs, memory, [partner])
                _write(mine, workspace.result, inputs, started, joint=True)
                _write(its, workspace.for_partner, inputs, started, joint=True)
                joint.done()
                _keep_network(mine, workspace, inputs, joint=True)
                return
            if partner_star is not None and joint.wait_for_result():
                workspace.for_partner.with_suffix(".facts.json").replace(workspace.facts)
                workspace.for_partner.replace(workspace.result)
                return
    with lock:
        (result,) = _regularise(inputs, memory, [])
    _write(result, workspace.result, inputs, started, joint=False)
    _keep_network(result, workspace, inputs, joint=False)


def _device(option: str | None, half: int | None) -> torch.device:
    """Return the first GPU or, of several, the half's own."""
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
    training_config = TrainingConfig(
        objective=settings.objective,
        epochs=settings.epochs,
        n_subvolume=settings.n_subvolume,
        cube_size=fitting_cube_size(settings.cube_size, call.box),
        filter_base=settings.filter_base,
        acc_batches=settings.acc_batches,
        seed=settings.seed + 2 * call.iteration + (call.half or 0),
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        predict_crop_size=settings.predict_crop_size,
        alpha=settings.alpha,
        beta=settings.beta,
    )
    start = None if settings.retrain_each_iter else _last_network(inputs, joint=bool(others))
    halves = [inputs.sums, *others]
    return regularise(
        halves,
        inputs.assessment,
        inputs.voxel_size_angstrom,
        inputs.prior(),
        settings,
        training_config,
        memory,
        start,
    )


def _last_network(inputs: CallInputs, joint: bool) -> Network | None:
    """Return the network of the last iteration; never one of joint work for a half alone."""
    path = Workspace(inputs.call).network(1, joint)
    if not path.is_file():
        return None
    try:
        network, _ = load_network(path, inputs.settings.filter_base)
    except SpisonetError as error:
        log.info("Training starts from scratch: %s", error)
        return None
    return network if isinstance(network, NETWORKS[inputs.settings.objective]) else None


def _keep_network(
    result: RegularisedReference, workspace: Workspace, inputs: CallInputs, joint: bool
) -> None:
    """Keep the weights for the next iteration, if it starts from them, and drop the last ones."""
    if inputs.settings.retrain_each_iter or result.network is None:
        return
    save_network(workspace.network(0, joint), result.network, {"trained_on": str(inputs.call.star)})
    workspace.network(1, joint).unlink(missing_ok=True)


def _write(result: RegularisedReference, path: Path, inputs: CallInputs, started: float, joint: bool) -> None:
    if not np.isfinite(result.reference).all() or not result.reference.any():
        raise SpisonetError("the regularised reference is empty or not finite.")
    write_volume(path, Volume(result.reference, inputs.voxel_size_angstrom))
    facts = {
        "seconds": time.monotonic() - started,
        "loss": result.losses[-1] if result.losses else None,
        "resolution": inputs.assessment.resolution_angstrom,
        "sparse": inputs.assessment.undersampled_fraction,
        "hidden": result.hidden_share,
        "inferred": result.inferred_share,
        "direction": result.inferred_angle_degrees,
        "joint": joint,
        "kept": inputs.refinement.initial_low_pass_angstrom if inputs.keeps_low_resolutions else None,
    }
    write_json(path.with_suffix(".facts.json"), facts)


if __name__ == "__main__":
    main()
