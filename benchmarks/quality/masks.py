"""Masks of benchmark cases: of the truth for scoring, of the half maps for the correction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from spisonet.fourier.grids import irfft3, rfft3
from spisonet.fourier.windows import cosine_edge, soft_lowpass_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

TRUTH_SOFTNESS_ANGSTROM, TRUTH_LEVEL = 6.0, 0.08
LOWPASS_ANGSTROM = 12.0
THRESHOLD, BRIGHTEST_PERCENT = 0.25, 99.7  # relative to the brightest density of the low-pass filtered map
DILATION_ANGSTROM, EDGE_ANGSTROM = 4.0, 6.0


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


def user_mask(average: NDArray[np.float32], voxel_size: float) -> NDArray[np.float32]:
    """Return a mask as users make it from the average of the half maps, ``(n, n, n)`` in 0..1.

    The average, smeared where views are missing, is low-pass filtered to 12 Å and thresholded. The largest
    connected component without its cavities is dilated by 4 Å and given a cosine edge of 6 Å.
    """
    n = len(average)
    lowpass = soft_lowpass_weights(n, n * voxel_size / LOWPASS_ANGSTROM, 0)
    low = irfft3((rfft3(average) * lowpass).astype(np.complex64), average.shape)
    components, _ = ndimage.label(low > THRESHOLD * np.percentile(low, BRIGHTEST_PERCENT))
    largest = components == np.bincount(components.ravel())[1:].argmax() + 1
    distance = voxel_size * ndimage.distance_transform_edt(~ndimage.binary_fill_holes(largest))
    return np.asarray(cosine_edge(distance, DILATION_ANGSTROM, EDGE_ANGSTROM), dtype=np.float32)
