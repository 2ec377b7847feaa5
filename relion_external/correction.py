"""The worker of one call: regularise, and leave the reference in the job's private folder.

It runs in a process of its own, so that whatever befalls it, the plain reconstruction can still be given
to RELION.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from relion_external.call import read_backprojection, read_call
from relion_external.halves import GpuLock, JointWork
from relion_external.inputs import CallInputs, read_all
from relion_external.process import end_with_parent, log_to_standard_error
from relion_external.workspace import ERROR, Workspace
from spisonet.errors import SpisonetError
from spisonet.io.config import write_json
from spisonet.io.mrc import Volume, write_volume
from spisonet.learning.checkpoint import load_network, save_network
from spisonet.learning.devices import choose_devices, use_cpu_threads
from spisonet.learning.memory import GIGABYTE, Memory
from spisonet.learning.recipe import Recipe, fitting_cube_size
from spisonet.misalignment.regularisation import Regularised, regularise

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from relion_external.call import ReconstructCall
    from spisonet.learning.unet import Network
    from spisonet.misalignment.backprojection import Backprojection


def main() -> None:
    """Correct the call whose STAR file is the only argument."""
    log_to_standard_error()
    end_with_parent()
    call = read_call(Path(sys.argv[1]))
    try:
        _correct(call)
    except SpisonetError as error:
        write_json(Workspace(call).facts, {ERROR: str(error)})
        sys.exit(1)


def _correct(call: ReconstructCall) -> None:
    started = time.monotonic()
    inputs = read_all(call)
    settings, workspace = inputs.settings, Workspace(call)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    ranks = 1 if call.half is None else 2
    use_cpu_threads(settings.ncpus or max(1, cores // ranks))
    device = _device(settings.device, call.half)
    memory = Memory(device, None if settings.memory_limit is None else settings.memory_limit * GIGABYTE)
    memory.enforce()
    lock: AbstractContextManager[object] = GpuLock(device) if device.type == "cuda" else nullcontext()
    if settings.joint and call.half is not None:
        joint = JointWork(workspace.folder, call, inputs.refinement.has("--sequential_halves_recons"))
        with joint as partner_star:
            if partner_star is not None and call.half == 1:
                partner = read_call(partner_star)
                with lock:
                    mine, its = _regularise(inputs, memory, [read_backprojection(partner)])
                _write(its, Workspace(partner), inputs, started, joint=True)
                joint.done()
                _write(mine, workspace, inputs, started, joint=True)
                return
            if partner_star is not None and joint.wait_for_result():
                return
    with lock:
        (result,) = _regularise(inputs, memory, [])
    _write(result, workspace, inputs, started, joint=False)


def _device(option: str | None, half: int | None) -> torch.device:
    """Return the first GPU or, of several, the half's own."""
    if option is not None:
        return choose_devices(option)[0]
    n_gpus = torch.cuda.device_count()
    if n_gpus > 1:
        return torch.device("cuda", ((half or 1) - 1) % n_gpus)
    return choose_devices()[0]


def _regularise(inputs: CallInputs, memory: Memory, others: list[Backprojection]) -> list[Regularised]:
    settings, call = inputs.settings, inputs.call
    recipe = Recipe(
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
    before = Workspace(call).network
    start: Network | None = None
    if not settings.retrain_each_iter and before.is_file():
        start = load_network(before, settings.filter_base)
    halves = [inputs.sums, *others]
    return regularise(
        halves,
        inputs.assessment,
        inputs.voxel_size_angstrom,
        inputs.prior(),
        settings,
        recipe,
        memory,
        start,
    )


def _write(
    result: Regularised, workspace: Workspace, inputs: CallInputs, started: float, joint: bool
) -> None:
    if result.network is not None:
        save_network(workspace.network, result.network, {"trained_on": str(inputs.call.star)})
    if not np.isfinite(result.reference).all() or not result.reference.any():
        raise SpisonetError("the regularised reference is empty or not finite.")
    write_volume(workspace.result, Volume(result.reference, inputs.voxel_size_angstrom))
    facts = {
        "seconds": time.monotonic() - started,
        "loss": result.losses[-1] if result.losses else None,
        "resolution": inputs.assessment.resolution_angstrom,
        "sparse": inputs.assessment.sparse_share,
        "hidden": result.hidden_share,
        "inferred": result.inferred_share,
        "direction": result.inferred_angle_degrees,
        "joint": joint,
    }
    write_json(workspace.facts, facts)


if __name__ == "__main__":
    main()
