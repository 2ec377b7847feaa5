"""Prior information about the particle, from the refinement rather than from one iteration's data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import affine_transform

from spisonet.fourier.windows import soft_sphere
from spisonet.geometry.symmetry import symmetry_rotations

if TYPE_CHECKING:
    from numpy.typing import NDArray

MASK_EDGE_VOXELS = 5.0


@dataclass(frozen=True)
class Prior:
    """Prior information about the particle of a refinement.

    Attributes
    ----------
    mask : ndarray
        ``(n, n, n)`` soft mask.
    symmetry : str
        Point group.
    initial_map : ndarray or None
        ``(n, n, n)`` initial reference of the refinement, if its low resolutions are kept.
    initial_resolution_angstrom : float
        Resolution up to which the initial reference is kept.
    view_directions : ndarray or None
        ``(m, 3)`` unit vectors, if the Fourier weight is computed from them.
    """

    mask: NDArray[np.float32]
    symmetry: str = "C1"
    initial_map: NDArray[np.float32] | None = None
    initial_resolution_angstrom: float = np.inf
    view_directions: NDArray[np.float64] | None = None


def white_noise_fraction_in_mask(mask: NDArray[np.float32]) -> float:
    """Return the fraction of white noise power in the inscribed sphere that remains after masking."""
    return float(min(1.0, (mask**2).sum(dtype=np.float64) / (np.pi / 6 * mask.size)))


def spherical_mask(n: int, diameter_voxels: float) -> NDArray[np.float32]:
    """Return a soft spherical mask ``(n, n, n)``, for a refinement without a solvent mask."""
    return soft_sphere(n, min(diameter_voxels, n) / 2 - MASK_EDGE_VOXELS, MASK_EDGE_VOXELS)


def symmetrised(volume: NDArray[np.float32], symmetry: str) -> NDArray[np.float32]:
    """Average a map over a point group whose axes pass through voxel ``n // 2``."""
    rotations = symmetry_rotations(symmetry)
    if len(rotations) == 1:
        return volume
    centre = np.full(3, volume.shape[0] // 2)
    total = np.zeros(volume.shape)
    for rotation in rotations:
        matrix = rotation[::-1, ::-1]  # (x, y, z) to (z, y, x)
        total += affine_transform(volume, matrix, offset=centre - matrix @ centre, order=3)
    return np.asarray(total / len(rotations), dtype=np.float32)
