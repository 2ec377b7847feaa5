"""Estimated duration of a training, from the speed of earlier jobs or of this machine."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.gui.forms import config_model
from spisonet.io.events import read_progress
from spisonet.io.tomogram_table import TomogramTable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from spisonet.gui.job import Job
    from spisonet.io.config import CommandConfig

# Floating-point operations of one training step per voxel and squared base width: the convolutions of
# 3 x 3 x 3 voxels of a U-Net of three levels, forward and backward.
OPERATIONS = 1225.0
# Share of the speed of matrix products that a training reaches on a CPU, rotations of subvolumes included.
CPU_EFFICIENCY = 0.4
GPU_OPERATIONS_PER_SECOND = 1.5e13  # assumed until a job has run on this machine
MATRIX, N_MEASUREMENTS = 512, 20
DEFAULT_EDGE = 64  # of subvolumes of tomograms, if the table has none
LARGEST_RATIO = 10.0  # of the operations of two trainings for a subvolume
SECONDS_OF_A_MEASUREMENT = 20.0  # of a training, at least
TABLE_SUBVOLUMES, DEFAULT_SUBVOLUMES = "rlnNumberSubtomo", 100


def estimate_training(config: CommandConfig, n_gpus: int, earlier: Iterable[Job]) -> dict[str, Any] | None:
    """Estimate how long a training takes.

    Parameters
    ----------
    config : CommandConfig
        Configuration of a command.
    n_gpus : int
        Number of GPUs; 0: the CPU.
    earlier : iterable of Job
        Jobs of this machine, newest first.

    Returns
    -------
    dict or None
        ``seconds``, and in ``basis`` the job whose speed was used, or None for that of the machine. None if
        the command does not train.
    """
    operations = _operations(config)
    if operations is None:
        return None
    for job in earlier:
        speed = _speed_of(job, n_gpus > 0, _operations_of_subvolume(config))
        if speed is not None:
            return {"seconds": operations / speed, "basis": job.name}
    speed = GPU_OPERATIONS_PER_SECOND * n_gpus if n_gpus else CPU_EFFICIENCY * _matrix_speed()
    return {"seconds": operations / speed, "basis": None}


def _operations_of_subvolume(config: Any) -> float:
    """Return the number of operations for a subvolume, of the configuration of a command that trains."""
    return float(OPERATIONS * config.width**2 * (config.cube_size or DEFAULT_EDGE) ** 3)


def _operations(config: CommandConfig) -> float | None:
    """Return the number of operations of a training; None if there is none."""
    epochs = getattr(config, "total_epochs", 0)
    if not epochs:
        return None
    options = config.model_dump()
    subvolumes = options["n_subvolume"] or _listed_subvolumes(options["star_file"])
    n_trainings = 2.0 if options.get("independent") else 1.0
    if options.get("validation"):
        n_trainings += options["validation_cones"]
    return float(_operations_of_subvolume(config) * epochs * subvolumes * n_trainings)


def _listed_subvolumes(star_file: Path) -> float:
    try:
        rows = TomogramTable.read(star_file).rows
        return sum(row.number_of(TABLE_SUBVOLUMES) or DEFAULT_SUBVOLUMES for row in rows)
    except (SpisonetError, OSError):
        return DEFAULT_SUBVOLUMES


def _speed_of(job: Job, on_gpu: bool, of_subvolume: float) -> float | None:
    """Return the operations per second of the training of a job.

    None if it has not trained on such a device, or a network or subvolumes of quite another size, with which
    the speed differs.
    """
    target = job.launch.get("target")
    if not isinstance(target, dict) or target.get("slurm") or bool(target.get("gpus")) != on_gpu:
        return None
    with suppress(SpisonetError, LookupError, TypeError, ValueError, ZeroDivisionError):
        model = config_model(job.program, job.command)
        config = model.model_validate(job.record["config"])
        operations = _operations(config)
        if not operations:  # before the progress is read, which takes longer
            return None
        if not 1 / LARGEST_RATIO <= _operations_of_subvolume(config) / of_subvolume <= LARGEST_RATIO:
            return None
        events = [event for event in read_progress(job.folder) if event.stage == "training"]
        first, last = events[0], events[-1]
        seconds = last.time - first.time
        done = (last.done + (last.part or 0) - first.done - (first.part or 0)) / last.total
        if first.title == last.title and seconds > SECONDS_OF_A_MEASUREMENT and done > 0:
            return operations * done / seconds
    return None


@cache
def _matrix_speed() -> float:
    """Return the operations per second of matrix products on this machine, by all its processors."""
    matrix = np.ones((MATRIX, MATRIX), dtype=np.float32)
    shortest = float("inf")
    for _ in range(N_MEASUREMENTS):  # other programs interrupt some
        begin = time.perf_counter()
        matrix @ matrix
        shortest = min(shortest, time.perf_counter() - begin)
    return float(2 * MATRIX**3 / max(shortest, 1e-6))
