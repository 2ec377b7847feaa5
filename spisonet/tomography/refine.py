"""Training of a network on tomograms (``refine`` and ``denoise``): checked inputs and the training job."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from spisonet.errors import SpisonetError
from spisonet.io.config import invalid_option
from spisonet.io.numbers import counted
from spisonet.io.paths import real_path
from spisonet.learning.epochs_config import AUTO
from spisonet.learning.pretrained import (
    TOMOGRAM_NETWORK_FILE,
    TOMOGRAMS,
    network_file,
    read_start_network,
)
from spisonet.learning.training_config import check_cube_size, training_options
from spisonet.learning.training_job import TrainingJob
from spisonet.learning.unet import DenoisedUNet, UNet, rescale_convolutions, set_running_statistics
from spisonet.tomography.chunks import Chunk, central_chunk
from spisonet.tomography.ctf_correction import CtfCorrection
from spisonet.tomography.denoiser import Denoiser
from spisonet.tomography.inputs import read_tomograms, require_thickness
from spisonet.tomography.network_metadata import MAX_VOXEL_SIZE_RATIO, NetworkMetadata, voxel_size_range
from spisonet.tomography.noise_schedule import NoiseSchedule, read_schedule
from spisonet.tomography.normalisation import normalise, read_central_region
from spisonet.tomography.objective import TomogramObjective
from spisonet.tomography.prediction_tasks import NETWORK_FILE, find_network
from spisonet.tomography.subvolume_centres import subvolume_centres
from spisonet.tomography.tomogram import CLIP
from spisonet.tomography.training_config import DENOISE_SHARE, DENOISER_CUBE_SIZE, RefineConfig
from spisonet.tomography.training_method import (
    DENOISED,
    FILLED,
    FILLED_HALVES,
    HALVES_METHODS,
    TrainingMethod,
    choose_method,
    training_method,
)
from spisonet.tomography.training_set import TrainingSet
from spisonet.tomography.wedge_check import WedgeCheck, check_wedges

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from spisonet.io.tomogram_table import TomogramRow, TomogramTable
    from spisonet.learning.memory import Memory
    from spisonet.learning.pretrained import StartNetwork
    from spisonet.learning.trainer import Trainer, TrainingOptions
    from spisonet.learning.unet import Network
    from spisonet.tomography.tomogram import Tomogram
    from spisonet.tomography.training_config import TomogramTrainingConfig

log = logging.getLogger("spisonet")

BATCH_SIZE = 4  # for each process, in a long training
MIN_UPDATES = 5000  # below which batches are smaller
LEARNING_RATE = 2e-3  # for BATCH_SIZE in one process
CUBE_SIZE = 64
STATISTICS_SUBVOLUMES = 40  # from which the statistics of a start network are computed
MAX_SUBVOLUMES_PER_EPOCH = 800  # with subtomograms, of IsoNet 0.2
TOMOGRAM_MEMORY_FRACTION = 0.4  # of the memory that is free when training starts
PREVIEW_SHAPE = (256, 64, 256)  # voxels, at most


@dataclass(frozen=True)
class TrainingInputs:
    """Checked inputs of a training.

    Attributes
    ----------
    rows : tuple of TomogramRow
        Chosen rows of the table.
    tomograms : tuple of Tomogram
        Their tomograms, before CTF correction and normalisation.
    centres : tuple of ndarray
        For each, ``(n, 3)`` voxel coordinates ``(x, y, z)`` of possible subvolume centres.
    method : str
        Name of the method; see `choose_method`.
    cube_size : int
        Edge of training subvolumes in voxels.
    ctf : CtfCorrection
        CTF correction before training.
    schedule : NoiseSchedule
        Number of epochs and added noise.
    start : StartNetwork or None
        Network whose weights training starts from.
    denoise_epochs : int
        Epochs, of all, that train a network to denoise the inputs of the other one.
    from_subtomograms : bool
        Whether the table lists subtomograms.
    wedges : tuple of WedgeCheck
        Missing wedges of the tomograms; none of subtomograms.
    """

    rows: tuple[TomogramRow, ...]
    tomograms: tuple[Tomogram, ...]
    centres: tuple[NDArray[np.int16], ...]
    method: str
    cube_size: int
    ctf: CtfCorrection
    schedule: NoiseSchedule
    start: StartNetwork | None
    denoise_epochs: int
    from_subtomograms: bool
    wedges: tuple[WedgeCheck, ...]


@dataclass(frozen=True)
class TomogramTraining:
    """A training job on tomograms.

    Attributes
    ----------
    tomograms : tuple of Tomogram
        CTF-corrected and normalised tomograms.
    job : TrainingJob
        Network, objective and training options.
    metadata : NetworkMetadata
        Metadata of the trained network.
    method : TrainingMethod
        What `job` trains.
    denoising : TrainingJob or None
        Training of a network that first denoises the inputs of `job`; see `with_denoiser`.
    """

    tomograms: tuple[Tomogram, ...]
    job: TrainingJob
    metadata: NetworkMetadata
    method: TrainingMethod
    denoising: TrainingJob | None = None

    def whole_network(self, trained: Network) -> Network:
        """Return the network that corrects tomograms: the trained one, after the denoiser if there is one."""
        denoiser = self.method.denoiser
        return trained if denoiser is None else DenoisedUNet.of(denoiser.network, trained)

    def with_denoiser(self, network: Network) -> TomogramTraining:
        """Return the training with inputs that a trained network denoises."""
        method = replace(self.method, denoiser=Denoiser(network, self.job.tile_size))
        job = replace(self.job, make_objective=partial(TomogramObjective, method=method))
        return replace(self, job=job, method=method)


@dataclass(frozen=True)
class TrainingSummary:
    """Results of a training, as recorded in ``job.json``.

    Attributes
    ----------
    device : str
        Device of the main process.
    processes : int
        Number of processes.
    method : str
        Name of the method.
    tomograms : list of str
        Names of the tomograms.
    filter_base : int
        Base width of the network.
    start : str
        Where its initial weights come from: ``none``, ``default`` or a file.
    saw_other_structures : bool
        Whether the training started from a network that was trained on other structures.
    cube_size, epochs, subvolumes_per_epoch : int
        Edge of training subvolumes in voxels, number of epochs, and subvolumes in each.
    epoch_losses, denoiser_losses : list of float
        Mean training loss of each epoch, of the network and of the one that denoises its inputs.
    loss_reduction : float or None
        Fraction by which the training reduced the loss of the untrained network; None if it was not measured.
        If inputs are denoised, of the network that denoises them.
    network : str
        File name of the network.
    previews : list of str
        File names of the previews.
    wedges : dict
        Measured missing wedge by name of the tomogram; see `WedgeCheck.as_record`.
    training_end : dict or None
        Why a training of variable length ended, see `Trainer.end_record`.
    """

    device: str
    processes: int
    method: str
    tomograms: list[str]
    filter_base: int
    start: str
    saw_other_structures: bool
    cube_size: int
    epochs: int
    subvolumes_per_epoch: int
    epoch_losses: list[float]
    loss_reduction: float | None
    network: str
    previews: list[str]
    wedges: dict[str, dict[str, Any]]
    denoiser_losses: list[float] = field(default_factory=list)
    training_end: dict[str, Any] | None = None


def read_training_inputs(
    config: TomogramTrainingConfig, table: TomogramTable, output_dir: Path
) -> TrainingInputs:
    """Check the options of a training and open its tomograms; nothing is written.

    Parameters
    ----------
    config : RefineConfig or DenoiseConfig
        Options of the training.
    table : TomogramTable
        Table of tomograms or subtomograms.
    output_dir : Path
        Output folder, which must not contain the initial network.

    Raises
    ------
    SpisonetError
        If an option or a tomogram is unusable (damaged, constant, or equal in both halves), or a power
        spectrum contradicts the table.
    """
    rows = table.chosen(config.tomo_idx)
    method = choose_method(config, rows)
    if config.select_subtomo_number is not None and not table.lists_subtomograms:
        raise SpisonetError(
            f"--select_subtomo_number requires a STAR file of subtomograms, but {config.star_file} lists "
            "tomograms: give --n_subvolume.",
            field="select_subtomo_number",
        )
    cube_size = _cube_size(config, rows)
    ctf = CtfCorrection.from_config(config)
    columns = [ctf.input_column(row, config) for row in rows]
    tomograms = read_tomograms(rows, method in HALVES_METHODS, columns)
    require_thickness(tomograms, cube_size, config.pad)
    _warn_of_voxel_sizes(tomograms)
    ctf.require_defocus(rows)
    start = _start_network(config, method, output_dir)
    denoise_epochs = _denoise_epochs(config, method, start)
    schedule = read_schedule(config, adds_noise=method == FILLED)
    log.info("Choosing subvolume centres in %s.", counted(len(tomograms), "tomogram"))
    rng = np.random.default_rng(config.seed)
    centres = tuple(subvolume_centres(tomogram, cube_size, rng) for tomogram in tomograms)
    wedges: tuple[WedgeCheck, ...] = ()
    if not table.lists_subtomograms:
        for tomogram in tomograms:
            read_central_region(tomogram)  # which may be damaged, black or equal in both halves
        wedges = check_wedges(tomograms, refuse=method != DENOISED and not config.trust_table)
    return TrainingInputs(
        tuple(rows),
        tuple(tomograms),
        centres,
        method,
        cube_size,
        ctf,
        schedule,
        start,
        denoise_epochs,
        table.lists_subtomograms,
        wedges,
    )


def _cube_size(config: TomogramTrainingConfig, rows: list[TomogramRow]) -> int:
    listed = rows[0].number_of("rlnCubeSize") if rows else None
    cube_size = config.cube_size or (CUBE_SIZE if listed is None else int(listed))
    check_cube_size(cube_size)
    return cube_size


def _warn_of_voxel_sizes(tomograms: list[Tomogram]) -> None:
    smallest, largest = voxel_size_range(tomograms)
    if largest > MAX_VOXEL_SIZE_RATIO * smallest:
        log.warning(
            "The voxel sizes of the tomograms differ (%.2f to %.2f Å): resample them with isonet.py resize "
            "for better results.",
            smallest,
            largest,
        )


def _start_network(config: TomogramTrainingConfig, method: str, output_dir: Path) -> StartNetwork | None:
    path = network_file(config.pretrained, TOMOGRAM_NETWORK_FILE)
    if path is None:
        return None
    path = find_network(path)
    if real_path(path) == real_path(output_dir / NETWORK_FILE) and not config.resume:
        raise SpisonetError(
            f"{path} would be replaced by the result: give another --output_dir.", field="output_dir"
        )
    start = read_start_network(path, TOMOGRAMS, config.requested_width)
    if start is None or not isinstance(start.network, DenoisedUNet) or method == FILLED_HALVES:
        return start
    if method == DENOISED:
        return replace(start, network=start.network.denoiser)
    raise SpisonetError(
        f"{path} consists of two networks, one of which denoises even and odd tomograms: it cannot start a "
        "training on single tomograms; give the network of such a training, or --pretrained none.",
        code="invalid_option",
        field="pretrained",
    )


def _denoise_epochs(config: TomogramTrainingConfig, method: str, start: StartNetwork | None) -> int:
    """Return how many of the epochs train a network to denoise the inputs of the other one.

    Raises
    ------
    SpisonetError
        If epochs are asked for, but the start is one network, which has learned from inputs with noise.
    """
    if method != FILLED_HALVES or not isinstance(config, RefineConfig):
        return 0
    is_single = start is not None and not isinstance(start.network, DenoisedUNet)
    if is_single and config.denoise_epochs:
        raise invalid_option(
            "denoise_epochs",
            f"--denoise_epochs {config.denoise_epochs} needs a start from random weights or two networks, "
            f"one of which denoises, but --pretrained {config.pretrained} is a single network.",
        )
    if config.denoise_epochs is not None:
        return config.denoise_epochs
    return 0 if is_single or config.epochs == AUTO else int(DENOISE_SHARE * config.total_epochs)


def prepare_training(
    inputs: TrainingInputs,
    config: TomogramTrainingConfig,
    memory: Memory,
    n_processes: int,
    ctf_folder: Path,
) -> TomogramTraining:
    """Correct the CTF, normalise the tomograms and create the training job.

    Parameters
    ----------
    inputs : TrainingInputs
        Checked inputs.
    config : RefineConfig or DenoiseConfig
        Options of the training.
    memory : Memory
        Memory of the device.
    n_processes : int
        Number of processes that train together.
    ctf_folder : Path
        Folder for CTF-corrected tomograms.

    Raises
    ------
    SpisonetError
        If a tomogram cannot be read, or a file cannot be written.
    """
    tomograms = tuple(
        normalise(inputs.ctf.apply(tomogram, row, ctf_folder))
        for tomogram, row in zip(inputs.tomograms, inputs.rows, strict=True)
    )
    memory_bytes = TOMOGRAM_MEMORY_FRACTION * memory.free_bytes
    training_set = TrainingSet(tomograms, inputs.centres, memory_bytes, config.seed, torch.device("cpu"))
    torch.manual_seed(config.seed)
    start = inputs.start
    network: Network = UNet(config.width) if start is None else start.network
    if start is not None and start.of_other_structures:  # its statistics are those of other data
        set_running_statistics(network, _sampled_subvolumes(inputs, tomograms, config.seed))
    denoiser: Network | None = None
    if isinstance(network, DenoisedUNet):
        denoiser, network = network.denoiser, network.completer
    if start is not None and inputs.schedule.epochs:
        rescale_convolutions(network)
    if denoiser is not None and inputs.denoise_epochs:
        rescale_convolutions(denoiser)
    listed = sum(tomogram.n_subvolumes for tomogram in tomograms)
    if inputs.from_subtomograms:
        if config.select_subtomo_number is not None:
            selected = min(config.select_subtomo_number, len(tomograms))
            listed = max(listed * selected // len(tomograms), 1)
        listed = min(listed, MAX_SUBVOLUMES_PER_EPOCH)
    subvolumes_per_epoch = config.n_subvolume or listed

    def options_of(epochs: int, subvolumes_per_epoch: int, cube_size: int) -> TrainingOptions:
        batch_size = batch_size_of(config.batch_size, epochs * subvolumes_per_epoch, n_processes)
        return training_options(
            network,
            memory,
            n_processes,
            epochs=epochs,
            subvolumes_per_epoch=max(subvolumes_per_epoch, batch_size),
            batch_size=batch_size,
            default_batch_size=BATCH_SIZE,
            cube_size=cube_size,
            min_splits=config.acc_batches,
            learning_rate=config.learning_rate,
            default_learning_rate=LEARNING_RATE,
            seed=config.seed,
            until_plateau=config.epochs == AUTO,
        )

    options = options_of(
        inputs.schedule.epochs - inputs.denoise_epochs, subvolumes_per_epoch, inputs.cube_size
    )
    method = training_method(config, inputs.method, inputs.cube_size, inputs.schedule)
    make_objective = partial(TomogramObjective, method=method)
    job = TrainingJob(
        "tomograms", training_set, make_objective, network, options, memory.largest_tile(network)
    )
    denoising = None
    if inputs.denoise_epochs:
        # At the centres of the larger subvolumes: near the borders there is less to learn from.
        edge = min(inputs.cube_size, DENOISER_CUBE_SIZE)
        denoising = replace(
            job,
            title="tomograms, to denoise",
            make_objective=partial(TomogramObjective, method=TrainingMethod(False, edge)),
            network=denoiser or UNet(network.filter_base),
            options=options_of(
                inputs.denoise_epochs, round(subvolumes_per_epoch * (inputs.cube_size / edge) ** 3), edge
            ),
        )
    saw_others = start is not None and start.saw_other_structures
    metadata = NetworkMetadata(
        inputs.method, inputs.ctf, inputs.cube_size, voxel_size_range(tomograms), saw_others
    )
    training = TomogramTraining(tomograms, job, metadata, method, denoising)
    # A denoising network from an earlier run that is not trained further.
    return training if denoiser is None or denoising is not None else training.with_denoiser(denoiser)


def batch_size_of(requested: int | None, n_subvolumes: int, n_processes: int) -> int:
    """Return the requested batch size, or the largest with which a training has `MIN_UPDATES`.

    As many subvolumes in more updates of smaller batches train better as long as there are few updates
    (``benchmarks/RESULTS.md``).

    Parameters
    ----------
    requested : int or None
        Value of the option; at least one subvolume for each process is used.
    n_subvolumes : int
        Subvolumes of the whole training.
    n_processes : int
        Number of processes that train together.
    """
    if requested is not None:
        return max(requested, n_processes)
    return n_processes * min(max(n_subvolumes // (MIN_UPDATES * n_processes), 1), BATCH_SIZE)


def _sampled_subvolumes(
    inputs: TrainingInputs, tomograms: tuple[Tomogram, ...], seed: int
) -> Iterator[torch.Tensor]:
    """Yield random subvolumes of the tomograms, ``(1, 1, z, y, x)``."""
    rng, edge = np.random.default_rng(seed), inputs.cube_size
    for number in range(STATISTICS_SUBVOLUMES):
        which = number % len(tomograms)
        centre = inputs.centres[which][rng.integers(len(inputs.centres[which]))][::-1]
        z, y, x = (slice(int(c) - edge // 2, int(c) - edge // 2 + edge) for c in centre)
        half = int(rng.integers(len(tomograms[which].volumes)))
        data = tomograms[which].read(half, Chunk.around((z, y, x), 0))
        yield torch.from_numpy(data).clamp_(-CLIP, CLIP)[None, None]


def predict_preview(
    trainer: Trainer, tomogram: Tomogram, denoiser: Denoiser | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Predict the central region of a tomogram with the current network, after the denoiser if there is one.

    Returns
    -------
    tuple of ndarray
        Input and prediction, each ``(z, y, x)`` and the mean of all halves.
    """
    chunk = central_chunk(tomogram.shape, PREVIEW_SHAPE)
    halves = torch.from_numpy(tomogram.read_halves(chunk)).clamp_(-CLIP, CLIP)
    denoised = halves if denoiser is None else denoiser.apply(halves)
    prediction = trainer.predict_locally(denoised).mean(dim=0).cpu().numpy()
    return halves.mean(dim=0).numpy(), prediction
