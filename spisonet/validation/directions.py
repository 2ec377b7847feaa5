"""Fourier quantities by direction and resolution, and their pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.tri import Triangulation

from spisonet.fourier.grids import frequency_axes_rfft, hermitian_multiplicity, radius_rfft
from spisonet.geometry.sampling import AxisGrid

if TYPE_CHECKING:
    from numpy.typing import NDArray

AXES_PER_EDGE = 13  # 7.5 degrees
CONE_DEGREES = 15.0
N_BANDS = 3
FIRST_SHELL = 5  # closer to DC some cones hold no coefficients
CONTOURS = (0.25, 0.5, 0.75)


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


def draw_shares(shares: DirectionalShares, box_angstrom: float, name: str) -> Figure:
    """Draw shares over resolution, and over the hemisphere of directions in some bands of resolution.

    The hemisphere is seen along z, in Lambert's azimuthal projection of equal areas; readable without colour.
    """
    figure = Figure(figsize=(11.0, 3.6), layout="constrained")
    n_bands = min(N_BANDS, len(shares.shells))
    first, *globes = figure.subplots(1, 1 + n_bands, width_ratios=[1.5] + [1] * n_bands)
    frequency = shares.shells / box_angstrom
    first.fill_between(
        frequency, shares.curves.min(axis=0), shares.curves.max(axis=0), color="0.85", label="all directions"
    )
    first.plot(frequency, shares.mean, "k-", label="whole shells")
    first.set(ylim=(0, 1), ylabel=name)
    first.set_xlabel("spatial frequency / Å⁻¹")
    first.legend(fontsize=8, loc="upper left")
    up = shares.axes * np.where(shares.axes[:, 2] < 0, -1, 1)[:, None]
    # Axes on the rim belong to both sides of it.
    rim = up[np.abs(up[:, 2]) < 1e-9]
    x, y, z = np.concatenate([up, -rim]).T
    index = np.concatenate([np.arange(len(up)), np.flatnonzero(np.abs(up[:, 2]) < 1e-9)])
    scale = np.sqrt(1 / (1 + z))
    triangles = Triangulation(x * scale, y * scale)
    for axis, band in zip(globes, np.array_split(np.arange(len(shares.shells)), len(globes)), strict=True):
        values = shares.curves[:, band].mean(axis=1)[index]
        image = axis.tripcolor(triangles, values, cmap="cividis", vmin=0, vmax=1, shading="gouraud")
        image.set_rasterized(True)
        if np.ptp(values) > 0:
            lines = axis.tricontour(triangles, values, levels=CONTOURS, colors="white", linewidths=0.8)
            axis.clabel(lines, fontsize=7)
        low, high = (box_angstrom / shares.shells[band[end]] for end in (0, -1))
        axis.set_title(f"{low:.1f} to {high:.1f} Å", fontsize=9)
        axis.set_aspect("equal")
        axis.set_axis_off()
        for text, place in (("x", (1.04, 0)), ("y", (0, 1.04))):
            axis.annotate(text, place, fontsize=8, ha="center", va="center")
        axis.plot(0, 0, "k+", ms=5)
    bar = figure.colorbar(image, ax=globes, shrink=0.8, ticks=[0, *CONTOURS, 1])
    bar.set_label(f"{name}; z is in the middle (+)", fontsize=8)
    return figure
