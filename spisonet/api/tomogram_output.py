"""Train a network on tomograms, and correct tomograms with it, in output folders."""

from __future__ import annotations

import copy
import logging
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from spisonet.errors import SpisonetError
from spisonet.figures.style import save_figure
from spisonet.figures.tomograms import draw_preview, draw_tomogram_comparison
from spisonet.figures.training import draw_tomogram_losses
from spisonet.io.atomic import file_digest, prepare_output_folder
from spisonet.io.events import report_progress
from spisonet.io.numbers import counted
from spisonet.io.run_record import (
    JOB_FILE,
    changed_option,
    continued,
    read_job_record,
    recorded,
    require_same_run,
)
from spisonet.io.shards import Shard
from spisonet.io.tomogram_table import TomogramTable, results_table
from spisonet.io.tomograms import open_tomogram
from spisonet.learning.checkpoint import load_network, save_network
from spisonet.learning.devices import choose_devices, describe_device, use_cpu_threads
from spisonet.learning.launcher import log_duration, out_of_memory_error
from spisonet.learning.memory import GIGABYTE
from spisonet.learning.process_group import is_main_process, map_tasks, started_by_torchrun
from spisonet.learning.training_job import train
from spisonet.learning.unet import UNet
from spisonet.report.tomograms import (
    SUMMARY_FILE,
    PredictionSummary,
    write_prediction_report,
    write_training_report,
)
from spisonet.tomography.as_reconstructed import require_relion5, write_as_reconstructed
from spisonet.tomography.ctf_correction import remove_filtered
from spisonet.tomography.network_metadata import NetworkMetadata
from spisonet.tomography.prediction_config import PredictConfig
from spisonet.tomography.prediction_tasks import (
    CTF_FOLDER,
    FIGURE_FOLDER,
    NETWORK_FILE,
    PredictionResult,
    PredictionTask,
    PredictionWorker,
    figure_path,
    find_network,
    note_output,
    predict_task,
    prediction_tasks,
    remove_outdated_results,
    remove_published_names,
    write_published_name,
)
from spisonet.tomography.refine import (
    TrainingSummary,
    predict_preview,
    prepare_training,
    read_training_inputs,
)
from spisonet.tomography.shared_config import TomogramNetworkConfig
from spisonet.tomography.training_config import DEFAULT_ARCHITECTURE
from spisonet.tomography.wedge_check import log_verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from spisonet.learning.memory import Memory
    from spisonet.learning.process_group import ProcessGroup
    from spisonet.learning.trainer import Trainer
    from spisonet.tomography.denoiser import Denoiser
    from spisonet.tomography.tomogram import Tomogram
    from spisonet.tomography.training_config import TomogramTrainingConfig

log = logging.getLogger("spisonet")

CHECKPOINT_FILE, LOSS_FILE = "checkpoint.safetensors", "loss.png"
DENOISER_CHECKPOINT_FILE = "checkpoint_denoiser.safetensors"
PREDICTION_FOLDER = "corrected"
SUBTOMOGRAM_OUTPUT, TOMOGRAM_OUTPUT = Path("results"), Path("isonet_maps")  # default output folders


@dataclass(frozen=True)
class _Prediction:
    """What a prediction needs: file, hash and metadata of the network, and the tasks of a table."""

    network: Path
    digest: str
    metadata: NetworkMetadata
    table: TomogramTable
    tasks: list[PredictionTask]

    @classmethod
    def read(cls, config: PredictConfig) -> _Prediction:
        """Check the inputs of a configuration, before anything is written."""
        path = find_network(config.model)
        metadata = NetworkMetadata.from_record(path, load_network(path)[1])
        results = results_table(config.star_file, config.output_star, config.output_dir)
        table = TomogramTable.read(config.star_file, results)
        tasks = prediction_tasks(config, table, path, metadata)
        if config.as_reconstructed:
            require_relion5(table)
        return cls(path, file_digest(path), metadata, table, tasks)

    def made(self, config: PredictConfig, folder: Path) -> bool:
        """Whether the run that is recorded in a folder used this network and these options."""
        if not (folder / JOB_FILE).is_file():
            return False
        record = read_job_record(folder)
        return record.get("network") == self.digest and changed_option(config, record) is None


@dataclass(frozen=True)
class _PredictionOutcome:
    """Completed tasks; error messages, and records of the missing wedges, by tomogram."""

    done: list[PredictionTask] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    wedges: dict[str, dict[str, object]] = field(default_factory=dict)

    @property
    def figures(self) -> dict[str, Path]:
        """Figures by tomogram; not all need exist."""
        return {task.row.shown: figure_path(task.output) for task in self.done}

    def summary(self, metadata: NetworkMetadata, devices: list[str]) -> PredictionSummary:
        """Return what is recorded of the prediction."""
        corrected = {task.row.shown: str(task.output) for task in self.done}
        seen = metadata.saw_other_structures
        return PredictionSummary(metadata.method, corrected, self.failures, devices, self.wedges, seen)


def predict_into_folder(config: PredictConfig) -> None:
    """Correct the tomograms of a table with a trained network, and enter the results into the table.

    If a tomogram fails, the others are still corrected.

    Raises
    ------
    SpisonetError
        If an option is unusable (nothing is written then), or a tomogram failed.
    """
    workers = _prediction_workers(config)
    prediction = _Prediction.read(config)
    if config.resume:
        require_same_run(config, config.output_dir)
        if read_job_record(config.output_dir).get("network") != prediction.digest:
            raise SpisonetError(
                f"{prediction.network} has changed since the run to resume: predict without --resume.",
                field="resume",
            )
    _prepare_prediction_folders(config)

    def remove_old() -> None:
        remove_outdated_results(
            config, prediction.table, prediction.tasks, prediction.metadata, prediction.digest
        )

    _predict_recorded(
        config, prediction, prediction.tasks, config.output_dir, prediction.table, workers, remove_old
    )


def predict_shard(config: PredictConfig, shard: Shard) -> None:
    """Correct one of several parts of the tomograms of a table; other processes correct the others.

    The record of the run is in a folder of the part, and the table is not changed, so that nothing is
    written by two processes. Tomograms that an earlier run of the same part has corrected with the same
    network and options are kept.

    Raises
    ------
    SpisonetError
        See `predict_into_folder`.
    """
    workers = _prediction_workers(config)
    prediction = _Prediction.read(config)
    tasks, folder = shard.of(prediction.tasks), shard.folder(config.output_dir)
    _prepare_prediction_folders(config)
    prepare_output_folder(folder)
    config = config.model_copy(update={"resume": prediction.made(config, folder)})

    def remove_old() -> None:
        for task in tasks:
            task.output.unlink(missing_ok=True)
            figure_path(task.output).unlink(missing_ok=True)

    _predict_recorded(config, prediction, tasks, folder, None, workers, remove_old)


def merge_shards(config: PredictConfig, count: int) -> None:
    """Enter the results of all parts into the table, and record them as those of one run.

    Can be repeated after parts that failed were run again.

    Parameters
    ----------
    config : PredictConfig
        Configuration of the parts.
    count : int
        Number of parts.

    Raises
    ------
    SpisonetError
        Naming the tomograms that are not corrected, and the parts to run again; the others are entered.
    """
    started = time.monotonic()
    prediction = _Prediction.read(config)
    _prepare_prediction_folders(config)
    outcome = _PredictionOutcome()
    unfinished: set[int] = set()
    devices: set[str] = set()
    for shard in Shard.all_of(count):
        folder = shard.folder(config.output_dir)
        record = read_job_record(folder) if (folder / JOB_FILE).is_file() else {}
        is_same = prediction.made(config, folder)
        if is_same:
            outcome.wedges.update(record.get("wedges", {}))
            devices.update(record.get("devices", []))
        for task in shard.of(prediction.tasks):
            if is_same and task.output.is_file():
                outcome.done.append(task)
            else:
                outcome.failures[task.row.shown] = _reason_of_shard(record, is_same, task.row.shown)
                unfinished.add(shard.number)
    with recorded(config, config.output_dir, network=prediction.digest) as result:
        for task in outcome.done:
            note_output(prediction.table, task, prediction.metadata)
        _finish_table(config, prediction.table, outcome.done)
        summary = outcome.summary(prediction.metadata, sorted(devices))
        result.update(asdict(summary))
        write_prediction_report(config, summary, outcome.figures, time.monotonic() - started)
        n_done, n_all = len(outcome.done), len(prediction.tasks)
        log.info("Entered %d of %d tomograms into %s.", n_done, n_all, prediction.table.path)
        if unfinished:
            again = ",".join(map(str, sorted(unfinished)))
            raise SpisonetError(
                f"{_reasons(outcome.failures, prediction.tasks)}; submit part {again} of {count} again, then "
                "merge.",
                code="missing_shards",
            )


def _reason_of_shard(record: dict[str, Any], is_same: bool, name: str) -> str:
    """Return why a part has not corrected a tomogram, from the record of the part."""
    if not record:
        return "its part has not started"
    if not is_same:
        return "its part ran with another network or other options"
    if name in (failures := record.get("failures") or {}):
        return str(failures[name])
    error = record.get("error") or {}
    status = record.get("status", "")
    return str(error.get("message") or f"its part is recorded as {status}, and may have been killed")


def _prediction_workers(config: PredictConfig) -> list[PredictionWorker]:
    devices = choose_devices(config.device, config.gpuID)
    n_threads = use_cpu_threads(config.ncpus, len(devices))
    limit = None if config.memory_limit is None else config.memory_limit * GIGABYTE
    return [PredictionWorker(str(device), limit, n_threads) for device in devices]


def _prepare_prediction_folders(config: PredictConfig) -> None:
    for folder in (config.output_dir, config.output_dir / FIGURE_FOLDER):
        prepare_output_folder(folder)


def _predict_recorded(
    config: PredictConfig,
    prediction: _Prediction,
    tasks: list[PredictionTask],
    folder: Path,
    table: TomogramTable | None,
    workers: list[PredictionWorker],
    remove_old: Callable[[], None],
) -> None:
    """Predict tasks, record them in a folder, and enter the results into a table, if there is one."""
    started = time.monotonic()
    earlier = read_job_record(folder).get("wedges", {}) if config.resume else {}
    with recorded(config, folder, remove_old=remove_old, network=prediction.digest) as result:
        log.info("Network: %s (%s)", prediction.network, prediction.metadata.method)
        log.info("Device: %s", ", ".join(describe_device(torch.device(worker.device)) for worker in workers))
        outcome = _predict_all(config, table, tasks, workers, prediction.metadata)
        outcome.wedges.update({name: wedge for name, wedge in earlier.items() if name not in outcome.wedges})
        summary = outcome.summary(prediction.metadata, [worker.device for worker in workers])
        result.update(asdict(summary))
        seconds = time.monotonic() - started
        log.info("Corrected %d of %d tomograms in %.0f s.", len(outcome.done), len(tasks), seconds)
        if table is not None:
            write_prediction_report(config, summary, outcome.figures, seconds)
            log.info("Summary: %s", config.output_dir / SUMMARY_FILE)
        if outcome.failures:
            raise SpisonetError(f"{_reasons(outcome.failures, tasks)}.")


def _reasons(failures: dict[str, str], tasks: list[PredictionTask]) -> str:
    reasons = "; ".join(f"{name}: {message.rstrip('.')}" for name, message in failures.items())
    return f"{len(failures)} of {len(tasks)} tomograms failed: {reasons}"


def _predict_all(
    config: PredictConfig,
    table: TomogramTable | None,
    tasks: list[PredictionTask],
    workers: list[PredictionWorker],
    metadata: NetworkMetadata,
) -> _PredictionOutcome:
    """Predict what does not exist yet, and draw the figures that are missing."""

    def is_done(task: PredictionTask) -> bool:
        has_figure = not config.save_slices or figure_path(task.output).is_file()
        return task.output.is_file() and has_figure

    remaining = [task for task in tasks if not is_done(task)]
    outcome = _PredictionOutcome([task for task in tasks if is_done(task)])
    done, failures, wedges = outcome.done, outcome.failures, outcome.wedges

    def report_done() -> None:
        n_done = len(done) + len(failures.keys() - {task.row.shown for task in done})
        report_progress("tomograms", str(config.star_file), n_done, len(tasks), "tomograms")

    for task in done:
        log.info("%s exists already.", task.output)
        if table is not None:
            note_output(table, task, metadata)
    report_done()
    for task, result in map_tasks(predict_task, remaining, workers):
        name = task.row.shown
        if isinstance(result, str):
            failures[name] = result
            log.error("%s FAILED: %s", name, result)
        else:
            done.append(task)
            log_verdict(result.wedge)
            wedges[name] = result.wedge.as_record()
            log.info("%s: %.0f s -> %s", name, result.seconds, task.output)
            if table is not None:
                note_output(table, task, metadata)  # after each tomogram, in case a later one fails
            if config.save_slices and (missing := _draw_comparison(task, result)):
                failures[name] = missing
                log.error("%s: %s", name, missing)
        report_done()
    if table is not None:
        _finish_table(config, table, done)
    return outcome


def _finish_table(config: PredictConfig, table: TomogramTable, done: list[PredictionTask]) -> None:
    """Write the results that are noted in a table, and the table for RELION if it was asked for."""
    table.flush()
    if config.as_reconstructed and done:
        write_as_reconstructed(table, {task.row.number: task.output for task in done})


def _draw_comparison(task: PredictionTask, result: PredictionResult) -> str | None:
    """Draw the figure of a corrected tomogram; return why there is none."""
    corrected = open_tomogram(task.output)
    try:
        save_figure(
            figure_path(task.output), draw_tomogram_comparison(result.inputs, corrected, result.wedge)
        )
    except SpisonetError as error:
        return f"it is corrected, but its figure is missing: {error}"
    return None


def predict_after_training(config: TomogramTrainingConfig) -> None:
    """Correct the tomograms that a network was trained on, unless the options say otherwise.

    Raises
    ------
    SpisonetError
        If a tomogram failed.
    """
    if not is_main_process():
        return
    folder = training_folder(config, TomogramTable.read(config.star_file))
    with continued(config, folder):
        _predict_training_tomograms(config, folder)
    if config.remove_intermediate:
        checkpoints = folder / CHECKPOINT_FILE, folder / DENOISER_CHECKPOINT_FILE
        for path in (*checkpoints, *folder.glob("preview_*.png")):
            path.unlink(missing_ok=True)


def _predict_training_tomograms(config: TomogramTrainingConfig, folder: Path) -> None:
    results = results_table(config.star_file, config.output_star, folder)
    table = TomogramTable.read(config.star_file, results)
    if not config.with_predict or table.lists_subtomograms or started_by_torchrun():
        if results is not None:
            table.write()
        log.info("To correct tomograms: isonet.py predict TOMOGRAMS.star %s", folder / NETWORK_FILE)
        return
    prediction = prediction_of_training(config, folder, results)
    if config.resume and (prediction.output_dir / JOB_FILE).is_file():
        earlier = read_job_record(prediction.output_dir)
        same_network = earlier.get("network") == file_digest(prediction.model)
        resume = same_network and changed_option(prediction, earlier) is None
        prediction = prediction.model_copy(update={"resume": resume})
    predict_into_folder(prediction)


def prediction_of_training(
    config: TomogramTrainingConfig, folder: Path, results: Path | None
) -> PredictConfig:
    """Return the configuration that corrects the tomograms of a training.

    Parameters
    ----------
    config : RefineConfig or DenoiseConfig
        Configuration of the training.
    folder : Path
        Its output folder.
    results : Path or None
        Table for the results; see `results_table`.
    """
    shared = set(TomogramNetworkConfig.model_fields) - {"resume"}
    return PredictConfig(
        star_file=config.star_file,
        output_star=results,
        model=folder / NETWORK_FILE,
        output_dir=folder / PREDICTION_FOLDER,
        **{name: getattr(config, name) for name in shared},
    )


def training_folder(config: TomogramTrainingConfig, table: TomogramTable) -> Path:
    """Return the output folder of a training."""
    return config.output_dir or (SUBTOMOGRAM_OUTPUT if table.lists_subtomograms else TOMOGRAM_OUTPUT)


def train_into_folder(config: TomogramTrainingConfig, memory: Memory, processes: ProcessGroup) -> None:
    """Train a network on tomograms, and write it and the record of the run into the output folder.

    Called in the main process while the others `join_workers`.

    Parameters
    ----------
    config : RefineConfig or DenoiseConfig
        Inputs and options.
    memory : Memory
        Device, and how much of its memory may be used.
    processes : ProcessGroup
        Processes that train together.

    Raises
    ------
    SpisonetError
        If an input or option is unusable (nothing is written then), or if training fails.
    """
    started = time.monotonic()
    table = TomogramTable.read(config.star_file, config.output_star)
    if config.as_reconstructed:
        require_relion5(table)
    folder = training_folder(config, table)
    if config.resume:
        require_same_run(config, folder)
    inputs = read_training_inputs(config, table, folder)
    if config.total_epochs:
        memory.require(UNet(config.width), inputs.cube_size)
    log_duration(config, memory.device, processes.count)
    prepare_output_folder(folder)
    with recorded(
        config, folder, out_of_memory_error(memory.device), lambda: remove_old_training(folder)
    ) as result:
        log.info("Device: %s", describe_device(memory.device))
        training = prepare_training(inputs, config, memory, processes.count, folder / CTF_FOLDER)
        denoiser_losses: list[float] = []
        denoising_reduction: float | None = None
        if training.denoising is not None:
            log.info("%s", training.denoising.description)
            denoising, _ = train(
                training.denoising, memory.device, processes, folder / DENOISER_CHECKPOINT_FILE, config.resume
            )
            denoiser_losses, denoising_reduction = denoising.epoch_losses, denoising.loss_reduction
            training = training.with_denoiser(copy.deepcopy(denoising.average).cpu())
            del denoising  # and its memory
        options, denoiser = training.job.options, training.method.denoiser
        log.info(
            "Training on %s (%s): %s%d updates of %s of %d voxels.",
            counted(len(training.tomograms), "tomogram"),
            inputs.method,
            "at most " if options.until_plateau else "",
            options.n_updates,
            counted(options.batch_size, "subvolume"),
            inputs.cube_size,
        )

        def after_epoch(trainer: Trainer) -> None:
            n_done = len(trainer.epoch_losses)
            if n_done % config.save_interval == 0 or n_done >= trainer.planned_epochs:
                save_network(
                    folder / NETWORK_FILE,
                    training.whole_network(trainer.average),
                    training.metadata.as_record(),
                )
                if config.preview:
                    _write_preview(folder, trainer, training.tomograms[0], denoiser)

        trainer, _ = train(
            training.job, memory.device, processes, folder / CHECKPOINT_FILE, config.resume, after_epoch
        )
        save_network(
            folder / NETWORK_FILE, training.whole_network(trainer.average), training.metadata.as_record()
        )
        write_published_name(
            folder, f"{inputs.method}_{config.arch or DEFAULT_ARCHITECTURE}_{inputs.cube_size}"
        )
        log.info("Wrote %s", folder / NETWORK_FILE)
        if trainer.epoch_losses:
            save_figure(folder / LOSS_FILE, draw_tomogram_losses(trainer.epoch_losses, denoiser_losses))
        summary = TrainingSummary(
            device=str(memory.device),
            processes=processes.count,
            method=inputs.method,
            tomograms=[tomogram.name for tomogram in training.tomograms],
            filter_base=training.job.network.filter_base,
            start=config.pretrained,
            saw_other_structures=training.metadata.saw_other_structures,
            cube_size=inputs.cube_size,
            epochs=trainer.planned_epochs + len(denoiser_losses),
            denoiser_losses=denoiser_losses,
            subvolumes_per_epoch=options.subvolumes_per_epoch,
            training_end=trainer.end_record,
            epoch_losses=trainer.epoch_losses,
            # The limit of a training that is too short is known for inputs with their noise only.
            loss_reduction=trainer.loss_reduction if denoiser is None else denoising_reduction,
            network=NETWORK_FILE,
            previews=sorted(path.name for path in folder.glob("preview_*.png")),
            wedges={wedge.name: wedge.as_record() for wedge in inputs.wedges},
        )
        result.update(asdict(summary))
        write_training_report(folder, config, summary, time.monotonic() - started)
        remove_filtered(folder / CTF_FOLDER)


def remove_old_training(folder: Path) -> None:
    """Remove the results of an earlier training in the output folder."""
    old = (
        *(CHECKPOINT_FILE, DENOISER_CHECKPOINT_FILE, NETWORK_FILE, LOSS_FILE),
        f"{PREDICTION_FOLDER}/{JOB_FILE}",
    )
    for path in (*folder.glob("preview_*.png"), *(folder / name for name in old)):
        path.unlink(missing_ok=True)
    remove_published_names(folder)
    remove_filtered(folder / CTF_FOLDER)


def _write_preview(folder: Path, trainer: Trainer, tomogram: Tomogram, denoiser: Denoiser | None) -> None:
    n_epochs = len(trainer.epoch_losses)
    path = folder / f"preview_{n_epochs:04d}.png"
    if path.is_file():  # of the run that is resumed
        return
    try:
        data, prediction = predict_preview(trainer, tomogram, denoiser)
    except (RuntimeError, MemoryError) as error:
        log.info("The preview is skipped: %s", error)
        return
    title = f"{tomogram.name}, epoch {n_epochs}"
    save_figure(path, draw_preview(data, prediction, title, tomogram.voxel_size_angstrom))
