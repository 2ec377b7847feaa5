"""A soft solvent mask from a map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from spisonet.fourier.grids import irfft3, rfft3
from spisonet.fourier.windows import cosine_edge, soft_lowpass_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOWPASS_ANGSTROM = 12.0
THRESHOLD, BRIGHTEST_PERCENT = 0.25, 99.7  # relative to the brightest density of the low-pass filtered map
DILATION_ANGSTROM, EDGE_ANGSTROM = 4.0, 6.0


def solvent_mask(
    volume: NDArray[np.float32],
    voxel_size_angstrom: float,
    threshold: float = THRESHOLD,
    lowpass_angstrom: float = LOWPASS_ANGSTROM,
) -> NDArray[np.float32]:
    """Return a mask as users make it from the average of the half maps, ``(n, n, n)`` in 0..1.

    The map is low-pass filtered and thresholded. The largest connected component without its cavities is
    dilated by 4 Å and given a cosine edge of 6 Å.

    Parameters
    ----------
    volume : ndarray
        ``(n, n, n)`` map, bright particle on a dark background.
    voxel_size_angstrom : float
        Voxel size.
    threshold : float
        Relative to the 99.7th percentile of the densities.
    lowpass_angstrom : float
        Resolution of the filter.
    """
    n = len(volume)
    lowpass = soft_lowpass_weights(n, n * voxel_size_angstrom / lowpass_angstrom, 0)
    low = irfft3((rfft3(volume) * lowpass).astype(np.complex64), volume.shape)
    components, n_components = ndimage.label(low > threshold * np.percentile(low, BRIGHTEST_PERCENT))
    if not n_components:
        return np.zeros_like(low)
    largest = components == np.bincount(components.ravel())[1:].argmax() + 1
    distance = voxel_size_angstrom * ndimage.distance_transform_edt(~ndimage.binary_fill_holes(largest))
    return np.asarray(cosine_edge(distance, DILATION_ANGSTROM, EDGE_ANGSTROM), dtype=np.float32)
