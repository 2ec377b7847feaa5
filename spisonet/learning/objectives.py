"""Training objectives: losses over random batches of subvolumes.

An objective owns the data from which it draws batches. The trainer calls `begin_epoch` before every epoch,
`refresh` with the current averaged network before the first update and then every `refresh_interval` updates,
and `draw` for every update.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch.nn import functional

from spisonet.geometry.rotations import cube_rotations
from spisonet.learning.previews import report_completed
from spisonet.learning.refresh_schedule import refresh_interval
from spisonet.learning.rotational_averaging import RotationalAveraging, rotate90
from spisonet.learning.self_training import MISSING_WEIGHT, FilledMapTraining
from spisonet.learning.spectra import MAX_OVERSAMPLING, FourierWeight, apply_filter, frequency_points_rfft
from spisonet.learning.subvolumes import draw_rotations
from spisonet.learning.whitening import Whitening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from spisonet.learning.measurement import Measurement

PREDICTION_PASSES, ROTATIONS_PER_PASS, ROTATION_SEED = 2, 4, 0


class Batch(Protocol):
    """A random batch of subvolumes."""

    def loss(self, network: Callable[[Tensor], Tensor], part: slice) -> Tensor:
        """Mean loss of a part of the batch, differentiable."""


class Objective(Protocol):
    """Loss and data of a training."""

    def begin_epoch(self, number: int) -> None:
        """Prepare for epoch `number`, from 0."""

    def refresh_interval(self, batch_size: int) -> int:
        """Return the number of updates between two refreshes; 0 for never."""

    def refresh(self, number: int, predict: Callable[[Tensor], Tensor]) -> None:
        """Update what depends on the network's own prediction.

        Parameters
        ----------
        number : int
            Number of the refresh, from 0.
        predict : callable
            Maps volumes ``(n, z, y, x)`` to the network's prediction.
        """

    def memory_settings(self) -> dict[str, float]:
        """Return the settings that follow from the free memory and change the training; JSON-serialisable."""

    def restore_memory_settings(self, settings: dict[str, float]) -> None:
        """Use the memory settings of the run that is resumed; called before the first refresh."""

    def draw(self, n_subvolumes: int, rng: np.random.Generator) -> Batch:
        """Draw a random batch."""

    @property
    def n_predictions(self) -> int:
        """Number of maps that `predict` applies the network to; 0 for tomograms."""

    def predict(self, predict: Callable[[Tensor], Tensor]) -> Tensor | None:
        """Return the trained network's prediction ``(n_halves, z, y, x)``; None for tomograms."""


class SelfTrainingObjective:
    """Filled-map self-training on rotated subvolumes; see `FilledMapTraining`.

    With two halves the targets are raw data. With a single map, input and target share their noise, and raw
    data as targets would train the network to invert the weight, noise included; the targets then are the
    weighted data ``C y``, the Wiener estimate.

    Parameters
    ----------
    measurement : Measurement
        Data and weights.
    cube_size : int
        Subvolume edge in voxels.
    missing_weight : float
        Weight of the missing part of the residual relative to the visible part.
    max_oversampling : float
        Maximum oversampling factor of the interpolation grid; a lower one saves memory.
    whitened : bool
        Train and predict on whitened maps (`Whitening`), if there are a support and a view weight.
    """

    def __init__(
        self,
        measurement: Measurement,
        cube_size: int,
        missing_weight: float = MISSING_WEIGHT,
        max_oversampling: float = MAX_OVERSAMPLING,
        whitened: bool = False,
    ) -> None:
        self._measurement = measurement
        self._cube_size = cube_size
        weight_rfft = measurement.fsc_weight_rfft.cpu().numpy()
        self._weight = FourierWeight(weight_rfft, measurement.shape[0], measurement.data.device)
        self._missing_weight, self._max_oversampling = missing_weight, max_oversampling
        self._source: FilledMapTraining | None = None
        self._constrained, self._whitening = measurement.weighted_data, None
        if measurement.has_constraints:
            prior = measurement.prior
            completed = None if prior is None else measurement.complete(prior)
            if whitened or completed is None:
                by_constraints = measurement.complete_by_constraints()
                self._whitening = Whitening.of(measurement, by_constraints) if whitened else None
                completed = by_constraints if completed is None else completed
            self._constrained = self._whiten(apply_filter(completed, measurement.fsc_weight_rfft))

    @property
    def _training(self) -> FilledMapTraining:
        """Source of subvolumes, made at the first use: predictions alone do not need its memory."""
        if self._source is None:
            measurement = self._measurement
            self._source = FilledMapTraining(
                self._whiten(measurement.data if measurement.n_halves == 2 else measurement.weighted_data),
                self._weight,
                measurement.subvolume_centres,
                self._cube_size,
                measurement.band_fraction,
                self._missing_weight,
                self._max_oversampling,
            )
        return self._source

    def begin_epoch(self, number: int) -> None:
        """Do nothing: all epochs are equal."""

    def refresh_interval(self, batch_size: int) -> int:
        """Return the interval at which updates of the missing region cost at most a fifth of the training."""
        return refresh_interval(self._measurement.data.numel(), batch_size, self._cube_size)

    def refresh(self, number: int, predict: Callable[[Tensor], Tensor]) -> None:
        """Fill the missing region of the map with the network's prediction."""
        completed = self._measurement.complete(self.first_prediction(predict))
        report_completed(self._measurement.data, completed)
        self._training.update_missing_region(self._whiten(completed))

    def memory_settings(self) -> dict[str, float]:
        """Return nothing."""
        return {}

    def restore_memory_settings(self, settings: dict[str, float]) -> None:
        """Do nothing."""

    def draw(self, n_subvolumes: int, rng: np.random.Generator) -> Batch:
        """Draw subvolumes at random positions and in random orientations."""
        return self._training.draw(n_subvolumes, rng)

    @property
    def n_predictions(self) -> int:
        """One map of each half, and its rotated copies."""
        n_copies = PREDICTION_PASSES * ROTATIONS_PER_PASS if self._measurement.has_constraints else 0
        return self._measurement.n_halves * (1 + n_copies)

    def predict(self, predict: Callable[[Tensor], Tensor]) -> Tensor:
        """Predict from the first completed map, then iterate on the completed map; the mean is returned.

        Each iteration completes the map with the last prediction and averages the network's predictions over
        random orientations (`RotationalAveraging`). Without a support or a view weight, the first prediction
        is returned.
        """
        prediction, measurement = self.first_prediction(predict), self._measurement
        if not measurement.has_constraints:
            return prediction
        total = prediction
        self._discard_completed()
        averaging = RotationalAveraging(measurement, self._weight, self._max_oversampling)
        rng = np.random.default_rng(ROTATION_SEED)
        for _ in range(PREDICTION_PASSES):
            rotations = draw_rotations(ROTATIONS_PER_PASS, rng, measurement.data.device)
            completed = self._whiten(measurement.complete(prediction))
            prediction = self._restore(averaging.predict(predict, completed, rotations))
            total = total + prediction
        return total / (1 + PREDICTION_PASSES)

    def predict_rotated(
        self, predict: Callable[[Tensor], Tensor], prediction: Tensor, n_rotations: int, seed: int
    ) -> Iterator[Tensor]:
        """Predict single rotated copies of the completed map; their variance is a measure of the error.

        Without a support or a view weight, there are no such predictions.

        Parameters
        ----------
        predict : callable
            Maps volumes ``(n, z, y, x)`` to the network's prediction.
        prediction : Tensor
            ``(n_halves, z, y, x)``, the result of `predict`, which completes the map.
        n_rotations, seed : int
            Number of copies, and the seed of their orientations.

        Yields
        ------
        Tensor
            ``(n_halves, z, y, x)``.
        """
        measurement = self._measurement
        if not measurement.has_constraints:
            return
        self._discard_completed()
        averaging = RotationalAveraging(measurement, self._weight, self._max_oversampling)
        rotations = draw_rotations(n_rotations, np.random.default_rng(seed), measurement.data.device)
        completed = self._whiten(measurement.complete(prediction))
        for rotated in averaging.predictions(predict, completed, rotations):
            yield self._restore(rotated)

    def _discard_completed(self) -> None:
        """Free the memory of the completed map, if there is one."""
        if self._source is not None:
            self._source.discard_completed()

    def first_prediction(self, predict: Callable[[Tensor], Tensor]) -> Tensor:
        """Predict from the map completed by the prior, else by constraints, filtered as in training."""
        return self._restore(self._measurement.within_support(predict, self._constrained))

    def _whiten(self, volumes: Tensor) -> Tensor:
        return volumes if self._whitening is None else self._whitening.apply(volumes)

    def _restore(self, volumes: Tensor) -> Tensor:
        return volumes if self._whitening is None else self._whitening.restore(volumes)


class EquivarianceObjective:
    """The three losses of spIsoNet: consistency, equivariance and noise2noise.

    With two subvolumes ``x1, x2`` at the same position in the two halves (in random order),
    ``p_i = f(x_i)``, ``A v = F⁻¹(C F v)``, ``R`` one of the 24 rotations of the cube and
    ``q = f(A R p1)``::

        L = alpha |q - R p1| + |A p1 - x1| + beta (alpha |q - R p2| + |A p1 - x2|)

    where ``|.|`` is the mean absolute value. With one half the beta term is absent.

    Parameters
    ----------
    measurement : Measurement
        Data and weights.
    cube_size : int
        Subvolume edge in voxels.
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
        """Do nothing: all epochs are equal."""

    def refresh_interval(self, batch_size: int) -> int:
        """Return 0: the data do not depend on predictions."""
        return 0

    def refresh(self, number: int, predict: Callable[[Tensor], Tensor]) -> None:
        """Do nothing."""

    def memory_settings(self) -> dict[str, float]:
        """Return nothing: the data are always in memory as a whole."""
        return {}

    def restore_memory_settings(self, settings: dict[str, float]) -> None:
        """Do nothing."""

    def draw(self, n_subvolumes: int, rng: np.random.Generator) -> Batch:
        """Draw subvolumes at random positions, and for each a rotation and the half of the input."""
        data = self._measurement.data
        corners = self._corners[torch.from_numpy(rng.integers(0, len(self._corners), n_subvolumes))]
        halves = torch.from_numpy(rng.integers(0, data.shape[0], n_subvolumes))
        rotations = rng.integers(0, len(self._rotations), n_subvolumes)
        return _EquivarianceBatch(self, corners, halves, rotations)

    def loss(
        self, network: Callable[[Tensor], Tensor], first: Tensor, second: Tensor, rotations: NDArray[np.int64]
    ) -> Tensor:
        """Weighted sum of the mean absolute residuals, as published.

        Parameters
        ----------
        network : callable
            Maps subvolumes ``(n, z, y, x)`` to predictions.
        first, second : Tensor
            ``(n, z, y, x)`` subvolumes of the two halves.
        rotations : ndarray of int
            ``(n,)`` numbers of the rotations of the cube.
        """
        prediction1 = network(first)
        rotated1 = self._rotate(prediction1, rotations)
        repeated = network(apply_filter(rotated1, self._weight))
        filtered = apply_filter(prediction1, self._weight)
        loss = self._alpha * functional.l1_loss(repeated, rotated1) + functional.l1_loss(filtered, first)
        if self._measurement.n_halves == 1:
            return loss
        rotated2 = self._rotate(network(second), rotations)
        return loss + self._beta * (
            self._alpha * functional.l1_loss(repeated, rotated2) + functional.l1_loss(filtered, second)
        )

    def subvolume_pairs(self, corners: Tensor, halves: Tensor) -> tuple[Tensor, Tensor]:
        """Return subvolumes ``(n, z, y, x)`` of the given halves, and of the other ones.

        Parameters
        ----------
        corners : Tensor
            ``(n, 3)`` first voxels ``(x, y, z)``.
        halves : Tensor
            ``(n,)`` indices of the halves.
        """
        data, edge = self._measurement.data, self._cube_size
        subvolumes = torch.stack(
            [data[:, z : z + edge, y : y + edge, x : x + edge] for x, y, z in corners.tolist()]
        )
        index = torch.arange(len(corners))
        return subvolumes[index, halves], subvolumes[index, data.shape[0] - 1 - halves]

    @property
    def n_predictions(self) -> int:
        """One map of each half."""
        return self._measurement.n_halves

    def predict(self, predict: Callable[[Tensor], Tensor]) -> Tensor:
        """Predict from the unfiltered data."""
        return self._measurement.within_support(predict, self._measurement.data)

    def _rotate(self, subvolumes: Tensor, chosen: np.ndarray) -> Tensor:
        pairs = zip(subvolumes, chosen, strict=True)
        return torch.stack([rotate90(subvolume, self._rotations[which]) for subvolume, which in pairs])


@dataclass(frozen=True)
class _EquivarianceBatch:
    objective: EquivarianceObjective
    corners: Tensor
    halves: Tensor
    rotations: NDArray[np.int64]

    def loss(self, network: Callable[[Tensor], Tensor], part: slice) -> Tensor:
        """Mean loss of a part of the batch."""
        first, second = self.objective.subvolume_pairs(self.corners[part], self.halves[part])
        return self.objective.loss(network, first, second, self.rotations[part])
