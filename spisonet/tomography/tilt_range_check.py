"""Check of the sign of a tilt range against the power spectrum of a tomogram."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spisonet.fourier.grids import frequency_rfft, rfft3
from spisonet.fourier.wedges import measured_rfft

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_ASYMMETRY_DEGREES = 6.0  # of a tilt range whose sign can be checked
MIN_POWER_RATIO = 1.5
BAND = (0.05, 0.4)  # cycles per voxel


def looks_mirrored(values: NDArray[np.float32], tilt_range_degrees: tuple[float, float]) -> bool:
    """Return whether the power spectrum fits a tilt range of opposite sign better.

    Compared are the power where only the given range was measured, and the power where only the range with
    opposite signs was measured. Nearly symmetric tilt ranges cannot be checked.

    Parameters
    ----------
    values : ndarray
        Central region of the tomogram, ``(z, y, x)``.
    tilt_range_degrees : tuple of float
        Minimum and maximum tilt in degrees.
    """
    low, high = tilt_range_degrees
    if abs(low + high) < MIN_ASYMMETRY_DEGREES:
        return False
    power = np.abs(rfft3(values - values.mean())) ** 2
    frequency = frequency_rfft(values.shape)
    band = (frequency > BAND[0]) & (frequency < BAND[1])
    given, mirrored = (measured_rfft(values.shape, tilts) for tilts in ((low, high), (-high, -low)))
    only_given, only_mirrored = band & given & ~mirrored, band & mirrored & ~given
    return bool(power[only_mirrored].mean() > MIN_POWER_RATIO * power[only_given].mean())
