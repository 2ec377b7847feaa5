"""``predict``: correct tomograms with a trained network."""

from __future__ import annotations

import logging
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from spisonet.errors import SpisonetError
from spisonet.io.atomic import prepare_output_folder
from spisonet.io.tomograms import open_tomogram
from spisonet.learning.checkpoint import load_network
from spisonet.learning.devices import Execution, choose_devices, describe_device, empty_cache, use_cpu_threads
from spisonet.learning.memory import GIGABYTE, Memory, is_out_of_memory
from spisonet.learning.processes import spread
from spisonet.learning.session import recorded, require_same_run
from spisonet.learning.tiling import SMALLEST_TILE, clip_tile
from spisonet.tomography.correction import CtfCorrection
from spisonet.tomography.figures import write_comparison
from spisonet.tomography.prediction import TilePredictor, predict_specimen
from spisonet.tomography.report import write_prediction_report
from spisonet.tomography.specimens import Specimen, input_column, read_specimens
from spisonet.tomography.table import TomogramRow, TomogramTable, output_names
from spisonet.tomography.training import DENOISED, HALVES_METHODS

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.learning.unet import Network
    from spisonet.tomography.config import PredictConfig

log = logging.getLogger("spisonet")

NETWORK_FILE = "network.safetensors"
PUBLISHED_SUFFIXES = (".h5", ".pt", ".pth")
CTF_FOLDER, FIGURE_FOLDER = "ctf_corrected", "figures"
FILLED_COLUMN, DENOISED_COLUMN = "rlnCorrectedTomoName", "rlnDenoisedTomoName"
RELION5_COLUMN = "rlnTomoReconstructedTomogramDenoised"
HOST_TILE_BYTES = 1.2e9  # so that a prediction fits beside other programs
ALIKE = 1.25  # ratio of voxel sizes between which a network may be carried over without a word


@dataclass(frozen=True)
class Task:
    """A tomogram to predict.

    Attributes
    ----------
    row : TomogramRow
        Of the table.
    model : Path
        Network weights.
    output, figure : Path
        Files to write.
    use_halves : bool
        Whether to predict even and odd ones.
    column : str or None
        Column of the input.
    turns : int
        See `TilePredictor`.
    tile_size : int or None
        Largest edge of tiles in voxels.
    """

    row: TomogramRow
    model: Path
    output: Path
    figure: Path
    use_halves: bool
    column: str | None
    turns: int
    tile_size: int | None


@dataclass(frozen=True)
class Worker:
    """Where a task is done: a device, its memory limit in bytes, and a number of threads."""

    device: str
    memory_limit: float | None
    threads: int


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
    method = facts.get("method")
    if method is None:
        raise SpisonetError(f"{model} was not trained on tomograms.")
    table = TomogramTable.read(config.star_file, config.output_star)
    rows = table.chosen(config.tomo_idx)
    use_halves = method in HALVES_METHODS
    inputs = [_named_input(row, use_halves, config) for row in rows]
    outputs = [
        path.with_name(f"corrected_{path.name}") for path in output_names(inputs, config.output_dir, ".mrc")
    ]
    if config.resume:
        require_same_run(config, config.output_dir)
    prepare_output_folder(config.output_dir / FIGURE_FOLDER)
    if not config.resume:
        for path in outputs:
            path.unlink(missing_ok=True)
    tile = config.crop_size or (None if config.cube_size is None else 3 * config.cube_size // 2)
    tasks = [
        Task(
            row,
            model,
            output,
            config.output_dir / FIGURE_FOLDER / f"{output.stem}.png",
            use_halves,
            input_column(row, config.input_column, config.use_deconv_tomo),
            config.turns,
            tile,
        )
        for row, output in zip(rows, outputs, strict=True)
    ]
    threads = use_cpu_threads(config.ncpus, len(devices))
    limit = None if config.memory_limit is None else config.memory_limit * GIGABYTE
    workers = [Worker(str(device), limit, threads) for device in devices]
    column = DENOISED_COLUMN if method == DENOISED else FILLED_COLUMN
    with recorded(config, config.output_dir) as outcome:
        log.info("Network: %s (%s, width %d)", model, method, network.filter_base)
        log.info("Device: %s", ", ".join(describe_device(device) for device in devices))
        waiting = [task for task in tasks if not task.output.is_file()]
        done = [task for task in tasks if task.output.is_file()]
        failures: dict[str, str] = {}
        for task in done:
            log.info("%s is there already.", task.output)
            _note(table, task, column)
        for task, result in spread(predict_task, waiting, workers):
            if isinstance(result, str):
                failures[task.row.shown] = result
                log.error("%s FAILED: %s", task.row.shown, result)
                continue
            done.append(task)
            log.info("%s: %.0f s -> %s", task.row.shown, result["seconds"], task.output)
            _note(table, task, column)
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
        config.output_dir / "summary.html",
    )
    if failures:
        said = "; ".join(f"{name}: {sentence.rstrip('.')}" for name, sentence in failures.items())
        raise SpisonetError(f"{len(failures)} of {len(tasks)} tomograms could not be corrected: {said}.")


def find_model(path: Path) -> Path:
    """Find a network; the names that published programs give to theirs stand for the one beside.

    Raises
    ------
    SpisonetError
        If there is none.
    """
    beside = path.with_name(NETWORK_FILE)
    if not path.is_file() and path.suffix in PUBLISHED_SUFFIXES and beside.is_file():
        log.info("%s is called %s here.", path.name, beside)
        return beside
    if not path.is_file():
        raise SpisonetError(f"{path} does not exist.")
    return path


def _named_input(row: TomogramRow, use_halves: bool, config: PredictConfig) -> Path:
    """File after which an output is named; whether it is readable shows when its turn comes."""
    if use_halves:
        if row.halves is None:
            raise SpisonetError(
                f"{row.shown} has no even and odd tomograms, which the network was trained on."
            )
        return row.halves[0]
    column = input_column(row, config.input_column, config.use_deconv_tomo)
    path = row.path(column) if column else row.full
    if path is None:
        raise SpisonetError(f"No tomogram file is named for {row.shown}.")
    return path


def _note(table: TomogramTable, task: Task, column: str) -> None:
    table.set(task.row, column, task.output)
    if table.is_of_relion5:
        table.set(task.row, RELION5_COLUMN, task.output)
    table.write()  # after each, so that nothing is lost if one fails


def predict_task(worker: Worker, task: Task) -> dict[str, Any]:
    """Predict one tomogram; runs in the worker's process.

    Raises
    ------
    SpisonetError
        If the tomogram cannot be read, or the output not be written.
    """
    started = time.monotonic()
    device = torch.device(worker.device)
    torch.set_num_threads(worker.threads)
    network, facts = load_network(task.model)
    execution = Execution.fastest(device)
    network = execution.place(network).eval()
    raw = read_specimens([task.row], task.use_halves, [task.column], places=False)[0]
    folder = task.output.parent / f"{CTF_FOLDER}_{task.row.number:05d}"
    try:
        specimen = CtfCorrection(**facts["ctf"]).prepare(raw, task.row, folder).measured()
        _warn_of_voxel_size(specimen, facts)
        predictor = TilePredictor(network, execution, specimen, task.turns)
        _predict_in_fitting_tiles(specimen, predictor, network, worker, task)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    write_comparison(task.figure, raw.volumes, open_tomogram(task.output), specimen.tilt_range)
    return {"seconds": round(time.monotonic() - started, 1)}


def _predict_in_fitting_tiles(
    specimen: Specimen, predictor: TilePredictor, network: Network, worker: Worker, task: Task
) -> None:
    device = torch.device(worker.device)
    memory = Memory(device, worker.memory_limit)
    most = HOST_TILE_BYTES if device.type == "cpu" else None
    tile = task.tile_size or memory.largest_tile(network, specimen.shape, most)
    tile = clip_tile(tile)
    while True:
        try:
            predict_specimen(
                specimen, predictor, device, tile, task.output, f"spisonet: corrected by {task.model.name}"
            )
            return
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or tile == SMALLEST_TILE:
                raise
        tile = clip_tile(tile // 2)
        log.info("Out of memory: predicting in tiles of %d voxels from now on.", tile)
        empty_cache(device)


def _warn_of_voxel_size(specimen: Specimen, facts: dict[str, Any]) -> None:
    size = specimen.volumes[0].voxel_size_angstrom
    smallest, largest = facts["voxel_sizes_angstrom"]
    if not smallest / ALIKE <= size <= largest * ALIKE:
        log.warning(
            "%s has voxels of %.2f Å, but the network was trained at %.2f Å: bring it there by resize.",
            specimen.name,
            size,
            largest,
        )
