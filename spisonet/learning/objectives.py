"""What the network is asked to learn.

An objective owns the data it draws batches from. The trainer calls `begin_epoch` before every epoch,
`refresh` with the current averaged network at its start and whenever `refresh_interval` updates have
passed, and `loss` for every batch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch.nn import functional

from spisonet.geometry.rotations import cube_rotations
from spisonet.learning.rotational_averaging import RotationalAveraging, rotate90
from spisonet.learning.self_training import MISSING_WEIGHT, FilledMapTraining
from spisonet.learning.spectra import MAX_OVERSAMPLING, FourierWeight, apply_filter, frequency_points_rfft
from spisonet.learning.subvolumes import draw_rotations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from spisonet.learning.measurement import Measurement

MIN_REFRESH_INTERVAL = 10
MAX_REFRESH_COST = 0.2  # of the time spent on updates
FORWARD_AND_BACKWARD = 3  # cost of an update in forward passes
PREDICTION_PASSES, ROTATIONS_PER_PASS, ROTATION_SEED = 4, 4, 0


class Objective(Protocol):
    """What the trainer needs of an objective."""

    def begin_epoch(self, number: int) -> None:
        """Prepare for epoch `number`, from 0."""

    def refresh_interval(self, batch_size: int) -> int:
        """Return the number of updates between two refreshes; 0 for never."""

    def refresh(self, predict: Callable[[Tensor], Tensor]) -> None:
        """Renew what depends on the network's own prediction.

        `predict` maps volumes ``(n, z, y, x)`` to the network's answer for them.
        """

    def loss(
        self, network: Callable[[Tensor], Tensor], n_subvolumes: int, rng: np.random.Generator
    ) -> Tensor:
        """Mean loss over a new random batch, differentiable."""

    def predict(self, predict: Callable[[Tensor], Tensor]) -> Tensor | None:
        """Return the trained network's prediction of the measured object, if there is one.

        Its shape is ``(n_halves, z, y, x)``.
        """


class SelfTrainingObjective:
    """Filled-map self-training on rotated subvolumes; see `FilledMapTraining`.

    The targets are raw data if there are two halves. Input and target of one map alone share their
    noise: its raw data as a target would teach the network to undo the weight, noise included; the weighted
    data are the Wiener estimate.

    Parameters
    ----------
    measurement : Measurement
        Data and weight.
    cube_size : int
        Crop edge in voxels.
    missing_weight : float
        Weight of the hidden part of the residual relative to the visible part.
    max_oversampling : float
        How much finer the grid may be that turned crops are read from; a coarser one saves memory.
    """

    def __init__(
        self,
        measurement: Measurement,
        cube_size: int,
        missing_weight: float = MISSING_WEIGHT,
        max_oversampling: float = MAX_OVERSAMPLING,
    ) -> None:
        self._measurement = measurement
        self._cube_size = cube_size
        weight_rfft = measurement.fsc_weight_rfft.cpu().numpy()
        self._weight = FourierWeight(weight_rfft, measurement.shape[0], measurement.data.device)
        self._max_oversampling = max_oversampling
        self._training = FilledMapTraining(
            measurement.data if measurement.n_halves == 2 else measurement.weighted_data,
            self._weight,
            measurement.subvolume_centres,
            cube_size,
            measurement.band_fraction,
            missing_weight,
            max_oversampling,
        )
        self._projected = measurement.weighted_data
        if measurement.has_constraints:
            projected = measurement.complete(measurement.weighted_data, prior_weight=0.0)
            self._projected = apply_filter(projected, measurement.fsc_weight_rfft)

    def begin_epoch(self, number: int) -> None:
        """Do nothing: all epochs are alike."""

    def refresh_interval(self, batch_size: int) -> int:
        """Refill often, but spend no more than about a fifth of the training on it."""
        n_voxels = self._measurement.data.numel()
        update = FORWARD_AND_BACKWARD * batch_size * self._cube_size**3
        return max(MIN_REFRESH_INTERVAL, math.ceil(n_voxels / update / MAX_REFRESH_COST))

    def refresh(self, predict: Callable[[Tensor], Tensor]) -> None:
        """Fill the map with the network's prediction."""
        self._training.update_missing_region(self._measurement.complete(self._first_prediction(predict)))

    def loss(
        self, network: Callable[[Tensor], Tensor], n_subvolumes: int, rng: np.random.Generator
    ) -> Tensor:
        """Mean squared residual, weighted in Fourier space."""
        return self._training.draw(n_subvolumes, rng).loss(network)

    def predict(self, predict: Callable[[Tensor], Tensor]) -> Tensor:
        """Predict from the constrained map, then iterate on the completed map; the mean is returned.

        Each iteration completes the map with the last prediction and averages the network's predictions over
        random orientations (`RotationalAveraging`). Without a support or a view weight, the first prediction
        is returned.
        """
        prediction, measurement = self._first_prediction(predict), self._measurement
        if not measurement.has_constraints:
            return prediction
        total = prediction
        self._training.release()
        copies = RotationalAveraging(measurement, self._weight, self._max_oversampling)
        rng = np.random.default_rng(ROTATION_SEED)
        for _ in range(PREDICTION_PASSES):
            rotations = draw_rotations(ROTATIONS_PER_PASS, rng, measurement.data.device)
            prediction = copies.predict(predict, measurement.complete(prediction), rotations)
            total = total + prediction
        return total / (1 + PREDICTION_PASSES)

    def predict_rotated(
        self, predict: Callable[[Tensor], Tensor], answer: Tensor, n_turns: int, seed: int
    ) -> Iterator[Tensor]:
        """Answers to single turned copies of the map filled with `answer`: how they differ tells their error.

        Without a support, and where the weight is too blunt for filling again and again, there are none.

        Parameters
        ----------
        predict : callable
            Maps volumes ``(n, z, y, x)`` to the network's answer.
        answer : Tensor
            ``(n_halves, z, y, x)`` as `answer` gives it.
        n_turns, seed : int
            How many copies, and the seed of their orientations.

        Yields
        ------
        Tensor
            ``(n_halves, z, y, x)``.
        """
        measurement = self._measurement
        if not measurement.has_constraints:
            return
        self._training.release()
        copies = RotationalAveraging(measurement, self._weight, self._max_oversampling)
        rotations = draw_rotations(n_turns, np.random.default_rng(seed), measurement.data.device)
        yield from copies.predictions(predict, measurement.complete(answer), rotations)

    def _first_prediction(self, predict: Callable[[Tensor], Tensor]) -> Tensor:
        """Answer to the map filled without a network, filtered as in training."""
        return self._measurement.within_support(predict, self._projected)


class EquivarianceObjective:
    """The three losses of spIsoNet: consistency, equivariance and noise2noise.

    With two crops ``x1, x2`` of the same place in the two halves (in random order),
    ``p_i = f(x_i)``, ``A v = F⁻¹(M F v)``, ``R`` one of the 24 rotations of the cube and
    ``q = f(A R p1)``::

        L = alpha |q - R p1| + |A p1 - x1| + beta (alpha |q - R p2| + |A p1 - x2|)

    where ``|.|`` is the mean absolute value. With one half the beta term is absent.

    Parameters
    ----------
    measurement : Measurement
        Data and weight.
    cube_size : int
        Crop edge in voxels.
    alpha, beta : float
        Weights of the equivariance and of the noise2noise losses.

    References
    ----------
    Liu, Fan, Hu & Zhou (2025) Nat. Methods 22, 113-123 (spIsoNet).
    """

    def __init__(self, measurement: Measurement, cube_size: int, alpha: float, beta: float) -> None:
        self._measurement = measurement
        self._cube_size = cube_size
        self._alpha, self._beta = alpha, beta
        device = measurement.data.device
        weight_rfft = measurement.fsc_weight_rfft.cpu().numpy()
        weight = FourierWeight(weight_rfft, measurement.shape[0], device)
        self._weight = weight.at(frequency_points_rfft(cube_size, device))
        corners = (measurement.subvolume_centres.round().long() - cube_size // 2).cpu()
        highest = torch.tensor(measurement.shape[::-1]) - cube_size
        self._corners = torch.unique(torch.minimum(corners.clamp(min=0), highest), dim=0)
        self._rotations = cube_rotations()

    def begin_epoch(self, number: int) -> None:
        """Do nothing: all epochs are alike."""

    def refresh_interval(self, batch_size: int) -> int:
        """Return 0: nothing depends on an earlier prediction."""
        return 0

    def refresh(self, predict: Callable[[Tensor], Tensor]) -> None:
        """Do nothing."""

    def loss(
        self, network: Callable[[Tensor], Tensor], n_subvolumes: int, rng: np.random.Generator
    ) -> Tensor:
        """Mean absolute residuals, summed as published."""
        first, second = self._subvolume_pairs(n_subvolumes, rng)
        chosen = rng.integers(0, len(self._rotations), n_subvolumes)
        prediction1 = network(first)
        turned1 = self._turn(prediction1, chosen)
        again = network(apply_filter(turned1, self._weight))
        seen = apply_filter(prediction1, self._weight)
        loss = self._alpha * functional.l1_loss(again, turned1) + functional.l1_loss(seen, first)
        if self._measurement.n_halves == 1:
            return loss
        turned2 = self._turn(network(second), chosen)
        return loss + self._beta * (
            self._alpha * functional.l1_loss(again, turned2) + functional.l1_loss(seen, second)
        )

    def predict(self, predict: Callable[[Tensor], Tensor]) -> Tensor:
        """Predict from the data as they are."""
        return self._measurement.within_support(predict, self._measurement.data)

    def _subvolume_pairs(self, n_subvolumes: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        data, edge = self._measurement.data, self._cube_size
        corners = self._corners[torch.from_numpy(rng.integers(0, len(self._corners), n_subvolumes))].tolist()
        cubes = torch.stack([data[:, z : z + edge, y : y + edge, x : x + edge] for x, y, z in corners])
        order = torch.from_numpy(rng.integers(0, data.shape[0], n_subvolumes))
        index = torch.arange(n_subvolumes)
        return cubes[index, order], cubes[index, data.shape[0] - 1 - order]

    def _turn(self, cubes: Tensor, chosen: np.ndarray) -> Tensor:
        return torch.stack(
            [rotate90(cube, self._rotations[which]) for cube, which in zip(cubes, chosen, strict=True)]
        )
