"""Prediction of the tomograms of a table: one task for each, done by one worker per device."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from spisonet.errors import SpisonetError
from spisonet.io.atomic import write_bytes
from spisonet.io.run_record import JOB_FILE, changed_option, read_job_record
from spisonet.io.series_names import without_half
from spisonet.io.tomogram_table import DENOISED_RELION5, TomogramRow, TomogramTable, output_names
from spisonet.learning.checkpoint import load_network
from spisonet.learning.devices import Backend, empty_cache
from spisonet.learning.memory import Memory, is_out_of_memory
from spisonet.learning.tiling import MARGIN, SMALLEST_TILE, clip_tile, margin_of_tiles
from spisonet.learning.unet import DenoisedUNet, fused
from spisonet.tomography.ctf_correction import remove_filtered
from spisonet.tomography.inputs import input_file, read_tomograms
from spisonet.tomography.network_metadata import MAX_VOXEL_SIZE_RATIO, NetworkMetadata
from spisonet.tomography.normalisation import normalise
from spisonet.tomography.predict import TilePredictor, predict_tomogram
from spisonet.tomography.wedge_check import WedgeCheck, check_wedge

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.io.tomograms import TomogramFile
    from spisonet.learning.unet import Network
    from spisonet.tomography.prediction_config import PredictConfig
    from spisonet.tomography.tomogram import Tomogram

log = logging.getLogger("spisonet")

NETWORK_FILE = "network.safetensors"
STAND_IN = f"The network is {NETWORK_FILE} in this folder; isonet.py predict accepts both names.\n".encode()
PUBLISHED_SUFFIXES = (".h5", ".pt", ".pth")
CTF_FOLDER, FIGURE_FOLDER = "spisonet_ctf", "figures"
FILLED_COLUMN, DENOISED_COLUMN = "rlnCorrectedTomoName", "rlnDenoisedTomoName"
DEFAULT_PADDING_FACTOR = 1.5  # of IsoNet2
MAX_HOST_TILE_BYTES = 2.2e9  # leaves memory for other programs


@dataclass(frozen=True)
class PredictionTask:
    """One tomogram to predict.

    Attributes
    ----------
    row : TomogramRow
        Row of the table.
    network : Path
        File of the trained network.
    output : Path
        MRC file to write.
    use_halves : bool
        Predict even and odd tomograms and average the predictions.
    column : str or None
        Column of the single input tomogram; see `input_column`.
    n_rotations : int
        Number of rotated copies; see `TilePredictor`.
    tile_size : int or None
        Largest edge of tiles in voxels; None for the largest that fits into memory.
    trust_table : bool
        Use the tilt range of the table although the power spectrum shows another.
    padding_factor : float or None
        Edge of tiles divided by their stride; None for the usual overlap.
    half_turns : bool
        Average predictions over half turns; see `TilePredictor`.
    """

    row: TomogramRow
    network: Path
    output: Path
    use_halves: bool
    column: str | None
    n_rotations: int
    tile_size: int | None
    trust_table: bool = False
    padding_factor: float | None = None
    half_turns: bool = True


@dataclass(frozen=True)
class PredictionWorker:
    """Device on which a process predicts, its memory limit in bytes and its number of CPU threads."""

    device: str
    memory_limit_bytes: float | None
    n_threads: int


@dataclass(frozen=True)
class PredictionResult:
    """Result of a task.

    Attributes
    ----------
    inputs : tuple of TomogramFile
        Input tomograms, before CTF correction.
    seconds : float
        Time that the prediction took.
    wedge : WedgeCheck
        Missing wedge of the input.
    """

    inputs: tuple[TomogramFile, ...]
    seconds: float
    wedge: WedgeCheck


def write_published_name(folder: Path, name: str) -> None:
    """Write a small file with the name of IsoNet2's network, which stands for the network beside it."""
    write_bytes(folder / f"network_{name}_full.pt", STAND_IN)


def remove_published_names(folder: Path) -> None:
    """Remove the files of `write_published_name`, and no networks of IsoNet2."""
    for path in folder.glob("network_*_full.pt"):
        if _is_stand_in(path):
            path.unlink()


def _is_stand_in(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(STAND_IN)) == STAND_IN


def find_network(path: Path) -> Path:
    """Return the file of a network; file names of published programs stand for the file beside them.

    Raises
    ------
    SpisonetError
        If the file does not exist.
    """
    beside = path.with_name(NETWORK_FILE)
    is_other = path.is_file() and not _is_stand_in(path)
    if not is_other and path.suffix in PUBLISHED_SUFFIXES and beside.is_file():
        log.info("Using %s instead of %s.", beside, path.name)
        return beside
    if not path.is_file():
        raise SpisonetError(f"{path} does not exist.")
    return path


def prediction_tasks(
    config: PredictConfig, table: TomogramTable, network: Path, metadata: NetworkMetadata
) -> list[PredictionTask]:
    """Return the tasks for the chosen tomograms of a table.

    Raises
    ------
    SpisonetError
        If the table does not list the input of a tomogram, or outputs would replace each other or inputs.
    """
    rows = table.chosen(config.tomo_idx)
    inputs = _listed_inputs(config, table, metadata)
    missing = [row.shown for row in rows if inputs[row.number] is None]
    if missing:
        kind = (
            "even and odd tomograms, which this network requires,"
            if metadata.uses_halves
            else "tomogram file"
        )
        raise SpisonetError(f"The table lists no {kind} for {', '.join(missing)}.")
    outputs = output_names(inputs, config.output_dir, ".mrc", config.name_beginning)
    tile_size = config.crop_size
    if tile_size is None and config.cube_size is not None:
        tile_size = round(config.cube_size * (config.padding_factor or DEFAULT_PADDING_FACTOR))
    return [
        PredictionTask(
            row,
            network,
            outputs[row.number],
            metadata.uses_halves,
            metadata.ctf.input_column(row, config),
            config.turns,
            tile_size,
            config.trust_table,
            config.padding_factor,
            config.half_turns,
        )
        for row in rows
    ]


def _listed_inputs(
    config: PredictConfig, table: TomogramTable, metadata: NetworkMetadata
) -> list[Path | None]:
    """Return the input of every row, after which its output is named; the files need not exist.

    An output from two halves is named after both, without the word that tells them apart.
    """
    if metadata.uses_halves:
        return [None if row.halves is None else without_half(row.halves[0]) for row in table.rows]
    return [input_file(row, metadata.ctf.input_column(row, config)) for row in table.rows]


def remove_outdated_results(
    config: PredictConfig,
    table: TomogramTable,
    tasks: list[PredictionTask],
    metadata: NetworkMetadata,
    network_digest: str,
) -> None:
    """Remove outputs and figures of the tasks, and of all rows if another network or other options made them.

    Parameters
    ----------
    config : PredictConfig
        Options of the prediction.
    table : TomogramTable
        Table of the tomograms.
    tasks : list of PredictionTask
        Tomograms that will be predicted.
    metadata : NetworkMetadata
        Metadata of the network.
    network_digest : str
        Hash of the file of the network.
    """
    outputs = [task.output for task in tasks]
    if (config.output_dir / JOB_FILE).is_file():
        record = read_job_record(config.output_dir)
        if record.get("network") != network_digest or changed_option(config, record) is not None:
            inputs = _listed_inputs(config, table, metadata)
            outputs += output_names(inputs, config.output_dir, ".mrc", config.name_beginning)
    for path in outputs:
        path.unlink(missing_ok=True)
        figure_path(path).unlink(missing_ok=True)


def figure_path(output: Path) -> Path:
    """Return the path of the figure of a corrected tomogram."""
    return output.parent / FIGURE_FOLDER / f"{output.stem}.png"


def note_output(table: TomogramTable, task: PredictionTask, metadata: NetworkMetadata) -> None:
    """Enter the output of a task into the table, and write the table."""
    columns = [FILLED_COLUMN if metadata.fills_wedge else DENOISED_COLUMN]
    if table.is_of_relion5:
        columns.append(DENOISED_RELION5)
    table.note(task.row, dict.fromkeys(columns, task.output))


def predict_task(worker: PredictionWorker, task: PredictionTask) -> PredictionResult:
    """Predict one tomogram, in the process of the worker; an existing output is kept.

    Raises
    ------
    SpisonetError
        If the tomogram cannot be read, or the output cannot be written.
    """
    started = time.monotonic()
    device = torch.device(worker.device)
    torch.set_num_threads(worker.n_threads)
    network, record = load_network(task.network)
    metadata = NetworkMetadata.from_record(task.network, record)
    backend = Backend.fastest(device)
    network = backend.to_device(fused(network))
    raw = read_tomograms([task.row], task.use_halves, [task.column], with_masks=False)[0]
    wedge = check_wedge(raw)
    if metadata.fills_wedge and not task.trust_table and wedge.refusal is not None:
        raise SpisonetError(wedge.refusal, code="wrong_wedge", field="trust_table")
    if task.output.is_file():
        return PredictionResult(raw.volumes, round(time.monotonic() - started, 1), wedge)
    folder = task.output.parent / f"{CTF_FOLDER}_{task.row.number:05d}"
    remove_filtered(folder)  # of a run that was killed
    try:
        tomogram = normalise(metadata.ctf.apply(raw, task.row, folder))
        _warn_of_voxel_size(tomogram, metadata)
        predictor = TilePredictor(
            network, backend, tomogram, task.n_rotations, metadata.fills_wedge, task.half_turns
        )
        _predict_with_fitting_tiles(tomogram, predictor, network, worker, task)
    finally:
        remove_filtered(folder)
    seconds = round(time.monotonic() - started, 1)
    return PredictionResult(raw.volumes, seconds, wedge)


def _predict_with_fitting_tiles(
    tomogram: Tomogram,
    predictor: TilePredictor,
    network: Network,
    worker: PredictionWorker,
    task: PredictionTask,
) -> None:
    """Predict with the largest tiles for which memory suffices."""
    device = torch.device(worker.device)
    memory = Memory(device, worker.memory_limit_bytes)
    max_bytes = MAX_HOST_TILE_BYTES if device.type == "cpu" else None
    tile = clip_tile(task.tile_size or memory.largest_tile(network, tomogram.shape, max_bytes))
    while True:
        try:
            predict_tomogram(
                tomogram,
                predictor,
                device,
                tile,
                task.output,
                f"spisonet: corrected by {task.network.name}",
                _margin(tile, task, network),
            )
            return
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or tile == SMALLEST_TILE:
                raise
        tile = clip_tile(tile // 2)
        log.info("Out of memory: the tile size is reduced to %d voxels.", tile)
        empty_cache(device)


def _margin(tile: int, task: PredictionTask, network: Network) -> int:
    """Return the overlap of tiles; what two networks predict in turn depends on twice the surroundings."""
    margin = margin_of_tiles(tile, task.padding_factor)
    return max(margin, 2 * MARGIN) if isinstance(network, DenoisedUNet) and tile > 4 * MARGIN else margin


def _warn_of_voxel_size(tomogram: Tomogram, metadata: NetworkMetadata) -> None:
    size = tomogram.voxel_size_angstrom
    smallest, largest = metadata.voxel_sizes_angstrom
    if not smallest / MAX_VOXEL_SIZE_RATIO <= size <= largest * MAX_VOXEL_SIZE_RATIO:
        log.warning(
            "%s has a voxel size of %.2f Å, but the network was trained at %.2f Å: resample it with "
            "isonet.py resize.",
            tomogram.name,
            size,
            largest,
        )
