"""Uncertainty: how networks' answers to turned copies differ, scaled to the errors in held-out cones.

Each network answers several turned copies of the map, and each answer is put together with the measurement
as the result is. The variance of these maps, within a network and between networks, tells where and in which
directions they disagree; it is smaller than the error, because networks of one kind err alike. In a held-out
cone the error is known, and the ratio of error to variance there is what the variance is multiplied with. The
noise of what was measured, from the difference of the corrected halves, comes on top.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from scipy.ndimage import gaussian_filter

from spisonet.fourier.grids import centred_from_half, half_from_centred, rfft3

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

POWER_SMOOTHING = 1.0  # Fourier voxels: enough to average speckle
FWHM_OF_SIGMA = 2 * np.sqrt(2 * np.log(2))


@dataclass(frozen=True)
class Answers:
    """Maps that one network's answers to turned copies lead to.

    Attributes
    ----------
    mean : ndarray
        ``(n, n, n)``.
    variance, variance_rfft : ndarray
        ``(n, n, n)`` in real space and ``(n, n, n // 2 + 1)`` of Fourier coefficients, about the mean.
    """

    mean: NDArray[np.float32]
    variance: NDArray[np.float32]
    variance_rfft: NDArray[np.float32]

    @classmethod
    def of(cls, maps: Iterable[NDArray[np.float32]]) -> Answers | None:
        """Sum up maps ``(n, n, n)``, one after the other; None if there are less than two."""
        count = 0
        for count, volume in enumerate(maps, start=1):
            spectrum = rfft3(volume)
            if count == 1:
                first, first_rfft = volume, spectrum
                total, squares = np.zeros_like(volume), np.zeros_like(volume)
                total_rfft, power = np.zeros_like(spectrum), np.zeros(spectrum.shape, dtype=np.float32)
            # About the first map, since the variance is much smaller than the map.
            total, squares = total + (volume - first), squares + (volume - first) ** 2
            total_rfft = total_rfft + (spectrum - first_rfft)
            power = power + np.abs(spectrum - first_rfft) ** 2
        if count < 2:
            return None
        variance = (squares - total**2 / count) / (count - 1)
        variance_rfft = (power - np.abs(total_rfft) ** 2 / count) / (count - 1)
        mean = (first + total / count).astype(np.float32)
        return cls(mean, np.maximum(variance, 0), np.maximum(variance_rfft, 0))


@dataclass(frozen=True)
class Spread:
    """Variance of the answers of several networks.

    Attributes
    ----------
    variance : ndarray
        ``(n, n, n)``, within and between networks together.
    variance_rfft, within_rfft : ndarray
        ``(n, n, n // 2 + 1)`` of Fourier coefficients: together, and within networks alone.
    """

    variance: NDArray[np.float32]
    variance_rfft: NDArray[np.float32]
    within_rfft: NDArray[np.float32]

    @classmethod
    def of(cls, networks: list[Answers]) -> Spread:
        """Join the answers of one network or more."""
        within = np.mean([answers.variance for answers in networks], axis=0)
        within_rfft = np.mean([answers.variance_rfft for answers in networks], axis=0)
        between = Answers.of(answers.mean for answers in networks)
        if between is None:
            return cls(within, within_rfft, within_rfft)
        return cls(within + between.variance, within_rfft + between.variance_rfft, within_rfft)


def calibration(
    squared_errors: list[float], spreads: list[float], spread: Spread, inferred_rfft: NDArray[np.bool_]
) -> float:
    """Factor by which the standard deviation of the answers has to be multiplied to be the error.

    ``sqrt(Σ error² / (Σ variance within the network · r))``, summed over the cones; ``r`` is the ratio of the
    whole variance to that within networks, over what was inferred: the answers in a cone are of one network.

    Parameters
    ----------
    squared_errors : list of float
        Squared error of the prediction in every cone.
    spreads : list of float
        Sum of the variance of the answers to turned copies there, of the network that did not see the cone.
    spread : Spread
        Of all networks, of the whole measurement.
    inferred_rfft : ndarray
        ``(n, n, n // 2 + 1)`` what was inferred.
    """
    within = float(spread.within_rfft[inferred_rfft].sum(dtype=np.float64))
    whole = float(spread.variance_rfft[inferred_rfft].sum(dtype=np.float64))
    ratio = whole / within if within > 0 else 1.0
    known = sum(spreads) * ratio
    return float(np.sqrt(max(sum(squared_errors), 0.0) / known)) if known > 0 else 0.0


def local_mean(
    values: NDArray[np.floating], resolution_angstrom: float, voxel_size: float
) -> NDArray[np.float32]:
    """Mean over a Gaussian neighbourhood as wide (at half maximum) as a resolution."""
    sigma = resolution_angstrom / FWHM_OF_SIGMA / voxel_size
    return cast("NDArray[np.float32]", gaussian_filter(values, sigma, mode="nearest"))


def relative_uncertainty_rfft(
    variance_rfft: NDArray[np.float32], factor: float, corrected_rfft: NDArray[np.complex64]
) -> NDArray[np.float32]:
    """Return the expected error of what was inferred, relative to Fourier coefficients' amplitude.

    Parameters
    ----------
    variance_rfft : ndarray
        ``(n, n, n // 2 + 1)`` of the answers.
    factor : float
        See `calibration`.
    corrected_rfft : ndarray
        ``(n, n, n // 2 + 1)`` half spectrum of the corrected map, in the same units.

    Returns
    -------
    ndarray
        ``(n, n, n // 2 + 1)`` in 0..1; 1 where nothing is known.
    """
    n = len(variance_rfft)
    error, power = (
        gaussian_filter(centred_from_half(values.astype(np.float32), n), POWER_SMOOTHING, mode="wrap")
        for values in (factor**2 * variance_rfft, np.abs(corrected_rfft) ** 2)
    )
    ratio = np.divide(error, power, out=np.ones_like(error), where=power > 0)
    return half_from_centred(np.sqrt(np.clip(ratio, 0, 1)))


def voxel_uncertainty(
    variance: NDArray[np.float32],
    factor: float,
    halves: tuple[NDArray[np.float32], NDArray[np.float32]],
    resolution_angstrom: float,
    voxel_size: float,
) -> NDArray[np.float32]:
    """Return the standard deviation ``(n, n, n)`` to be expected of a corrected half map's error.

    Parameters
    ----------
    variance : ndarray
        ``(n, n, n)`` of the answers, in squared grey values.
    factor : float
        See `calibration`.
    halves : tuple of ndarray
        The two corrected half maps, whose difference is the noise.
    resolution_angstrom, voxel_size : float
        Resolution limit, over which variances are averaged, and voxel size in Å.
    """
    total = factor**2 * local_mean(variance, resolution_angstrom, voxel_size)
    noise = (halves[0] - halves[1]) ** 2 / np.float32(2)
    total = total + local_mean(noise, resolution_angstrom, voxel_size)
    return cast("NDArray[np.float32]", np.sqrt(total).astype(np.float32))
