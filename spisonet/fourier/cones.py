"""Sums of Fourier-space quantities over cones of directions around a grid of axes.

The coefficients of a half spectrum are assigned to the nearest axis of an `AxisGrid`, shell by shell, and the
sums of the axes within a cone are added. The border of a cone is exact to half the spacing of the grid. The
conical FSC, which needs a cone around every voxel, has a method of its own (`conical_fsc`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from spisonet.fourier.grids import frequency_axes_rfft, hermitian_multiplicity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from spisonet.geometry.sphere import AxisGrid

SLAB_VOXELS = 1 << 20  # Fourier voxels worked on at a time, to bound memory


def spectrum_slabs(n: int) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Iterate over a half spectrum in slabs of its first axis.

    Parameters
    ----------
    n : int
        Box in voxels.

    Yields
    ------
    slab : slice
        Of the first axis.
    frequencies : ndarray of float32
        ``(m, 3)`` frequencies ``(x, y, z)`` of the slab's coefficients in Fourier voxels.
    """
    kz, ky, kx = frequency_axes_rfft((n, n, n))
    rows = max(1, SLAB_VOXELS // (n * (n // 2 + 1)))
    for start in range(0, n, rows):
        slab = slice(start, start + rows)
        zyx = np.broadcast_arrays(kz[slab], ky, kx)
        yield slab, np.stack([axis.ravel() for axis in reversed(zyx)], axis=1)


def axis_sums(
    quantities_rfft: Sequence[NDArray[np.floating]],
    grid: AxisGrid,
    first_shell: int,
    last_shell: int,
    count_friedel_mates: bool = True,
) -> NDArray[np.float64]:
    """Sum half-spectrum quantities over the coefficients nearest to each axis, shell by shell.

    Parameters
    ----------
    quantities_rfft : sequence of ndarray
        ``(n, n, n // 2 + 1)`` each, DC at index 0.
    grid : AxisGrid
        The axes.
    first_shell, last_shell : int
        Shells ``round(|k|)`` to use.
    count_friedel_mates : bool
        Count a coefficient whose Friedel mate is not stored twice.

    Returns
    -------
    ndarray
        ``(n_quantities, last_shell - first_shell + 1, n_axes)``.
    """
    n, n_axes = len(quantities_rfft[0]), len(grid.directions)
    n_cells = (last_shell - first_shell + 1) * n_axes
    sums = np.zeros((len(quantities_rfft), n_cells))
    multiplicity = hermitian_multiplicity(n) if count_friedel_mates else np.ones(n // 2 + 1, np.float32)
    for slab, frequencies in spectrum_slabs(n):
        shell = np.rint(np.linalg.norm(frequencies, axis=1)).astype(np.intp)
        inside = (shell >= first_shell) & (shell <= last_shell)
        cells = (shell[inside] - first_shell) * n_axes + grid.nearest(frequencies[inside])
        for number, quantity in enumerate(quantities_rfft):
            values = (multiplicity * quantity[slab]).ravel()[inside]
            sums[number] += np.bincount(cells, values, n_cells)
    return sums.reshape(len(sums), -1, n_axes)


def cone_weights(
    axes: NDArray[np.floating], half_angle_degrees: float, soft: bool = False
) -> NDArray[np.float64]:
    """Weights with which the sums of axes are added to sums over cones: ``axis_sums @ cone_weights``.

    Parameters
    ----------
    axes : ndarray
        ``(n_axes, 3)`` unit vectors; their sign does not matter.
    half_angle_degrees : float
        Half-angle of the cones.
    soft : bool
        Weights that fall as ``cos²`` from 1 on the axis to 0 at the edge of the cone, instead of 1 within it.

    Returns
    -------
    ndarray
        ``(n_axes, n_axes)``, symmetric.
    """
    cosines = axis_cosines(axes)
    if not soft:
        return np.asarray(cosines >= np.cos(np.radians(half_angle_degrees)), dtype=np.float64)
    angles = np.degrees(np.arccos(np.minimum(cosines, 1)))
    falling = np.cos(np.pi / 2 * np.minimum(angles / half_angle_degrees, 1)) ** 2
    return cast("NDArray[np.float64]", falling)


def axis_cosines(axes: NDArray[np.floating]) -> NDArray[np.float64]:
    """``|cos|`` of the angles ``(n_axes, n_axes)`` between axes ``(n_axes, 3)``."""
    return cast("NDArray[np.float64]", np.abs(axes @ axes.T))
