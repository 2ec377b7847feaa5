"""``predict``: correct tomograms with a trained network."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from spisonet.errors import SpisonetError
from spisonet.figures.tomograms import write_comparison
from spisonet.io.run_record import JOB_FILE, changed_option, read_job_record
from spisonet.io.tomogram_table import TomogramRow, TomogramTable, output_names
from spisonet.io.tomograms import open_tomogram
from spisonet.learning.checkpoint import load_network
from spisonet.learning.devices import Backend, empty_cache
from spisonet.learning.memory import Memory, is_out_of_memory
from spisonet.learning.process_group import map_tasks
from spisonet.learning.tiling import SMALLEST_TILE, clip_tile
from spisonet.learning.unet import fused
from spisonet.tomography.ctf_correction import CtfCorrection, remove_filtered
from spisonet.tomography.prediction import TilePredictor, predict_tomogram
from spisonet.tomography.tomogram import Tomogram, read_tomograms
from spisonet.tomography.training_method import DENOISED, HALVES_METHODS

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.learning.unet import Network
    from spisonet.tomography.prediction_config import PredictConfig

log = logging.getLogger("spisonet")

NETWORK_FILE = "network.safetensors"
PUBLISHED_SUFFIXES = (".h5", ".pt", ".pth")
CTF_FOLDER, FIGURE_FOLDER = "spisonet_ctf", "figures"
FILLED_COLUMN, DENOISED_COLUMN = "rlnCorrectedTomoName", "rlnDenoisedTomoName"
RELION5_COLUMN = "rlnTomoReconstructedTomogramDenoised"
HOST_TILE_BYTES = 2.2e9  # so that a prediction fits beside other programs
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


def _remove_old_results(
    config: PredictConfig, table: TomogramTable, tasks: list[Task], facts: dict[str, Any], digest: str
) -> None:
    """Remove what will be predicted anew, and what another network or other options gave the others."""
    outputs = [task.output for task in tasks]
    if (config.output_dir / JOB_FILE).is_file():
        record = read_job_record(config.output_dir)
        if record.get("network") != digest or changed_option(config, record) is not None:
            named = _named_inputs(config, table, facts)
            outputs += output_names(named, config.output_dir, ".mrc", "corrected_")
    for path in outputs:
        path.unlink(missing_ok=True)


def _named_inputs(config: PredictConfig, table: TomogramTable, facts: dict[str, Any]) -> list[Path | None]:
    correction = CtfCorrection(**facts["ctf"])
    use_halves = facts["method"] in HALVES_METHODS
    return [_named_input(row, use_halves, correction.column_of(row, config)) for row in table.rows]


def _tasks(config: PredictConfig, table: TomogramTable, model: Path, facts: dict[str, Any]) -> list[Task]:
    rows = table.chosen(config.tomo_idx)
    use_halves = facts["method"] in HALVES_METHODS
    correction = CtfCorrection(**facts["ctf"])
    named = _named_inputs(config, table, facts)
    _require_inputs(rows, named, use_halves)
    outputs = output_names(named, config.output_dir, ".mrc", "corrected_")
    tile = config.crop_size or (None if config.cube_size is None else 3 * config.cube_size // 2)
    return [
        Task(
            row,
            model,
            outputs[row.number],
            config.output_dir / FIGURE_FOLDER / f"{outputs[row.number].stem}.png",
            use_halves,
            correction.column_of(row, config),
            config.turns,
            tile,
        )
        for row in rows
    ]


def _predict_all(
    table: TomogramTable, tasks: list[Task], workers: list[Worker], method: str
) -> tuple[list[Task], dict[str, str]]:
    """Predict what is not there yet; return what is done, and why the others failed, by name."""
    column = DENOISED_COLUMN if method == DENOISED else FILLED_COLUMN
    waiting = [task for task in tasks if not task.output.is_file()]
    done = [task for task in tasks if task.output.is_file()]
    failures: dict[str, str] = {}
    for task in done:
        log.info("%s is there already.", task.output)
        _note(table, task, column)
    for task, result in map_tasks(predict_task, waiting, workers):
        if isinstance(result, str):
            failures[task.row.shown] = result
            log.error("%s FAILED: %s", task.row.shown, result)
            continue
        done.append(task)
        log.info("%s: %.0f s -> %s", task.row.shown, result["seconds"], task.output)
        _note(table, task, column)
    return done, failures


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


def _named_input(row: TomogramRow, use_halves: bool, column: str | None) -> Path | None:
    """File after which an output is named; whether it is readable shows when its turn comes."""
    if use_halves:
        return None if row.halves is None else row.halves[0]
    return row.full if column is None else row.path(column)


def _require_inputs(rows: list[TomogramRow], named: list[Path | None], use_halves: bool) -> None:
    without = [row.shown for row in rows if named[row.number] is None]
    if without:
        what = "even and odd tomograms, which the network was trained on, are" if use_halves else "file is"
        raise SpisonetError(f"No {what} named for {', '.join(without)}.")


def _note(table: TomogramTable, task: Task, column: str) -> None:
    columns = [column, RELION5_COLUMN] if table.is_of_relion5 else [column]
    table.note(task.row, dict.fromkeys(columns, task.output))  # after each: nothing is lost if one fails


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
    backend = Backend.fastest(device)
    network = backend.to_device(fused(network))
    raw = read_tomograms([task.row], task.use_halves, [task.column], places=False)[0]
    folder = task.output.parent / f"{CTF_FOLDER}_{task.row.number:05d}"
    remove_filtered(folder)  # of a run that was killed
    try:
        tomogram = CtfCorrection(**facts["ctf"]).prepare(raw, task.row, folder).measured()
        _warn_of_voxel_size(tomogram, facts)
        fills = facts["method"] != DENOISED
        predictor = TilePredictor(network, backend, tomogram, task.turns, fills)
        _predict_in_fitting_tiles(tomogram, predictor, network, worker, task)
    finally:
        remove_filtered(folder)
    write_comparison(task.figure, raw.volumes, open_tomogram(task.output), tomogram.tilt_range_degrees)
    return {"seconds": round(time.monotonic() - started, 1)}


def _predict_in_fitting_tiles(
    tomogram: Tomogram, predictor: TilePredictor, network: Network, worker: Worker, task: Task
) -> None:
    device = torch.device(worker.device)
    memory = Memory(device, worker.memory_limit)
    most = HOST_TILE_BYTES if device.type == "cpu" else None
    tile = task.tile_size or memory.largest_tile(network, tomogram.shape, most)
    tile = clip_tile(tile)
    while True:
        try:
            predict_tomogram(
                tomogram, predictor, device, tile, task.output, f"spisonet: corrected by {task.model.name}"
            )
            return
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or tile == SMALLEST_TILE:
                raise
        tile = clip_tile(tile // 2)
        log.info("Out of memory: predicting in tiles of %d voxels from now on.", tile)
        empty_cache(device)


def _warn_of_voxel_size(tomogram: Tomogram, facts: dict[str, Any]) -> None:
    size = tomogram.volumes[0].voxel_size_angstrom
    smallest, largest = facts["voxel_sizes_angstrom"]
    if not smallest / ALIKE <= size <= largest * ALIKE:
        log.warning(
            "%s has voxels of %.2f Å, but the network was trained at %.2f Å: bring it there by resize.",
            tomogram.name,
            size,
            largest,
        )
