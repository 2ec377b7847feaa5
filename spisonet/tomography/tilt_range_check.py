"""Check of the sign of a tilt range against the power spectrum of a tomogram."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spisonet.fourier.grids import rfft3

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
    tilt, radius = tilt_and_radius(values.shape)
    band = (radius > BAND[0]) & (radius < BAND[1])
    given, mirrored = ((tilt >= a) & (tilt <= b) for a, b in ((low, high), (-high, -low)))
    only_given, only_mirrored = band & given & ~mirrored, band & mirrored & ~given
    return bool(power[only_mirrored].mean() > MIN_POWER_RATIO * power[only_given].mean())


def tilt_and_radius(shape: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Tilt in degrees that measures each coefficient of a half spectrum, and its cycles per voxel."""
    axes = np.fft.fftfreq(shape[0]), np.fft.fftfreq(shape[1]), np.fft.rfftfreq(shape[2])
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    radius = np.sqrt(z**2 + y**2 + x**2)
    return np.degrees(np.arctan2(np.broadcast_to(z, radius.shape), np.broadcast_to(x, radius.shape))), radius
