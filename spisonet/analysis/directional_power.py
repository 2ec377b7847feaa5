"""Fourier quantities by direction and resolution, and their pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spisonet.fourier.grids import frequency_axes_rfft, hermitian_multiplicity, radius_rfft
from spisonet.geometry.sphere import AxisGrid

if TYPE_CHECKING:
    from numpy.typing import NDArray

AXES_PER_EDGE = 13  # 7.5 degrees
CONE_DEGREES = 15.0
N_BANDS = 3
FIRST_SHELL = 5  # closer to DC some cones hold no coefficients


@dataclass(frozen=True)
class DirectionalShares:
    """How large a part of some Fourier power is, by direction and resolution.

    Attributes
    ----------
    shells : ndarray
        ``(n_shells,)``.
    curves : ndarray
        ``(n_axes, n_shells)`` share in 0..1 in a cone of 15° around each axis of `axes`.
    mean : ndarray
        ``(n_shells,)`` share of whole shells.
    axes : ndarray
        ``(n_axes, 3)`` unit vectors ``(x, y, z)``.
    """

    shells: NDArray[np.int64]
    curves: NDArray[np.float64]
    mean: NDArray[np.float64]
    axes: NDArray[np.float64]

    def numbers(self, box_angstrom: float) -> dict[str, Any]:
        """Return what a JSON file holds: by resolution, over all directions, the extreme ones, and each."""

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


def shares_by_direction(
    part_rfft: NDArray[np.floating], rest_rfft: NDArray[np.floating], last_shell: int
) -> DirectionalShares:
    """Compute ``Σ part / (Σ part + Σ rest)``, brought into 0..1, in cones around many axes, shell by shell.

    Parameters
    ----------
    part_rfft, rest_rfft : ndarray
        ``(n, n, n // 2 + 1)`` what two parts of a map contribute to its power.
    last_shell : int
        Where to end.
    """
    n = len(part_rfft)
    radius = radius_rfft((n, n, n))
    shell = np.rint(radius).astype(int)
    first_shell = min(FIRST_SHELL, last_shell)
    chosen = (shell >= first_shell) & (shell <= last_shell)
    kz, ky, kx = (np.broadcast_to(k, radius.shape)[chosen] for k in frequency_axes_rfft((n, n, n)))
    grid = AxisGrid(AXES_PER_EDGE)
    n_axes, n_shells = len(grid.directions), last_shell + 1 - first_shell
    cells = grid.nearest(np.stack([kx, ky, kz], axis=1)) * n_shells + shell[chosen] - first_shell
    copies = np.broadcast_to(hermitian_multiplicity(n), radius.shape)[chosen]
    inside = np.abs(grid.directions @ grid.directions.T) >= np.cos(np.radians(CONE_DEGREES))
    parts, rests = (
        np.bincount(cells, copies * values[chosen], n_axes * n_shells).reshape(n_axes, n_shells)
        for values in (part_rfft, rest_rfft)
    )
    whole = inside.astype(float) @ (parts + rests)
    curves = np.divide(inside @ parts, whole, out=np.zeros_like(whole), where=whole > 0)
    total = (parts + rests).sum(axis=0)
    mean = np.divide(parts.sum(axis=0), total, out=np.zeros_like(total), where=total > 0)
    shells = np.arange(first_shell, last_shell + 1)
    return DirectionalShares(shells, np.clip(curves, 0, 1), np.clip(mean, 0, 1), grid.directions)
