"""``refine`` and ``denoise``: learn from tomograms."""

from __future__ import annotations

import logging
import math
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from spisonet.errors import SpisonetError
from spisonet.io.atomic import file_digest, prepare_output_folder
from spisonet.io.config import JOB_FILE, changed_option, read_job_record
from spisonet.io.tomogram_table import HALVES, TomogramTable
from spisonet.learning.checkpoint import load_network, save_network
from spisonet.learning.devices import computes_in_bfloat16, describe_device
from spisonet.learning.lesson import Lesson, teach
from spisonet.learning.processes import started_by_torchrun
from spisonet.learning.recipe import check_cube_size
from spisonet.learning.session import recorded, require_same_run, run_on_devices
from spisonet.learning.trainer import TrainingOptions
from spisonet.learning.unet import UNet
from spisonet.tomography.blocks import Block, middle
from spisonet.tomography.config import LearningConfig, PredictConfig, RefineConfig
from spisonet.tomography.correction import CtfCorrection, remove_filtered
from spisonet.tomography.figures import write_loss, write_preview
from spisonet.tomography.predict import ALIKE, CTF_FOLDER, NETWORK_FILE, find_model, run_predict
from spisonet.tomography.report import write_training_report
from spisonet.tomography.schedule import Schedule, read_schedule
from spisonet.tomography.specimens import (
    CLIP,
    crop_centres,
    read_specimens,
    require_thickness,
)
from spisonet.tomography.training import (
    DENOISED,
    FILLED,
    FILLED_HALVES,
    HALVES_METHODS,
    Method,
    TomogramObjective,
    TrainingSet,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spisonet.io.tomogram_table import TomogramRow
    from spisonet.learning.memory import Memory
    from spisonet.learning.processes import Processes
    from spisonet.learning.trainer import Trainer
    from spisonet.learning.unet import Network
    from spisonet.tomography.config import DenoiseConfig, TrainingConfig
    from spisonet.tomography.specimens import Specimen

log = logging.getLogger("spisonet")

CHECKPOINT_FILE, LOSS_FILE = "checkpoint.safetensors", "loss.png"
PREDICTION_FOLDER = "corrected"
SUBTOMOGRAM_RESULTS, RESULTS = Path("results"), Path("isonet_maps")
BATCH_SIZE = 4  # for each process
LEARNING_RATE = 2e-3  # for that batch in one process
CUBE_SIZE = 64
MOST_CROPS = 800  # of subtomograms, an epoch, of IsoNet 0.2
TOMOGRAM_SHARE = 0.4  # of the memory that is free when training starts
PREVIEW_SHAPE = (256, 64, 256)  # voxels, at most


def run_refine(config: RefineConfig) -> None:
    """Train a network to fill missing wedges, and predict the tomograms with it.

    Raises
    ------
    SpisonetError
        If an input or option is unusable (nothing is written then), or training or prediction fails.
    """
    train(config)
    _predict(config)


def run_denoise(config: DenoiseConfig) -> None:
    """Train a network to denoise tomograms, and predict them with it; see `run_refine`."""
    train(config)
    _predict(config)


def train(config: TrainingConfig) -> None:
    """Train with all devices, writing the network into the output folder."""
    run_on_devices(train, config, _train)


def _predict(config: TrainingConfig) -> None:
    table = TomogramTable.read(config.star_file, config.output_star)
    folder = _folder(config, table)
    if not config.with_predict or table.lists_subtomograms or started_by_torchrun():
        if config.output_star is not None:
            table.write()
        log.info("The network is ready: isonet.py predict TOMOGRAMS.star %s", folder / NETWORK_FILE)
        return
    shared = set(LearningConfig.model_fields) - {"resume"}
    options = {name: getattr(config, name) for name in shared}
    model, record = folder / NETWORK_FILE, folder / PREDICTION_FOLDER / JOB_FILE
    prediction = PredictConfig(
        star_file=config.star_file,
        output_star=config.output_star,
        model=model,
        output_dir=folder / PREDICTION_FOLDER,
        **options,
    )
    if config.resume and record.is_file():
        begun = read_job_record(record.parent)
        same = begun.get("network") == file_digest(model) and changed_option(prediction, begun) is None
        prediction = prediction.model_copy(update={"resume": same})
    run_predict(prediction)


def _folder(config: TrainingConfig, table: TomogramTable) -> Path:
    return config.output_dir or (SUBTOMOGRAM_RESULTS if table.lists_subtomograms else RESULTS)


def _train(config: TrainingConfig, memory: Memory, processes: Processes) -> None:
    table = TomogramTable.read(config.star_file)
    rows = table.chosen(config.tomo_idx)
    method = choose_method(config, rows)
    cube_size = _cube_size(config, rows)
    correction = ctf_correction(config)
    columns = [correction.column_of(row, config) for row in rows]
    specimens = read_specimens(rows, method in HALVES_METHODS, columns)
    require_thickness(specimens, cube_size, config.pad)
    _say_voxel_sizes(specimens)
    correction.check(rows)
    folder = _folder(config, table)
    start = None
    if config.pretrained_model is not None:
        given = find_model(config.pretrained_model)
        if given.resolve() == (folder / NETWORK_FILE).resolve() and not config.resume:
            raise SpisonetError(f"{given} would be replaced by the result: give another --output_dir.")
        start, _ = load_network(given, config.width)
        if not isinstance(start, UNet):
            raise SpisonetError(f"{given} is a network of another kind: give one that refine has trained.")
    schedule = read_schedule(config, method)
    log.info("Looking for places of cubes in %d tomograms.", len(specimens))
    rng = np.random.default_rng(config.seed)
    centres = tuple(crop_centres(specimen, cube_size, rng) for specimen in specimens)
    if config.resume:
        require_same_run(config, folder)
    prepare_output_folder(folder)
    if not config.resume:
        old = CHECKPOINT_FILE, NETWORK_FILE, f"{PREDICTION_FOLDER}/{JOB_FILE}"
        for path in (*folder.glob("preview_*.png"), *(folder / name for name in old)):
            path.unlink(missing_ok=True)
        remove_filtered(folder / CTF_FOLDER)
    with recorded(config, folder, memory.device) as outcome:
        log.info("Device: %s", describe_device(memory.device))
        measured = tuple(
            correction.prepare(specimen, row, folder / CTF_FOLDER).measured()
            for specimen, row in zip(specimens, rows, strict=True)
        )
        training_set = TrainingSet(
            measured, centres, TOMOGRAM_SHARE * memory.free_bytes, config.seed, torch.device("cpu")
        )
        lesson = _lesson(
            config,
            training_set,
            method,
            cube_size,
            schedule,
            memory,
            processes.count,
            start,
            table.lists_subtomograms,
        )
        facts = {
            "method": method,
            "ctf": asdict(correction),
            "cube_size": cube_size,
            "voxel_sizes_angstrom": _extremes(measured),
        }
        log.info(
            "Training on %d tomograms (%s): %d updates of %d cubes of %d voxels.",
            len(measured),
            method,
            lesson.options.n_updates,
            lesson.options.batch_size,
            cube_size,
        )
        follow = _Follower(config, folder, measured[0], facts, lesson.options.epochs)
        trainer, _ = teach(
            lesson, memory.device, processes, folder / CHECKPOINT_FILE, config.resume, follow.after_epoch
        )
        save_network(folder / NETWORK_FILE, trainer.average, facts)
        log.info("Wrote %s", folder / NETWORK_FILE)
        write_loss(folder / LOSS_FILE, trainer.epoch_losses)
        outcome.update(
            device=str(memory.device),
            processes=processes.count,
            method=method,
            tomograms=[specimen.name for specimen in measured],
            cube_size=cube_size,
            epochs=lesson.options.epochs,
            crops_per_epoch=lesson.options.crops_per_epoch,
            epoch_losses=trainer.epoch_losses,
            network=NETWORK_FILE,
            previews=sorted(path.name for path in folder.glob("preview_*.png")),
        )
        write_training_report(folder, config, outcome)
        remove_filtered(folder / CTF_FOLDER)


@dataclass(frozen=True)
class _Follower:
    """What is written while a training goes on."""

    config: TrainingConfig
    folder: Path
    specimen: Specimen
    facts: dict[str, Any]
    epochs: int

    def after_epoch(self, trainer: Trainer) -> None:
        """Write the network and a preview every few epochs, and at the end."""
        done = len(trainer.epoch_losses)
        if done % self.config.save_interval and done < self.epochs:
            return
        save_network(self.folder / NETWORK_FILE, trainer.average, self.facts)
        if not self.config.preview:
            return
        region = [middle(n, most) for n, most in zip(self.specimen.shape, PREVIEW_SHAPE, strict=True)]
        block = Block.around((region[0], region[1], region[2]), 0)
        read = [self.specimen.read(which, block) for which in range(len(self.specimen.volumes))]
        part = torch.from_numpy(np.stack(read)).clamp_(-CLIP, CLIP)
        try:
            predicted = trainer.predict_alone(part).mean(dim=0).cpu().numpy()
        except (RuntimeError, MemoryError) as error:
            log.info("No preview: %s", error)
            return
        path = self.folder / f"preview_{done:04d}.png"
        write_preview(path, part.mean(dim=0).numpy(), predicted, f"{self.specimen.name}, epoch {done}")


def choose_method(config: TrainingConfig, rows: list[TomogramRow]) -> str:
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


def ctf_correction(config: TrainingConfig) -> CtfCorrection:
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


def _cube_size(config: TrainingConfig, rows: list[TomogramRow]) -> int:
    listed = rows[0].number_of("rlnCubeSize") if rows else None
    cube_size = config.cube_size or (CUBE_SIZE if listed is None else int(listed))
    check_cube_size(cube_size)
    return cube_size


def _extremes(specimens: Iterable[Specimen]) -> list[float]:
    sizes = [specimen.volumes[0].voxel_size_angstrom for specimen in specimens]
    return [min(sizes), max(sizes)]


def _say_voxel_sizes(specimens: list[Specimen]) -> None:
    smallest, largest = _extremes(specimens)
    if largest > ALIKE * smallest:
        log.warning(
            "The tomograms have voxels of %.2f to %.2f Å: alike ones teach a network better; see resize.",
            smallest,
            largest,
        )


def _lesson(
    config: TrainingConfig,
    training_set: TrainingSet,
    method: str,
    cube_size: int,
    schedule: Schedule,
    memory: Memory,
    n_processes: int,
    start: Network | None,
    subtomograms: bool,
) -> Lesson:
    torch.manual_seed(config.seed)
    network: Network = UNet(config.width)
    if start is not None:
        network.load_state_dict(start.state_dict())
    listed = sum(specimen.n_crops for specimen in training_set.specimens)
    if subtomograms:
        listed = min(listed, MOST_CROPS)
    batch_size = config.batch_size or BATCH_SIZE * n_processes
    crops = max(config.n_subvolume or listed, batch_size)
    share = -(-batch_size // n_processes)
    bytes_per_value = 2 if computes_in_bfloat16(memory.device) else 4
    parts = memory.parts_of_batch(network, share, cube_size, bytes_per_value)
    options = TrainingOptions(
        epochs=schedule.epochs,
        crops_per_epoch=crops,
        batch_size=max(batch_size, n_processes),
        n_parts=max(parts, config.acc_batches),
        learning_rate=config.learning_rate or LEARNING_RATE * math.sqrt(batch_size / BATCH_SIZE),
        seed=config.seed,
    )
    learned = Method(method != DENOISED, cube_size)
    if isinstance(config, RefineConfig):
        weight = config.mw_weight if config.mw_weight > 0 else 1.0
        learned = Method(True, cube_size, weight, schedule.noise, config.noise_mode or "white")
    make = partial(TomogramObjective, method=learned, crops_per_epoch=crops)
    return Lesson("tomograms", training_set, make, network, options, memory.largest_tile(network))
