"""Masks of the truth, for scoring."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

TRUTH_SOFTNESS_ANGSTROM, TRUTH_LEVEL = 6.0, 0.08


def truth_mask(truth: NDArray[np.float32], voxel_size: float) -> NDArray[np.float32]:
    """Return a soft mask made from the true density, for scoring, ``(n, n, n)`` in 0..1."""
    sigma = TRUTH_SOFTNESS_ANGSTROM / voxel_size
    soft = ndimage.gaussian_filter(truth, sigma)
    inside = ndimage.binary_dilation(soft > TRUTH_LEVEL * soft.max(), iterations=max(1, int(sigma)))
    return soften(inside, sigma)


def soften(inside: NDArray[np.bool_], sigma: float) -> NDArray[np.float32]:
    """Return a binary mask with a Gaussian edge of `sigma` voxels, ``(n, n, n)`` in 0..1."""
    edge = 1.05 * ndimage.gaussian_filter(inside.astype(np.float32), sigma)
    return np.asarray(np.clip(edge, 0, 1), dtype=np.float32)
