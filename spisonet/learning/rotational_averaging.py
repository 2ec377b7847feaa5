"""Average a network's predictions over rotated copies of a completed map (test-time augmentation)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from spisonet.learning.measurement import SUPPORT_THRESHOLD
from spisonet.learning.size_config import NETWORK_MULTIPLE
from spisonet.learning.spectra import (
    MAX_OVERSAMPLING,
    FourierWeight,
    OversampledVolumes,
    apply_filter,
    frequency_points_rfft,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from spisonet.learning.measurement import Measurement

PLANES_AT_ONCE = 32  # for which sampling positions are in memory


class RotationalAveraging:
    """Prediction averaged over rotated copies of a completed map.

    A copy is rotated about the centre of the support, filtered by the smooth weight ``C`` as training inputs
    are, predicted, and rotated back. Each rotation brings other parts of the particle's spectrum into the
    unmeasured directions, so that errors of the predictions average out.

    Parameters
    ----------
    measurement : Measurement
        With a support.
    weight : FourierWeight
        ``C``, with which the network was trained.
    max_oversampling : float
        Maximum oversampling factor of the interpolation grid.
    """

    def __init__(
        self,
        measurement: Measurement,
        weight: FourierWeight,
        max_oversampling: float = MAX_OVERSAMPLING,
    ) -> None:
        assert measurement.support is not None
        self._band_fraction, self._max_oversampling = measurement.band_fraction, max_oversampling
        inside = torch.nonzero(measurement.support > SUPPORT_THRESHOLD).float()
        if len(inside) == 0:
            inside = torch.tensor([[0.0, 0.0, 0.0]], device=measurement.data.device)
        first, last = inside.amin(dim=0), inside.amax(dim=0)
        centre = (first + last) / 2
        radius = float((inside - centre).norm(dim=1).max())
        self._centre = centre.flip(0)  # (x, y, z)
        self._region = tuple(
            slice(int(a), int(b) + 1) for a, b in zip(first.tolist(), last.tolist(), strict=True)
        )
        self._edge = math.ceil((2 * radius + 1) / NETWORK_MULTIPLE + 2) * NETWORK_MULTIPLE
        device = measurement.data.device
        self._weight = weight.at(frequency_points_rfft(self._edge, device))
        self._axis = torch.arange(self._edge, device=device) - (self._edge - 1) / 2
        self._own_axes = [
            torch.arange(part.start, part.stop, device=device) - middle
            for part, middle in zip(self._region, centre.tolist(), strict=True)
        ]

    def predict(self, predict: Callable[[Tensor], Tensor], completed: Tensor, rotations: Tensor) -> Tensor:
        """Mean of the predictions from all rotated copies; see `predictions`."""
        total = torch.zeros_like(completed)
        for prediction in self.predictions(predict, completed, rotations):
            total += prediction
        return total / len(rotations)

    def predictions(
        self, predict: Callable[[Tensor], Tensor], completed: Tensor, rotations: Tensor
    ) -> Iterator[Tensor]:
        """Predict rotated copies of a completed map, one after the other.

        Parameters
        ----------
        predict : callable
            Maps volumes ``(n, z, y, x)`` to the network's prediction.
        completed : Tensor
            ``(n_halves, z, y, x)``.
        rotations : Tensor
            ``(n, 3, 3)``, acting on ``(x, y, z)``.

        Yields
        ------
        Tensor
            ``(n_halves, z, y, x)``, rotated back; zero outside the bounding box of the support.
        """
        source = OversampledVolumes(completed, self._band_fraction, self._max_oversampling)
        middle = self._centre.new_full((3,), (self._edge - 1) / 2)
        for rotation in rotations:
            prediction = torch.zeros_like(completed)
            for half in range(len(completed)):
                # The copy is R v: its voxel at offset o samples the map at R^T o.
                copy = _read(source, half, [self._axis] * 3, rotation, self._centre)
                of_copy = predict(apply_filter(copy, self._weight)[None])
                fine = OversampledVolumes(of_copy, self._band_fraction, self._max_oversampling)
                prediction[half][self._region] = _read(fine, 0, self._own_axes, rotation.T, middle)
            yield prediction


def _read(
    volumes: OversampledVolumes, which: int, axes: list[Tensor], matrix: Tensor, centre: Tensor
) -> Tensor:
    """Read a volume at ``centre + o @ matrix`` for all offsets ``o`` from three axes ``(z, y, x)``."""
    slabs = []
    for planes in torch.split(axes[0], PLANES_AT_ONCE):
        z, y, x = torch.meshgrid(planes, axes[1], axes[2], indexing="ij")
        positions = torch.stack([x, y, z], dim=-1) @ matrix + centre
        slabs.append(volumes.at(positions[None], np.array([which]))[0])
    return torch.cat(slabs)


def rotate90(cube: Tensor, rotation: np.ndarray) -> Tensor:
    """Rotate a volume ``(z, y, x)`` about its centre by one of the 24 rotations of the cube, exactly.

    Parameters
    ----------
    cube : Tensor
        Of any shape; edges are permuted with the axes.
    rotation : ndarray
        ``(3, 3)`` signed permutation that acts on ``(x, y, z)``.
    """
    # (R v)(p) = v(R^T p); reversing both axes of R makes it act on (z, y, x).
    matrix = rotation[::-1, ::-1].round().astype(int)
    source = [int(abs(row).argmax()) for row in matrix]
    flipped = [axis for axis, row in enumerate(matrix) if row.sum() < 0]
    return cube.permute(*source).flip(flipped)
