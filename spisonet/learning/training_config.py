"""From a user's choices to a training_job that fits the measurement and the memory."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch

from spisonet.errors import SpisonetError
from spisonet.learning.devices import computes_in_bfloat16
from spisonet.learning.objectives import EquivarianceObjective, Objective, SelfTrainingObjective
from spisonet.learning.spectra import useful_oversampling
from spisonet.learning.tiling import MARGIN, TILE_MULTIPLE
from spisonet.learning.trainer import TrainingOptions
from spisonet.learning.training_job import TrainingJob
from spisonet.learning.unet import DEPTH, Network, PublishedUNet, UNet

if TYPE_CHECKING:
    from collections.abc import Callable

    from spisonet.learning.measurement import Measurement
    from spisonet.learning.memory import Memory

log = logging.getLogger("spisonet")

SMALLEST_CUBE = 16
NETWORKS: dict[str, type[Network]] = {"self-training": UNet, "ei": PublishedUNet}
DEFAULT_BATCH_SIZE = {"self-training": 2, "ei": 4}  # for each process
DEFAULT_LEARNING_RATE = {"self-training": 2e-3, "ei": 3e-4}  # for that batch in one process


@dataclass(frozen=True)
class TrainingConfig:
    """What to train and for how long; see the options of ``reconstruct`` of the same names.

    Attributes
    ----------
    objective : str
        ``replay`` or ``ei``.
    epochs, n_subvolume, cube_size, filter_base, acc_batches, seed : int
        As there.
    batch_size, learning_rate, predict_crop_size : number or None
        As there; None for the default.
    alpha, beta : float
        Weights of the losses of ``ei``.
    """

    objective: str
    epochs: int
    n_subvolume: int
    cube_size: int
    filter_base: int
    acc_batches: int
    seed: int
    batch_size: int | None
    learning_rate: float | None
    predict_crop_size: int | None
    alpha: float
    beta: float

    def training_job(
        self,
        title: str,
        measurement: Measurement,
        memory: Memory,
        n_processes: int = 1,
        start: Network | None = None,
    ) -> TrainingJob:
        """Say what a network is to learn from a measurement, and how.

        Parameters
        ----------
        title : str
            What to call the training in the log.
        measurement : Measurement
            What to learn from.
        memory : Memory
            The device, and what of its memory may be used.
        n_processes : int
            How many train together.
        start : Network, optional
            Whose weights to start from.
        """
        torch.manual_seed(self.seed)
        published = self.objective == "ei"
        network: Network = NETWORKS[self.objective](self.filter_base)
        if start is not None:
            network.load_state_dict(start.state_dict())
        make_objective: Callable[[Measurement], Objective] = partial(
            EquivarianceObjective, cube_size=self.cube_size, alpha=self.alpha, beta=self.beta
        )
        if not published:
            oversampling = memory.largest_oversampling(measurement.data.numel(), measurement.n_halves)
            if oversampling < useful_oversampling(measurement.band_fraction):
                log.info(
                    "To save memory, crops are read from a grid %.2f times as fine.", max(1, oversampling)
                )
            make_objective = partial(
                SelfTrainingObjective, cube_size=self.cube_size, max_oversampling=oversampling
            )
        usual_batch = DEFAULT_BATCH_SIZE[self.objective]
        batch_size = self.batch_size or usual_batch * n_processes
        batch_size = max(n_processes, min(batch_size, self.n_subvolume))
        bytes_per_value = 2 if computes_in_bfloat16(memory.device) and not published else 4
        share = -(-batch_size // n_processes)
        n_splits = memory.batch_splits(network, share, self.cube_size, bytes_per_value)
        rate = DEFAULT_LEARNING_RATE[self.objective]
        if not published:
            rate *= math.sqrt(batch_size / usual_batch)  # the steps of larger batches are less noisy
        options = TrainingOptions(
            epochs=self.epochs,
            subvolumes_per_epoch=self.n_subvolume,
            batch_size=batch_size,
            n_splits=max(n_splits, self.acc_batches),
            learning_rate=self.learning_rate or rate,
            seed=self.seed,
            published=published,
        )
        if self.epochs:
            log.info("Training on %s: %d updates of %d crops.", title, options.n_updates, batch_size)
        return TrainingJob(
            title, measurement, make_objective, network, options, self._tile_size(network, memory)
        )

    def _tile_size(self, network: Network, memory: Memory) -> int:
        if self.predict_crop_size is None:
            return memory.largest_tile(network)
        whole = -(-self.predict_crop_size // TILE_MULTIPLE) * TILE_MULTIPLE
        return max(whole, 2 * MARGIN + TILE_MULTIPLE)


def check_cube_size(requested: int) -> None:
    """Check that the network can take cubes of this edge.

    Raises
    ------
    SpisonetError
        If not.
    """
    if requested % 2**DEPTH:
        raise SpisonetError(
            f"--cube_size {requested} does not suit the network: give a multiple of {2**DEPTH}.",
            field="cube_size",
        )


def fitting_cube_size(requested: int, box: int) -> int:
    """Return the edge of training cubes that a box has room for, at most what is requested.

    Raises
    ------
    SpisonetError
        If the network cannot take it, or the box is too small for any.
    """
    check_cube_size(requested)
    multiple: int = 2**DEPTH
    fitting = min(requested, box // multiple * multiple)
    if fitting < SMALLEST_CUBE:
        raise SpisonetError(
            f"The box of {box} voxels is too small: the network needs {SMALLEST_CUBE} or more."
        )
    return fitting
