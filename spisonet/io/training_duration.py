"""Estimated duration of a training on this machine.

The work of a training is counted in floating-point operations of its network. The speed of the machine is
that of matrix products, which is measured in milliseconds, times a factor found on measured trainings.
"""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.io.mrc import read_box
from spisonet.io.processors import has_bfloat16, limited_threads
from spisonet.io.tomogram_table import TomogramTable

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.io.config import CommandConfig, ProfiledConfig

# Operations of an update per voxel and squared base width: the convolutions of 3 x 3 x 3 voxels of a U-Net
# of three levels, forward and backward; and the time per voxel that rotations take, in operations.
OPERATIONS, SAMPLING_OPERATIONS = 1225.0, 60_000.0
PUBLISHED_FACTOR = 4.4  # operations of the published U-Net and its three losses, at the same width
FORWARD_PART = 1 / 3  # of the operations of an update
REFRESH_FACTOR = 1.2  # updates of the missing region cost at most a fifth of the updates of the network
# Of each half map: the map and eight rotated copies, in the held-out stage and at the end.
PREDICTED_COPIES = 18
TILE_OVERLAP = 1.3  # voxels that are predicted, per voxel of the map
# Speed of a training over that of float32 matrix products on one core (benchmarks/RESULTS.md).
CPU_EFFICIENCY, BFLOAT16_EFFICIENCY = 1.45, 2.4
CORES_EXPONENT = 0.8  # two cores are 1.7 times as fast as one, 16 cores 9 times
GPU_OPERATIONS_PER_SECOND = 1.5e13  # assumed; an NVIDIA H200 reaches 5e13
MATRIX, N_MATRICES, N_MEASUREMENTS = 64, 64, 20
DEFAULT_EDGE = 64  # of subvolumes of tomograms, if the table has none
TABLE_SUBVOLUMES, DEFAULT_SUBVOLUMES = "rlnNumberSubtomo", 100
UNITS = (("days", 86_400), ("h", 3600), ("min", 60), ("s", 1))


def subvolume_operations(config: Any) -> float:
    """Return the number of operations for a subvolume, of the configuration of a command that trains."""
    edge = config.cube_size or DEFAULT_EDGE
    return float((_network_operations(config) + SAMPLING_OPERATIONS) * edge**3)


def _network_operations(config: Any) -> float:
    """Return the operations of an update of the network per voxel."""
    factor = PUBLISHED_FACTOR if getattr(config, "objective", "") == "ei" else 1.0
    return factor * OPERATIONS * float(config.width) ** 2


def training_operations(config: Any) -> float | None:
    """Return the number of operations of a training; None if the command does not train.

    Parameters
    ----------
    config : CommandConfig
        Configuration of any command. The header of the first half map and the table of tomograms are read
        if they exist; predictions of tomograms are not counted.
    """
    epochs = getattr(config, "total_epochs", 0)
    if not epochs:
        return None
    options = config.model_dump()
    subvolumes = epochs * (options["n_subvolume"] or _listed_subvolumes(options["star_file"]))
    one_training = REFRESH_FACTOR * subvolume_operations(config) * subvolumes
    if "i1" in options:
        n_halves = 1 if options["i2"] is None or options["independent"] else 2
        voxels = TILE_OVERLAP * _box(options["i1"]) ** 3 * n_halves * PREDICTED_COPIES
        one_training += FORWARD_PART * _network_operations(config) * voxels
    n_trainings = 2.0 if options.get("independent") else 1.0
    if options.get("validation"):  # the cones share the epochs of a training
        n_trainings += max(1.0, options["validation_cones"] / epochs)
    return float(one_training * n_trainings)


def machine_speed(n_gpus: int, n_threads: int) -> float:
    """Return the operations per second of trainings on this machine.

    Parameters
    ----------
    n_gpus : int
        Number of GPUs, whose speed is assumed; 0: the CPU, whose speed is measured.
    n_threads : int
        Number of CPU threads of the training, limited to the available cores.
    """
    if n_gpus:
        return GPU_OPERATIONS_PER_SECOND * n_gpus
    efficiency = BFLOAT16_EFFICIENCY if has_bfloat16() else CPU_EFFICIENCY
    return float(efficiency * _matrix_speed() * limited_threads(n_threads) ** CORES_EXPONENT)


def duration_sentence(config: ProfiledConfig, n_gpus: int = 0) -> str | None:
    """Return how long the training takes on this machine, and what profiles that are shorter would take.

    Parameters
    ----------
    config : ProfiledConfig
        Configuration of the run.
    n_gpus : int
        Number of GPUs that train; 0: the CPU.

    Returns
    -------
    str or None
        A sentence; None if nothing is trained.
    """
    operations = training_operations(config)
    if operations is None:
        return None
    options = config.model_dump()
    speed = machine_speed(n_gpus, options["ncpus"])
    shorter = {
        profile: other / speed
        for profile in config.profiles
        if (other := training_operations(_with_profile(config, profile))) is not None
        and other < operations / 2
    }
    most = "at most " if isinstance(options["epochs"], str) else ""  # --epochs auto
    sentence = f"Training takes {most}about {readable_duration(operations / speed)} on this machine"
    if n_gpus:
        sentence += " (from the speed of an average GPU)"
    others = [f"--profile {name} about {readable_duration(seconds)}" for name, seconds in shorter.items()]
    return f"{'; '.join([sentence, *others])}."


def _with_profile(config: ProfiledConfig, profile: str) -> CommandConfig:
    """Return a configuration with all values that a profile sets, also where other values were given."""
    changed = {name for values in config.profiles.values() for name in values}
    defaults = {name: type(config).model_fields[name].default for name in changed}
    values = config.profile_values(profile, dict(config) | dict.fromkeys(changed))
    return config.model_copy(update=defaults | values | {"profile": profile})


def readable_duration(seconds: float) -> str:
    """Return a duration without more precision than an estimate has, such as ``12 min``."""
    unit, length = next(((unit, s) for unit, s in UNITS if seconds >= 1.5 * s), UNITS[-1])
    number = max(1.0, seconds / length)
    return f"{round(number) if number >= 3 else round(number, 1):g} {unit}"


def _listed_subvolumes(star_file: Path) -> float:
    try:
        rows = TomogramTable.read(star_file).rows
        return sum(row.number_of(TABLE_SUBVOLUMES) or DEFAULT_SUBVOLUMES for row in rows)
    except (SpisonetError, OSError):
        return DEFAULT_SUBVOLUMES


def _box(path: Path) -> int:
    try:
        return read_box(path)
    except (SpisonetError, OSError):
        return 0


@cache
def _matrix_speed() -> float:
    """Return the operations per second of float32 matrix products on one core.

    The products are too small for several threads, and the time is the processor time of this thread, so
    that other programs do not change the result.
    """
    matrices = np.ones((N_MATRICES, MATRIX, MATRIX), dtype=np.float32)
    product, shortest = np.empty_like(matrices), float("inf")
    for _ in range(N_MEASUREMENTS):
        begin = time.thread_time()
        np.matmul(matrices, matrices, out=product)
        shortest = min(shortest, time.thread_time() - begin)
    return float(2 * N_MATRICES * MATRIX**3 / max(shortest, 1e-6))
