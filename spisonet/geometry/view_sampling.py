"""View distributions and how densely they sample Fourier space.

By the projection-slice theorem an image fills the plane through DC that is normal to its view
direction. A direction and its opposite fill the same plane, so directions are axes here.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

import numpy as np

from spisonet.geometry.sphere import AxisGrid

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_EXACT_VIEWS = 30_000
BINS_PER_FACE_EDGE = 101  # 0.9 degrees; a slab is 1.8 degrees to either side at 32 Fourier voxels
FIRST_SAMPLING_SHELL = 4  # closer to DC every view samples every direction
# Density relative to uniform views below which a coefficient is undersampled: half the amplitude SNR.
UNDERSAMPLED_DENSITY = 0.25
# Undersampled fraction of Fourier space from which a view distribution counts as anisotropic. Tilts up to 60
# degrees leave a missing cone of 30 degrees about an axis: 0.13. Noise of uniform views: less than 0.05.
UNDERSAMPLED_FRACTION_LIMIT = 0.07
CHUNK_ELEMENTS = 1 << 17  # fits a core's cache, and is too small for BLAS to start threads of its own


def symmetric_directions(
    directions: NDArray[np.floating], symmetry: NDArray[np.floating]
) -> NDArray[np.float64]:
    """View directions of a particle set and of all its symmetry mates.

    Parameters
    ----------
    directions : ndarray
        ``(n, 3)`` unit vectors in the frame of the map.
    symmetry : ndarray
        ``(s, 3, 3)`` rotations of the point group.

    Returns
    -------
    ndarray
        ``(n * s, 3)``.
    """
    return cast("NDArray[np.float64]", np.einsum("sij,nj->nsi", symmetry, directions).reshape(-1, 3))


def sampling_density(
    directions: NDArray[np.floating],
    frequencies: NDArray[np.floating],
    view_weights: NDArray[np.floating] | None = None,
) -> NDArray[np.float32]:
    """How often the views fill each Fourier voxel, relative to an even distribution.

    ``D(k) = 2 |k| mean over views v of max(0, 1 - |k · v|)``: a slice is a slab of triangular
    profile whose half-width is one Fourier voxel. For even views D is 1 everywhere beyond the
    first voxel.

    Parameters
    ----------
    directions : ndarray
        ``(n, 3)`` unit view directions ``(x, y, z)`` in the frame of the map. More than 30,000 are
        binned to 0.9 degrees first.
    frequencies : ndarray
        ``(m, 3)`` vectors k ``(x, y, z)`` in Fourier voxels.
    view_weights : ndarray, optional
        ``(n,)`` fraction of the views in each direction, of sum 1; uniform by default. With view_weights,
        nothing is binned.

    Returns
    -------
    ndarray
        ``(m,)`` float32; 1 within one Fourier voxel of DC, through which every slice passes.
    """
    weights = np.full(len(directions), 1 / len(directions)) if view_weights is None else view_weights
    if view_weights is None and len(directions) > MAX_EXACT_VIEWS:
        directions, weights = _binned(directions)
    views = np.ascontiguousarray(directions.T, dtype=np.float32)
    view_weights = weights.astype(np.float32)
    frequencies = np.ascontiguousarray(frequencies, dtype=np.float32)

    def mean_profile(chunk: NDArray[np.float32]) -> NDArray[np.float32]:
        profile = chunk @ views
        np.abs(profile, out=profile)
        np.subtract(1, profile, out=profile)
        np.maximum(profile, 0, out=profile)
        return cast("NDArray[np.float32]", profile @ view_weights)

    rows = max(1, CHUNK_ELEMENTS // len(view_weights))
    chunks = [frequencies[start : start + rows] for start in range(0, len(frequencies), rows)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        density = np.concatenate([np.empty(0, np.float32), *pool.map(mean_profile, chunks)])
    radius = np.linalg.norm(frequencies, axis=1)
    return cast("NDArray[np.float32]", np.where(radius <= 1, np.float32(1), 2 * radius * density))


def _binned(directions: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean direction of each occupied bin and the fraction of the views in it."""
    grid = AxisGrid(BINS_PER_FACE_EDGE)
    bins = grid.nearest(directions)
    sign = np.sign(np.sum(directions * grid.directions[bins], axis=1))
    n_bins = len(grid.directions)
    sums = np.stack([np.bincount(bins, sign * directions[:, axis], n_bins) for axis in range(3)], axis=1)
    counts = np.bincount(bins, minlength=n_bins)
    used = counts > 0
    means = sums[used] / np.linalg.norm(sums[used], axis=1, keepdims=True)
    return means, counts[used] / len(directions)
