"""Grey scale of maps: particle region, solvent level, and normalisation for the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spisonet.fourier.grids import distance_from_centre, irfft3, rfft3
from spisonet.io.mrc import MASK_THRESHOLD

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_BAND_DEVIATION = 1e-6  # relative to the map's; a weaker band cannot define the scale


@dataclass(frozen=True)
class GreyScale:
    """The affine map between a map's grey values and normalised densities.

    Attributes
    ----------
    solvent : float
        Grey value of the solvent, 0 after normalisation.
    deviation : float
        Root mean square of the particle about the solvent, 1 after normalisation.
    """

    solvent: float
    deviation: float

    def normalise(self, grey: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert grey values to normalised densities."""
        return ((grey - self.solvent) / self.deviation).astype(np.float32)

    def restore(self, normalised: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert normalised densities to grey values."""
        return (normalised * self.deviation + self.solvent).astype(np.float32)


def inscribed_sphere(n: int) -> NDArray[np.bool_]:
    """Voxels ``(n, n, n)`` within half a box of the centre."""
    return distance_from_centre(n) <= n / 2


def particle_region(n: int, mask: NDArray[np.float32] | None) -> NDArray[np.bool_]:
    """Voxels ``(n, n, n)`` inside the mask or, without one, inside the inscribed sphere."""
    return inscribed_sphere(n) if mask is None else mask > min(MASK_THRESHOLD, float(mask.max()) / 2)


def solvent_level(volume: NDArray[np.float32], mask: NDArray[np.float32] | None) -> float:
    """Mean grey value outside the mask or, without one, outside the inscribed sphere.

    If no voxel is outside, the mean of the whole map.
    """
    outside = (~inscribed_sphere(volume.shape[0]) if mask is None else 1.0 - np.clip(mask, 0.0, 1.0)).astype(
        np.float32
    )
    weight = float(outside.sum(dtype=np.float64))
    if weight == 0:
        return float(volume.mean(dtype=np.float64))
    return float((volume * outside).sum(dtype=np.float64)) / weight


def measure_grey_scale(
    volume: NDArray[np.float32], mask: NDArray[np.float32] | None, band_rfft: NDArray[np.float32]
) -> GreyScale:
    """Measure the solvent level of a map, and the standard deviation of the particle within a band.

    The normalised particle does not depend on the empty space around it or on noise beyond the band.

    Parameters
    ----------
    volume : ndarray
        ``(n, n, n)`` grey values.
    mask : ndarray or None
        Soft mask.
    band_rfft : ndarray
        ``(n, n, n // 2 + 1)`` low-pass.
    """
    solvent = solvent_level(volume, mask)
    limited = irfft3((rfft3(volume - np.float32(solvent)) * band_rfft).astype(np.complex64), volume.shape)
    inside = limited[particle_region(volume.shape[0], mask)]
    spread = float(np.sqrt(np.square(inside, dtype=np.float64).mean()))
    whole = float(volume.std(dtype=np.float64))
    return GreyScale(solvent, spread if spread > MIN_BAND_DEVIATION * whole else whole)


def is_brighter_than_solvent(densities: NDArray[np.float32], mask: NDArray[np.float32] | None) -> bool:
    """Return whether the density inside the mask is above the solvent level of zero."""
    return mask is not None and float((densities * mask).sum(dtype=np.float64)) > 0
