"""Commands that train on tomograms and correct them: refine, denoise and predict."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from spisonet.errors import SpisonetError
from spisonet.figures.tomograms import write_loss, write_preview
from spisonet.io.atomic import file_digest, prepare_output_folder, remove_partials
from spisonet.io.run_record import JOB_FILE, changed_option, read_job_record
from spisonet.io.tomogram_table import TomogramTable
from spisonet.learning.checkpoint import load_network, save_network
from spisonet.learning.devices import choose_devices, describe_device, use_cpu_threads
from spisonet.learning.launcher import recorded, require_same_run, run_on_devices
from spisonet.learning.memory import GIGABYTE
from spisonet.learning.process_group import started_by_torchrun
from spisonet.learning.training_job import train
from spisonet.learning.unet import UNet
from spisonet.report.tomograms import SUMMARY_FILE, write_prediction_report, write_training_report
from spisonet.tomography.chunks import Chunk, central_crop
from spisonet.tomography.ctf_correction import remove_filtered
from spisonet.tomography.predict import (
    CTF_FOLDER,
    FIGURE_FOLDER,
    NETWORK_FILE,
    Worker,
    _predict_all,
    _remove_old_results,
    _tasks,
    find_model,
    log,
)
from spisonet.tomography.prediction_config import PredictConfig
from spisonet.tomography.refine import (
    CHECKPOINT_FILE,
    LOSS_FILE,
    PREDICTION_FOLDER,
    PREVIEW_SHAPE,
    RESULTS,
    SUBTOMOGRAM_RESULTS,
    TOMOGRAM_SHARE,
    _cube_size,
    _extremes,
    _say_voxel_sizes,
    _training_job,
    choose_method,
    ctf_correction,
)
from spisonet.tomography.schedule import read_schedule
from spisonet.tomography.shared_config import TomogramNetworkConfig
from spisonet.tomography.tomogram import CLIP, read_tomograms, require_thickness, subvolume_centres
from spisonet.tomography.training_method import HALVES_METHODS
from spisonet.tomography.training_set import TrainingSet

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.learning.memory import Memory
    from spisonet.learning.process_group import ProcessGroup
    from spisonet.learning.trainer import Trainer
    from spisonet.tomography.tomogram import Tomogram
    from spisonet.tomography.training_config import DenoiseConfig, RefineConfig, TomogramTrainingConfig


def run_refine(config: RefineConfig) -> None:
    """Train a network to fill missing wedges, and predict the tomograms with it.

    Raises
    ------
    SpisonetError
        If an input or option is unusable (nothing is written then), or training or prediction fails.
    """
    run_training(config)
    _predict(config)


def run_denoise(config: DenoiseConfig) -> None:
    """Train a network to denoise tomograms, and predict them with it; see `run_refine`."""
    run_training(config)
    _predict(config)


def run_predict(config: PredictConfig) -> None:
    """Correct the tomograms of a table, and note the results in it.

    One that fails is reported, and the others are corrected.

    Raises
    ------
    SpisonetError
        If an option is unusable (nothing is written then), or a tomogram failed.
    """
    started = time.monotonic()
    devices = choose_devices(config.device, config.gpuID)
    model = find_model(config.model)
    network, facts = load_network(model)
    method, digest = facts.get("method"), file_digest(model)
    if method is None:
        raise SpisonetError(f"{model} was not trained on tomograms.")
    table = TomogramTable.read(config.star_file, config.output_star)
    tasks = _tasks(config, table, model, facts)
    if config.resume:
        require_same_run(config, config.output_dir)
        if read_job_record(config.output_dir).get("network") != digest:
            raise SpisonetError(f"{model} has changed since: predict without --resume.")
    prepare_output_folder(config.output_dir / FIGURE_FOLDER)
    remove_partials(config.output_dir)
    if not config.resume:
        _remove_old_results(config, table, tasks, facts, digest)
    threads = use_cpu_threads(config.ncpus, len(devices))
    limit = None if config.memory_limit is None else config.memory_limit * GIGABYTE
    workers = [Worker(str(device), limit, threads) for device in devices]
    with recorded(config, config.output_dir, network=digest) as outcome:
        log.info("Network: %s (%s, width %d)", model, method, network.filter_base)
        log.info("Device: %s", ", ".join(describe_device(device) for device in devices))
        done, failures = _predict_all(table, tasks, workers, method)
        outcome.update(
            method=method,
            corrected={task.row.shown: str(task.output) for task in done},
            failures=failures,
            devices=[str(device) for device in devices],
        )
        write_prediction_report(config, outcome, [(task.row.shown, task.figure) for task in done])
    log.info(
        "Corrected %d of %d tomograms in %.0f s. Summary: %s",
        len(done),
        len(tasks),
        time.monotonic() - started,
        config.output_dir / SUMMARY_FILE,
    )
    if failures:
        said = "; ".join(f"{name}: {sentence.rstrip('.')}" for name, sentence in failures.items())
        raise SpisonetError(f"{len(failures)} of {len(tasks)} tomograms could not be corrected: {said}.")


def run_training(config: TomogramTrainingConfig) -> None:
    """Train with all devices, writing the network into the output folder."""
    run_on_devices(run_training, config, _train)


def _predict(config: TomogramTrainingConfig) -> None:
    table = TomogramTable.read(config.star_file, config.output_star)
    folder = _folder(config, table)
    if not config.with_predict or table.lists_subtomograms or started_by_torchrun():
        if config.output_star is not None:
            table.write()
        log.info("The network is ready: isonet.py predict TOMOGRAMS.star %s", folder / NETWORK_FILE)
        return
    shared = set(TomogramNetworkConfig.model_fields) - {"resume"}
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


def _folder(config: TomogramTrainingConfig, table: TomogramTable) -> Path:
    return config.output_dir or (SUBTOMOGRAM_RESULTS if table.lists_subtomograms else RESULTS)


def _train(config: TomogramTrainingConfig, memory: Memory, processes: ProcessGroup) -> None:
    table = TomogramTable.read(config.star_file)
    rows = table.chosen(config.tomo_idx)
    method = choose_method(config, rows)
    cube_size = _cube_size(config, rows)
    correction = ctf_correction(config)
    columns = [correction.column_of(row, config) for row in rows]
    tomograms = read_tomograms(rows, method in HALVES_METHODS, columns)
    require_thickness(tomograms, cube_size, config.pad)
    _say_voxel_sizes(tomograms)
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
    log.info("Looking for places of cubes in %d tomograms.", len(tomograms))
    rng = np.random.default_rng(config.seed)
    centres = tuple(subvolume_centres(tomogram, cube_size, rng) for tomogram in tomograms)
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
            correction.prepare(tomogram, row, folder / CTF_FOLDER).measured()
            for tomogram, row in zip(tomograms, rows, strict=True)
        )
        training_set = TrainingSet(
            measured, centres, TOMOGRAM_SHARE * memory.free_bytes, config.seed, torch.device("cpu")
        )
        training_job = _training_job(
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
            training_job.options.n_updates,
            training_job.options.batch_size,
            cube_size,
        )
        follow = _Follower(config, folder, measured[0], facts, training_job.options.epochs)
        trainer, _ = train(
            training_job,
            memory.device,
            processes,
            folder / CHECKPOINT_FILE,
            config.resume,
            follow.after_epoch,
        )
        save_network(folder / NETWORK_FILE, trainer.average, facts)
        log.info("Wrote %s", folder / NETWORK_FILE)
        write_loss(folder / LOSS_FILE, trainer.epoch_losses)
        outcome.update(
            device=str(memory.device),
            processes=processes.count,
            method=method,
            tomograms=[tomogram.name for tomogram in measured],
            cube_size=cube_size,
            epochs=training_job.options.epochs,
            subvolumes_per_epoch=training_job.options.subvolumes_per_epoch,
            epoch_losses=trainer.epoch_losses,
            network=NETWORK_FILE,
            previews=sorted(path.name for path in folder.glob("preview_*.png")),
        )
        write_training_report(folder, config, outcome)
        remove_filtered(folder / CTF_FOLDER)


@dataclass(frozen=True)
class _Follower:
    """What is written while a training goes on."""

    config: TomogramTrainingConfig
    folder: Path
    tomogram: Tomogram
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
        region = [central_crop(n, most) for n, most in zip(self.tomogram.shape, PREVIEW_SHAPE, strict=True)]
        block = Chunk.around((region[0], region[1], region[2]), 0)
        read = [self.tomogram.read(which, block) for which in range(len(self.tomogram.volumes))]
        part = torch.from_numpy(np.stack(read)).clamp_(-CLIP, CLIP)
        try:
            predicted = trainer.predict_locally(part).mean(dim=0).cpu().numpy()
        except (RuntimeError, MemoryError) as error:
            log.info("No preview: %s", error)
            return
        path = self.folder / f"preview_{done:04d}.png"
        write_preview(path, part.mean(dim=0).numpy(), predicted, f"{self.tomogram.name}, epoch {done}")
