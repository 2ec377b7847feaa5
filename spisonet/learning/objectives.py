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
from spisonet.learning.crops import draw_rotations
from spisonet.learning.replay import MISSING_WEIGHT, Replay
from spisonet.learning.spectra import MAX_OVERSAMPLING, FourierWeight, apply_filter, frequency_points_rfft
from spisonet.learning.turning import TurnedCopies, turn_cube

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from spisonet.learning.measurement import Measurement

MIN_REFRESH_INTERVAL = 10
MAX_REFRESH_COST = 0.2  # of the time spent on updates
FORWARD_AND_BACKWARD = 3  # cost of an update in forward passes
ANSWER_PASSES, TURNS_A_PASS, TURNS_SEED = 4, 4, 0


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

    def loss(self, network: Callable[[Tensor], Tensor], n_crops: int, rng: np.random.Generator) -> Tensor:
        """Mean loss over a new random batch, differentiable."""

    def answer(self, predict: Callable[[Tensor], Tensor]) -> Tensor | None:
        """Return the trained network's prediction of the measured object, if there is one.

        Its shape is ``(n_halves, z, y, x)``.
        """


class ReplayObjective:
    """Filled-map replay: hide again, in turned copies of the map, what the measurement lacks; see `Replay`.

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
        weight_rfft = measurement.weight_rfft.cpu().numpy()
        self._weight = FourierWeight(weight_rfft, measurement.shape[0], measurement.data.device)
        self._max_oversampling = max_oversampling
        self._replay = Replay(
            measurement.data if measurement.n_halves == 2 else measurement.weighted_data,
            self._weight,
            measurement.crop_centres,
            cube_size,
            measurement.band_fraction,
            missing_weight,
            max_oversampling,
        )
        self._projected = measurement.weighted_data
        if measurement.can_fill_repeatedly:
            projected = measurement.fill(measurement.weighted_data, hold=0.0)
            self._projected = apply_filter(projected, measurement.weight_rfft)

    def begin_epoch(self, number: int) -> None:
        """Do nothing: all epochs are alike."""

    def refresh_interval(self, batch_size: int) -> int:
        """Refill often, but spend no more than about a fifth of the training on it."""
        n_voxels = self._measurement.data.numel()
        update = FORWARD_AND_BACKWARD * batch_size * self._cube_size**3
        return max(MIN_REFRESH_INTERVAL, math.ceil(n_voxels / update / MAX_REFRESH_COST))

    def refresh(self, predict: Callable[[Tensor], Tensor]) -> None:
        """Fill the map with the network's prediction."""
        self._replay.refill(self._measurement.fill(self._first_answer(predict)))

    def loss(self, network: Callable[[Tensor], Tensor], n_crops: int, rng: np.random.Generator) -> Tensor:
        """Mean squared residual, weighted in Fourier space."""
        return self._replay.draw(n_crops, rng).loss(network)

    def answer(self, predict: Callable[[Tensor], Tensor]) -> Tensor:
        """Predict the map, then some times what it shows once it is filled, and take the mean.

        Each time the map is filled with the last prediction and the network asked about turned copies of it
        (`TurnedCopies`): copies of the filled map are what it was trained on, and turning averages out its
        errors. Without a support, and where the weight is too blunt for filling again and again, the first
        prediction is the answer.
        """
        prediction, measurement = self._first_answer(predict), self._measurement
        if not measurement.can_fill_repeatedly:
            return prediction
        total = prediction
        self._replay.release()
        copies = TurnedCopies(measurement, self._weight, self._max_oversampling)
        rng = np.random.default_rng(TURNS_SEED)
        for _ in range(ANSWER_PASSES):
            rotations = draw_rotations(TURNS_A_PASS, rng, measurement.data.device)
            prediction = copies.answer(predict, measurement.fill(prediction), rotations)
            total = total + prediction
        return total / (1 + ANSWER_PASSES)

    def single_answers(
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
        if not measurement.can_fill_repeatedly:
            return
        self._replay.release()
        copies = TurnedCopies(measurement, self._weight, self._max_oversampling)
        rotations = draw_rotations(n_turns, np.random.default_rng(seed), measurement.data.device)
        yield from copies.answers(predict, measurement.fill(answer), rotations)

    def _first_answer(self, predict: Callable[[Tensor], Tensor]) -> Tensor:
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
        weight_rfft = measurement.weight_rfft.cpu().numpy()
        weight = FourierWeight(weight_rfft, measurement.shape[0], device)
        self._weight = weight.at(frequency_points_rfft(cube_size, device))
        corners = (measurement.crop_centres.round().long() - cube_size // 2).cpu()
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

    def loss(self, network: Callable[[Tensor], Tensor], n_crops: int, rng: np.random.Generator) -> Tensor:
        """Mean absolute residuals, summed as published."""
        first, second = self._crop_pairs(n_crops, rng)
        chosen = rng.integers(0, len(self._rotations), n_crops)
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

    def answer(self, predict: Callable[[Tensor], Tensor]) -> Tensor:
        """Predict from the data as they are."""
        return self._measurement.within_support(predict, self._measurement.data)

    def _crop_pairs(self, n_crops: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        data, edge = self._measurement.data, self._cube_size
        corners = self._corners[torch.from_numpy(rng.integers(0, len(self._corners), n_crops))].tolist()
        cubes = torch.stack([data[:, z : z + edge, y : y + edge, x : x + edge] for x, y, z in corners])
        order = torch.from_numpy(rng.integers(0, data.shape[0], n_crops))
        index = torch.arange(n_crops)
        return cubes[index, order], cubes[index, data.shape[0] - 1 - order]

    def _turn(self, cubes: Tensor, chosen: np.ndarray) -> Tensor:
        return torch.stack(
            [turn_cube(cube, self._rotations[which]) for cube, which in zip(cubes, chosen, strict=True)]
        )
