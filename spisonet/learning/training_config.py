"""Options of a training, and the training job that suits the measurement and the memory."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from spisonet.errors import SpisonetError
from spisonet.learning.devices import computes_in_bfloat16
from spisonet.learning.objectives import EquivarianceObjective, Objective, SelfTrainingObjective
from spisonet.learning.size_config import DEFAULT_FILTER_BASE, NETWORK_MULTIPLE
from spisonet.learning.spectra import useful_oversampling
from spisonet.learning.tiling import MARGIN, TILE_MULTIPLE
from spisonet.learning.trainer import TrainingOptions
from spisonet.learning.training_job import TrainingJob
from spisonet.learning.unet import Network, PublishedUNet, UNet, WhitenedUNet

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from spisonet.learning.measurement import Measurement
    from spisonet.learning.memory import Memory

log = logging.getLogger("spisonet")

SMALLEST_CUBE_SIZE = 16
NETWORK_OF_OBJECTIVE: dict[str, type[Network]] = {"self-training": UNet, "ei": PublishedUNet}
DEFAULT_BATCH_SIZE = {"self-training": 2, "ei": 4}  # for each process
DEFAULT_ALPHA, DEFAULT_BETA = 1.0, 0.5  # weights of the losses of ei
DEFAULT_LEARNING_RATE = {"self-training": 2e-3, "ei": 3e-4}  # for that batch in one process
PRETRAINED_LEARNING_RATE = 5e-4  # of a training that starts from a `WhitenedUNet`


@dataclass(frozen=True)
class TrainingConfig:
    """Training options, as those of ``reconstruct`` of the same names.

    Attributes
    ----------
    objective : str
        ``self-training`` (filled-map self-training) or ``ei`` (the published losses).
    epochs, n_subvolume, cube_size, acc_batches, seed : int
        See the options.
    filter_base, batch_size, learning_rate, predict_crop_size : number or None
        See the options; None for the default.
    alpha, beta : float
        Weights of the equivariance and noise2noise losses of ``ei``.
    until_plateau : bool
        `epochs` is the largest number; see `TrainingOptions`.
    """

    objective: str
    epochs: int
    n_subvolume: int
    cube_size: int
    filter_base: int | None
    acc_batches: int
    seed: int
    batch_size: int | None
    learning_rate: float | None
    predict_crop_size: int | None
    alpha: float
    beta: float
    until_plateau: bool = False

    @classmethod
    def from_options(cls, options: object, **values: Any) -> Self:
        """Return the training options of an object that has attributes of the same names.

        Parameters
        ----------
        options : object
            Such as the configuration of a command.
        **values
            Values that replace those of `options`, by name.
        """
        names = {field.name for field in fields(cls)} - {"until_plateau"} - set(values)
        return cls(**{name: getattr(options, name) for name in names}, **values)

    def warn_of_unused_options(self) -> None:
        """Log a warning if `alpha` or `beta` are not the defaults but the objective does not use them."""
        changed = {"--alpha": self.alpha != DEFAULT_ALPHA, "--beta": self.beta != DEFAULT_BETA}
        names = [name for name, is_changed in changed.items() if is_changed]
        if self.objective != "ei" and names:
            log.warning(
                "%s: no effect with --objective %s; only --objective ei has these losses.",
                " and ".join(names),
                self.objective,
            )

    def training_job(
        self,
        title: str,
        measurement: Measurement,
        memory: Memory,
        n_processes: int = 1,
        start: Network | None = None,
    ) -> TrainingJob:
        """Create the training job for a measurement.

        Parameters
        ----------
        title : str
            Name of the training in the log.
        measurement : Measurement
            Training data.
        memory : Memory
            Memory of the device.
        n_processes : int
            Number of processes that train together.
        start : Network, optional
            Network with the initial weights. A `WhitenedUNet` needs a support and a view weight.
        """
        torch.manual_seed(self.seed)
        published = self.objective == "ei"
        network: Network = NETWORK_OF_OBJECTIVE[self.objective](self.filter_base or DEFAULT_FILTER_BASE)
        if start is not None:
            network = type(start)(start.filter_base)
            network.load_state_dict(start.state_dict())
        whitened = isinstance(network, WhitenedUNet)
        make_objective: Callable[[Measurement], Objective] = partial(
            EquivarianceObjective, cube_size=self.cube_size, alpha=self.alpha, beta=self.beta
        )
        if not published:
            oversampling = memory.largest_oversampling(measurement.data.numel(), measurement.n_halves)
            if oversampling < useful_oversampling(measurement.band_fraction):
                log.info(
                    "The interpolation grid is oversampled %.2f times only, to save memory.",
                    max(1, oversampling),
                )
            make_objective = partial(
                SelfTrainingObjective,
                cube_size=self.cube_size,
                max_oversampling=oversampling,
                whitened=whitened,
            )
        default_rate = PRETRAINED_LEARNING_RATE if whitened else DEFAULT_LEARNING_RATE[self.objective]
        batch_size = self.batch_size or DEFAULT_BATCH_SIZE[self.objective] * n_processes
        options = training_options(
            network,
            memory,
            n_processes,
            epochs=self.epochs,
            subvolumes_per_epoch=self.n_subvolume,
            batch_size=max(n_processes, min(batch_size, self.n_subvolume)),
            default_batch_size=DEFAULT_BATCH_SIZE[self.objective],
            cube_size=self.cube_size,
            min_splits=self.acc_batches,
            learning_rate=self.learning_rate,
            default_learning_rate=default_rate,
            seed=self.seed,
            published=published,
            until_plateau=self.until_plateau,
        )
        return TrainingJob(
            title, measurement, make_objective, network, options, self._tile_size(network, memory)
        )

    def _tile_size(self, network: Network, memory: Memory) -> int:
        if self.predict_crop_size is None:
            return memory.largest_tile(network)
        tile_size = -(-self.predict_crop_size // TILE_MULTIPLE) * TILE_MULTIPLE
        return max(tile_size, 2 * MARGIN + TILE_MULTIPLE)


def training_options(
    network: Network,
    memory: Memory,
    n_processes: int,
    *,
    epochs: int,
    subvolumes_per_epoch: int,
    batch_size: int,
    default_batch_size: int,
    cube_size: int,
    min_splits: int,
    learning_rate: float | None,
    default_learning_rate: float,
    seed: int,
    published: bool = False,
    until_plateau: bool = False,
) -> TrainingOptions:
    """Return the parameters of a training that fit the memory and the batch size.

    Parameters
    ----------
    network : Network
        The network, on the CPU.
    memory : Memory
        Memory of the device.
    n_processes : int
        Number of processes that train together.
    epochs, subvolumes_per_epoch, batch_size, seed, published, until_plateau
        See `TrainingOptions`.
    default_batch_size : int
        Batch size in one process for which the default learning rate is optimal.
    cube_size : int
        Edge of training subvolumes in voxels.
    min_splits : int
        Number of parts of a batch; more are used if memory requires.
    learning_rate : float or None
        Maximum learning rate; None for the default, scaled by the square root of the batch size unless
        `published`.
    default_learning_rate : float
        Learning rate for the default batch size.
    """
    bytes_per_value = 2 if computes_in_bfloat16(memory.device) and not published else 4
    local_batch = -(-batch_size // n_processes)
    n_splits = memory.batch_splits(network, local_batch, cube_size, bytes_per_value)
    rate = default_learning_rate
    if not published:
        rate *= math.sqrt(batch_size / default_batch_size)  # gradients of larger batches are less noisy
    return TrainingOptions(
        epochs=epochs,
        subvolumes_per_epoch=subvolumes_per_epoch,
        batch_size=batch_size,
        n_splits=max(n_splits, min_splits),
        learning_rate=learning_rate or rate,
        seed=seed,
        published=published,
        until_plateau=until_plateau,
    )


def check_cube_size(requested: int) -> None:
    """Check that the network accepts subvolumes of this edge.

    Raises
    ------
    SpisonetError
        If the edge is not a multiple of 8.
    """
    if requested % NETWORK_MULTIPLE:
        raise SpisonetError(
            f"--cube_size {requested} is not a multiple of {NETWORK_MULTIPLE}, as the network requires.",
            field="cube_size",
        )


def fitting_cube_size(requested: int, box: int) -> int:
    """Return the largest subvolume edge that fits into a box, at most the requested one.

    Raises
    ------
    SpisonetError
        If the requested edge is not a multiple of 8, or the box is too small.
    """
    check_cube_size(requested)
    fitting = min(requested, box // NETWORK_MULTIPLE * NETWORK_MULTIPLE)
    if fitting < SMALLEST_CUBE_SIZE:
        raise SpisonetError(
            f"The box of {box} voxels is too small: at least {SMALLEST_CUBE_SIZE} are required."
        )
    return fitting
