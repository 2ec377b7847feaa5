"""Soft edges of low-pass filters, masks and prediction tiles, in the shape of half a cosine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spisonet.fourier.grids import distance_from_centre, radius_rfft

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

MIN_WIDTH = 1e-6  # a narrower edge is sharp


def cosine_edge(distance: ArrayLike, start: float, width: float) -> NDArray[np.floating]:
    """Window that is 1 up to a distance and then falls to 0 as half a cosine.

    Parameters
    ----------
    distance : array_like
        Distances, or frequencies, in any unit.
    start : float
        Up to where the window is 1, in the same unit.
    width : float
        Over which it falls to 0; 0 for a sharp edge.

    Returns
    -------
    ndarray
        Values in 0..1 of the shape of `distance`, in its floating-point type.
    """
    beyond = np.clip((np.asarray(distance) - start) / max(width, MIN_WIDTH), 0, 1)
    return np.asarray(0.5 + 0.5 * np.cos(np.pi * beyond))


def soft_lowpass_weights(n: int, shell: float, width: float) -> NDArray[np.float32]:
    """Low-pass filter with a cosine edge.

    Parameters
    ----------
    n : int
        Box in voxels.
    shell : float
        Radius in Fourier voxels up to which the filter is 1.
    width : float
        Fourier voxels over which it then falls to 0; 0 for a sharp edge.

    Returns
    -------
    ndarray
        ``(n, n, n // 2 + 1)`` float32 in 0..1.
    """
    return cosine_edge(radius_rfft((n, n, n)), shell, width).astype(np.float32, copy=False)


def soft_sphere(n: int, radius_voxels: float, edge_voxels: float) -> NDArray[np.float32]:
    """Spherical mask with a cosine edge about voxel ``n // 2``.

    Parameters
    ----------
    n : int
        Box in voxels.
    radius_voxels : float
        Radius up to which the mask is 1.
    edge_voxels : float
        Voxels over which it then falls to 0; 0 for a sharp edge.

    Returns
    -------
    ndarray
        ``(n, n, n)`` float32 in 0..1.
    """
    return cosine_edge(distance_from_centre(n), radius_voxels, edge_voxels).astype(np.float32, copy=False)
