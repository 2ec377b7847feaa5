"""Train a network on tomograms, and correct tomograms with it, in output folders."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.figures.style import save_figure
from spisonet.figures.tomograms import draw_preview, draw_tomogram_comparison
from spisonet.figures.training import draw_loss
from spisonet.io.atomic import file_digest, prepare_output_folder
from spisonet.io.events import report_progress
from spisonet.io.run_record import (
    JOB_FILE,
    changed_option,
    continued,
    read_job_record,
    recorded,
    require_same_run,
)
from spisonet.io.tomogram_table import TomogramTable, results_table
from spisonet.io.tomograms import open_tomogram
from spisonet.learning.checkpoint import load_network, save_network
from spisonet.learning.devices import choose_devices, describe_device, use_cpu_threads
from spisonet.learning.launcher import out_of_memory_error
from spisonet.learning.memory import GIGABYTE
from spisonet.learning.process_group import is_main_process, map_tasks, started_by_torchrun
from spisonet.learning.training_job import train
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
    from spisonet.learning.memory import Memory
    from spisonet.learning.process_group import ProcessGroup
    from spisonet.learning.trainer import Trainer
    from spisonet.tomography.tomogram import Tomogram
    from spisonet.tomography.training_config import TomogramTrainingConfig

log = logging.getLogger("spisonet")

CHECKPOINT_FILE, LOSS_FILE = "checkpoint.safetensors", "loss.png"
PREDICTION_FOLDER = "corrected"
SUBTOMOGRAM_OUTPUT, TOMOGRAM_OUTPUT = Path("results"), Path("isonet_maps")  # default output folders


def predict_into_folder(config: PredictConfig) -> None:
    """Correct the tomograms of a table with a trained network, and enter the results into the table.

    If a tomogram fails, the others are still corrected.

    Raises
    ------
    SpisonetError
        If an option is unusable (nothing is written then), or a tomogram failed.
    """
    started = time.monotonic()
    devices = choose_devices(config.device, config.gpuID)
    path = find_network(config.model)
    network, record = load_network(path)
    metadata, digest = NetworkMetadata.from_record(path, record), file_digest(path)
    table = TomogramTable.read(
        config.star_file, results_table(config.star_file, config.output_star, config.output_dir)
    )
    tasks = prediction_tasks(config, table, path, metadata)
    if config.as_reconstructed:
        require_relion5(table)
    if config.resume:
        require_same_run(config, config.output_dir)
        if read_job_record(config.output_dir).get("network") != digest:
            raise SpisonetError(
                f"{path} has changed since the run to resume: predict without --resume.", field="resume"
            )
    for folder in (config.output_dir, config.output_dir / FIGURE_FOLDER):
        prepare_output_folder(folder)
    n_threads = use_cpu_threads(config.ncpus, len(devices))
    limit = None if config.memory_limit is None else config.memory_limit * GIGABYTE
    workers = [PredictionWorker(str(device), limit, n_threads) for device in devices]
    with recorded(
        config,
        config.output_dir,
        remove_old=lambda: remove_outdated_results(config, table, tasks, metadata, digest),
        network=digest,
    ) as result:
        log.info("Network: %s (%s, base width %d)", path, metadata.method, network.filter_base)
        log.info("Device: %s", ", ".join(describe_device(device) for device in devices))
        done, failures, wedges = _predict_all(config, table, tasks, workers, metadata)
        summary = PredictionSummary(
            metadata.method,
            {task.row.shown: str(task.output) for task in done},
            failures,
            [str(device) for device in devices],
            wedges,
            metadata.saw_other_structures,
        )
        result.update(asdict(summary))
        figures = {task.row.shown: figure_path(task.output) for task in done}
        write_prediction_report(config, summary, figures, time.monotonic() - started)
        log.info(
            "Corrected %d of %d tomograms in %.0f s. Summary: %s",
            len(done),
            len(tasks),
            time.monotonic() - started,
            config.output_dir / SUMMARY_FILE,
        )
        if failures:
            reasons = "; ".join(f"{name}: {message.rstrip('.')}" for name, message in failures.items())
            raise SpisonetError(f"{len(failures)} of {len(tasks)} tomograms failed: {reasons}.")


def _predict_all(
    config: PredictConfig,
    table: TomogramTable,
    tasks: list[PredictionTask],
    workers: list[PredictionWorker],
    metadata: NetworkMetadata,
) -> tuple[list[PredictionTask], dict[str, str], dict[str, dict[str, object]]]:
    """Predict what does not exist yet, and draw the figures that are missing.

    Returns
    -------
    tuple
        The completed tasks; error messages, and records of the missing wedges, by tomogram.
    """

    def is_done(task: PredictionTask) -> bool:
        has_figure = not config.save_slices or figure_path(task.output).is_file()
        return task.output.is_file() and has_figure

    done = [task for task in tasks if is_done(task)]
    remaining = [task for task in tasks if not is_done(task)]
    failures: dict[str, str] = {}
    wedges: dict[str, dict[str, object]] = {}

    def report_done() -> None:
        n_done = len(done) + len(failures.keys() - {task.row.shown for task in done})
        report_progress("tomograms", str(config.star_file), n_done, len(tasks), "tomograms")

    for task in done:
        log.info("%s exists already.", task.output)
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
            note_output(table, task, metadata)  # after each tomogram, in case a later one fails
            if config.save_slices and (missing := _draw_comparison(task, result)):
                failures[name] = missing
                log.error("%s: %s", name, missing)
        report_done()
    table.flush()
    if config.as_reconstructed and done:
        corrected = {task.row.number: task.output for task in done}
        write_as_reconstructed(table, corrected)
    return done, failures, wedges


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
    folder = _output_folder(config, TomogramTable.read(config.star_file))
    with continued(config, folder):
        _predict_training_tomograms(config, folder)
    if config.remove_intermediate:
        for path in (folder / CHECKPOINT_FILE, *folder.glob("preview_*.png")):
            path.unlink(missing_ok=True)


def _predict_training_tomograms(config: TomogramTrainingConfig, folder: Path) -> None:
    results = results_table(config.star_file, config.output_star, folder)
    table = TomogramTable.read(config.star_file, results)
    if not config.with_predict or table.lists_subtomograms or started_by_torchrun():
        if results is not None:
            table.write()
        log.info("To correct tomograms: isonet.py predict TOMOGRAMS.star %s", folder / NETWORK_FILE)
        return
    shared = set(TomogramNetworkConfig.model_fields) - {"resume"}
    options = {name: getattr(config, name) for name in shared}
    network, record = folder / NETWORK_FILE, folder / PREDICTION_FOLDER / JOB_FILE
    prediction = PredictConfig(
        star_file=config.star_file,
        output_star=results,
        model=network,
        output_dir=folder / PREDICTION_FOLDER,
        **options,
    )
    if config.resume and record.is_file():
        earlier = read_job_record(record.parent)
        same_network = earlier.get("network") == file_digest(network)
        resume = same_network and changed_option(prediction, earlier) is None
        prediction = prediction.model_copy(update={"resume": resume})
    predict_into_folder(prediction)


def _output_folder(config: TomogramTrainingConfig, table: TomogramTable) -> Path:
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
    folder = _output_folder(config, table)
    if config.resume:
        require_same_run(config, folder)
    inputs = read_training_inputs(config, table, folder)
    prepare_output_folder(folder)
    with recorded(
        config, folder, out_of_memory_error(memory.device), lambda: remove_old_training(folder)
    ) as result:
        log.info("Device: %s", describe_device(memory.device))
        training = prepare_training(inputs, config, memory, processes.count, folder / CTF_FOLDER)
        options = training.job.options
        log.info(
            "Training on %d tomograms (%s): %d updates of %d subvolumes of %d voxels.",
            len(training.tomograms),
            inputs.method,
            options.n_updates,
            options.batch_size,
            inputs.cube_size,
        )

        def after_epoch(trainer: Trainer) -> None:
            n_done = len(trainer.epoch_losses)
            if n_done % config.save_interval == 0 or n_done >= options.epochs:
                save_network(folder / NETWORK_FILE, trainer.average, training.metadata.as_record())
                if config.preview:
                    _write_preview(folder, trainer, training.tomograms[0])

        trainer, _ = train(
            training.job, memory.device, processes, folder / CHECKPOINT_FILE, config.resume, after_epoch
        )
        save_network(folder / NETWORK_FILE, trainer.average, training.metadata.as_record())
        write_published_name(
            folder, f"{inputs.method}_{config.arch or DEFAULT_ARCHITECTURE}_{inputs.cube_size}"
        )
        log.info("Wrote %s", folder / NETWORK_FILE)
        if trainer.epoch_losses:
            save_figure(folder / LOSS_FILE, draw_loss({"network": trainer.epoch_losses}))
        summary = TrainingSummary(
            device=str(memory.device),
            processes=processes.count,
            method=inputs.method,
            tomograms=[tomogram.name for tomogram in training.tomograms],
            filter_base=training.job.network.filter_base,
            start=config.pretrained,
            saw_other_structures=training.metadata.saw_other_structures,
            cube_size=inputs.cube_size,
            epochs=options.epochs,
            subvolumes_per_epoch=options.subvolumes_per_epoch,
            epoch_losses=trainer.epoch_losses,
            loss_reduction=trainer.loss_reduction,
            network=NETWORK_FILE,
            previews=sorted(path.name for path in folder.glob("preview_*.png")),
            wedges={wedge.name: wedge.as_record() for wedge in inputs.wedges},
        )
        result.update(asdict(summary))
        write_training_report(folder, config, summary, time.monotonic() - started)
        remove_filtered(folder / CTF_FOLDER)


def remove_old_training(folder: Path) -> None:
    """Remove the results of an earlier training in the output folder."""
    old = CHECKPOINT_FILE, NETWORK_FILE, LOSS_FILE, f"{PREDICTION_FOLDER}/{JOB_FILE}"
    for path in (*folder.glob("preview_*.png"), *(folder / name for name in old)):
        path.unlink(missing_ok=True)
    remove_published_names(folder)
    remove_filtered(folder / CTF_FOLDER)


def _write_preview(folder: Path, trainer: Trainer, tomogram: Tomogram) -> None:
    n_epochs = len(trainer.epoch_losses)
    path = folder / f"preview_{n_epochs:04d}.png"
    if path.is_file():  # of the run that is resumed
        return
    try:
        data, prediction = predict_preview(trainer, tomogram)
    except (RuntimeError, MemoryError) as error:
        log.info("The preview is skipped: %s", error)
        return
    title = f"{tomogram.name}, epoch {n_epochs}"
    save_figure(path, draw_preview(data, prediction, title, tomogram.voxel_size_angstrom))
