"""``refine`` and ``denoise``: learn from tomograms."""

from __future__ import annotations

import logging
import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from spisonet.errors import SpisonetError
from spisonet.io.tomogram_table import HALVES
from spisonet.learning.devices import computes_in_bfloat16
from spisonet.learning.trainer import TrainingOptions
from spisonet.learning.training_config import check_cube_size
from spisonet.learning.training_job import TrainingJob
from spisonet.learning.unet import UNet
from spisonet.tomography.ctf_correction import CtfCorrection
from spisonet.tomography.objective import TomogramObjective
from spisonet.tomography.predict import ALIKE
from spisonet.tomography.training_config import RefineConfig
from spisonet.tomography.training_method import DENOISED, FILLED, FILLED_HALVES, TrainingMethod

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spisonet.io.tomogram_table import TomogramRow
    from spisonet.learning.memory import Memory
    from spisonet.learning.unet import Network
    from spisonet.tomography.schedule import Schedule
    from spisonet.tomography.tomogram import Tomogram
    from spisonet.tomography.training_config import TomogramTrainingConfig
    from spisonet.tomography.training_set import TrainingSet

log = logging.getLogger("spisonet")

CHECKPOINT_FILE, LOSS_FILE = "checkpoint.safetensors", "loss.png"
PREDICTION_FOLDER = "corrected"
SUBTOMOGRAM_RESULTS, RESULTS = Path("results"), Path("isonet_maps")
BATCH_SIZE = 4  # for each process
LEARNING_RATE = 2e-3  # for that batch in one process
CUBE_SIZE = 64
MAX_SUBVOLUMES = 800  # of subtomograms, an epoch, of IsoNet 0.2
TOMOGRAM_SHARE = 0.4  # of the memory that is free when training starts
PREVIEW_SHAPE = (256, 64, 256)  # voxels, at most


def choose_method(config: TomogramTrainingConfig, rows: list[TomogramRow]) -> str:
    """Say what is learned: ``n2n``, ``isonet2-n2n`` or ``isonet2``.

    Raises
    ------
    SpisonetError
        If halves are needed and some tomogram has none, or only one.
    """
    alone = [row.shown for row in rows if (row.path(HALVES[0]) is None) != (row.path(HALVES[1]) is None)]
    if alone:
        raise SpisonetError(f"Only one of even and odd is named for {', '.join(alone)}.")
    with_halves = [row for row in rows if row.halves is not None]
    if isinstance(config, RefineConfig) and (config.method == FILLED or not with_halves):
        if config.method == FILLED_HALVES:
            raise SpisonetError(
                f"--method {FILLED_HALVES} needs even and odd tomograms; the table names none."
            )
        return FILLED
    lacking = [row.shown for row in rows if row.halves is None]
    if lacking:
        raise SpisonetError(f"No even and odd tomograms are named for {', '.join(lacking)}.")
    return FILLED_HALVES if isinstance(config, RefineConfig) else DENOISED


def ctf_correction(config: TomogramTrainingConfig) -> CtfCorrection:
    """Gather what is to be done about the CTF."""
    return CtfCorrection(
        config.CTF_mode,
        config.isCTFflipped or not config.do_phaseflip_input,
        config.clip_first_peak_mode == 1,
        config.bfactor,
        config.snrfalloff,
        config.deconvstrength,
        config.highpassnyquist,
    )


def _cube_size(config: TomogramTrainingConfig, rows: list[TomogramRow]) -> int:
    listed = rows[0].number_of("rlnCubeSize") if rows else None
    cube_size = config.cube_size or (CUBE_SIZE if listed is None else int(listed))
    check_cube_size(cube_size)
    return cube_size


def _extremes(tomograms: Iterable[Tomogram]) -> list[float]:
    sizes = [tomogram.volumes[0].voxel_size_angstrom for tomogram in tomograms]
    return [min(sizes), max(sizes)]


def _say_voxel_sizes(tomograms: list[Tomogram]) -> None:
    smallest, largest = _extremes(tomograms)
    if largest > ALIKE * smallest:
        log.warning(
            "The tomograms have voxels of %.2f to %.2f Å: alike ones teach a network better; see resize.",
            smallest,
            largest,
        )


def _training_job(
    config: TomogramTrainingConfig,
    training_set: TrainingSet,
    method: str,
    cube_size: int,
    schedule: Schedule,
    memory: Memory,
    n_processes: int,
    start: Network | None,
    subtomograms: bool,
) -> TrainingJob:
    torch.manual_seed(config.seed)
    network: Network = UNet(config.width)
    if start is not None:
        network.load_state_dict(start.state_dict())
    listed = sum(tomogram.n_subvolumes for tomogram in training_set.tomograms)
    if subtomograms:
        listed = min(listed, MAX_SUBVOLUMES)
    batch_size = config.batch_size or BATCH_SIZE * n_processes
    crops = max(config.n_subvolume or listed, batch_size)
    share = -(-batch_size // n_processes)
    bytes_per_value = 2 if computes_in_bfloat16(memory.device) else 4
    parts = memory.batch_splits(network, share, cube_size, bytes_per_value)
    options = TrainingOptions(
        epochs=schedule.epochs,
        subvolumes_per_epoch=crops,
        batch_size=max(batch_size, n_processes),
        n_splits=max(parts, config.acc_batches),
        learning_rate=config.learning_rate or LEARNING_RATE * math.sqrt(batch_size / BATCH_SIZE),
        seed=config.seed,
    )
    learned = TrainingMethod(method != DENOISED, cube_size)
    if isinstance(config, RefineConfig):
        weight = config.mw_weight if config.mw_weight > 0 else 1.0
        learned = TrainingMethod(True, cube_size, weight, schedule.noise, config.noise_mode or "white")
    make = partial(TomogramObjective, method=learned, subvolumes_per_epoch=crops)
    return TrainingJob("tomograms", training_set, make, network, options, memory.largest_tile(network))
