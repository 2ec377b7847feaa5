"""Fractions of a map's Fourier power, by direction and resolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spisonet.fourier.cones import axis_sums, cone_weights
from spisonet.fourier.shells import FIRST_CONE_SHELL
from spisonet.geometry.sphere import AxisGrid

if TYPE_CHECKING:
    from numpy.typing import NDArray

AXES_PER_EDGE = 13  # 7.5 degrees
CONE_DEGREES = 15.0


@dataclass(frozen=True)
class DirectionalFractions:
    """Fraction of some Fourier power, by direction and resolution.

    Attributes
    ----------
    shells : ndarray
        ``(n_shells,)``.
    curves : ndarray
        ``(n_axes, n_shells)`` fraction in 0..1 in a cone of 15° around each axis of `axes`.
    mean : ndarray
        ``(n_shells,)`` fraction of whole shells.
    axes : ndarray
        ``(n_axes, 3)`` unit vectors ``(x, y, z)``.
    """

    shells: NDArray[np.int64]
    curves: NDArray[np.float64]
    mean: NDArray[np.float64]
    axes: NDArray[np.float64]

    def numbers(self, box_angstrom: float) -> dict[str, Any]:
        """Return the content of a JSON file: by resolution, the mean and the extreme directions, and each."""

        def rounded(values: NDArray[np.floating]) -> list[float]:
            return [round(float(value), 4) for value in values]

        return {
            "resolution_angstrom": rounded(box_angstrom / self.shells),
            "all_directions": rounded(self.mean),
            "lowest_direction": rounded(self.curves.min(axis=0)),
            "highest_direction": rounded(self.curves.max(axis=0)),
            "axes_xyz": [rounded(axis) for axis in self.axes],
            "by_direction": [rounded(curve) for curve in self.curves],
        }


def fractions_by_direction(
    part_rfft: NDArray[np.floating], rest_rfft: NDArray[np.floating], last_shell: int
) -> DirectionalFractions:
    """Compute ``Σ part / (Σ part + Σ rest)``, clipped to 0..1, in cones around a grid of axes, by shell.

    Parameters
    ----------
    part_rfft, rest_rfft : ndarray
        ``(n, n, n // 2 + 1)`` contributions of two parts of a map to its power.
    last_shell : int
        Last shell.
    """
    first_shell = min(FIRST_CONE_SHELL, last_shell)
    grid = AxisGrid(AXES_PER_EDGE)
    parts, rests = axis_sums((part_rfft, rest_rfft), grid, first_shell, last_shell)
    cones = cone_weights(grid.directions, CONE_DEGREES)
    curves = _ratio(parts @ cones, (parts + rests) @ cones).T
    mean = _ratio(parts.sum(axis=1), (parts + rests).sum(axis=1))
    return DirectionalFractions(np.arange(first_shell, last_shell + 1), curves, mean, grid.directions)


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    ratio = np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)
    return np.asarray(np.clip(ratio, 0, 1), dtype=np.float64)
