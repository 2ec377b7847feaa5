"""Uncertainty: how networks' answers to turned copies differ, scaled to the errors in held-out cones.

Each network answers several turned copies of the map, and each answer is put together with the measurement
as the result is. The variance of these maps, of the map's own network and of all, tells where and in which
directions they disagree; it is smaller than the error, because networks of one kind err alike. In a held-out
cone the error is known, and the ratio of error to variance there is what the variance is multiplied with. The
noise of what was measured, from the difference of the measured parts of the halves, comes on top.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from scipy.ndimage import gaussian_filter

from spisonet.fourier.grids import centred_from_half, half_from_centred, irfft3, rfft3

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

POWER_SMOOTHING = 1.0  # Fourier voxels: enough to average speckle
FWHM_OF_SIGMA = 2 * np.sqrt(2 * np.log(2))


@dataclass(frozen=True)
class PredictionEnsemble:
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
    def of(cls, maps: Iterable[NDArray[np.float32]]) -> PredictionEnsemble | None:
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
class EnsembleVariance:
    """How answers differ.

    Attributes
    ----------
    own, own_rfft : ndarray
        ``(n, n, n)`` variance, and ``(n, n, n // 2 + 1)`` of Fourier coefficients, of the answers of the
        network that the map was corrected with.
    every, every_rfft : ndarray
        The same of the answers of all networks, within and between them.
    """

    own: NDArray[np.float32]
    own_rfft: NDArray[np.float32]
    every: NDArray[np.float32]
    every_rfft: NDArray[np.float32]

    @classmethod
    def of(cls, networks: list[PredictionEnsemble]) -> EnsembleVariance:
        """Join the answers of some networks, of which the first corrected the map."""
        own = networks[0]
        every = np.mean([answers.variance for answers in networks], axis=0)
        every_rfft = np.mean([answers.variance_rfft for answers in networks], axis=0)
        between = PredictionEnsemble.of(answers.mean for answers in networks)
        if between is not None:
            every, every_rfft = every + between.variance, every_rfft + between.variance_rfft
        return cls(own.variance, own.variance_rfft, every, every_rfft)


def joined_variance(own: NDArray[np.floating], every: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the geometric mean of two variances, with the mean of the first.

    Each tells where a network is uncertain up to a factor: the answers of one network know nothing of what
    another would answer, and networks that lack a cone differ also by what only they do not know. In
    simulated cases the geometric mean ranks voxels as the better of the two does, or better.
    """
    joined = np.sqrt(own * every)
    mean = float(joined.mean(dtype=np.float64))
    scale = float(own.mean(dtype=np.float64)) / mean if mean > 0 else 0.0
    return (scale * joined).astype(np.float32)


def calibration(squared_errors: list[float], spreads: list[float]) -> float | None:
    """Factor by which the standard deviation of a network's answers has to be multiplied to be its error.

    ``sqrt(Σ error² / Σ variance)``, summed over the cones; None where they do not tell: the answers do not
    differ there, or the noise of the half maps hides the error.

    Parameters
    ----------
    squared_errors : list of float
        Squared error of the prediction in every cone.
    spreads : list of float
        Sum of the variance of the answers to turned copies there, of the network that did not see the cone.
    """
    error, known = sum(squared_errors), sum(spreads)
    return float(np.sqrt(error / known)) if known > 0 and error > 0 else None


def local_mean(
    values: NDArray[np.floating], resolution_angstrom: float, voxel_size: float
) -> NDArray[np.float32]:
    """Mean over a Gaussian neighbourhood as wide (at half maximum) as a resolution."""
    sigma = resolution_angstrom / FWHM_OF_SIGMA / voxel_size
    return cast("NDArray[np.float32]", gaussian_filter(values, sigma, mode="nearest"))


def relative_uncertainty_rfft(
    spread: EnsembleVariance, factor: float, corrected_rfft: NDArray[np.complex64]
) -> NDArray[np.float32]:
    """Return the expected error of what was inferred, relative to Fourier coefficients' amplitude.

    Parameters
    ----------
    spread : EnsembleVariance
        Of the answers.
    factor : float
        See `calibration`.
    corrected_rfft : ndarray
        ``(n, n, n // 2 + 1)`` half spectrum of the corrected map, in the same units.

    Returns
    -------
    ndarray
        ``(n, n, n // 2 + 1)`` in 0..1; 1 where nothing is known.
    """
    n = len(spread.own)

    def smooth(values_rfft: NDArray[np.floating]) -> NDArray[np.float32]:
        centred = centred_from_half(values_rfft.astype(np.float32), n)
        return cast("NDArray[np.float32]", gaussian_filter(centred, POWER_SMOOTHING, mode="wrap"))

    error = factor**2 * joined_variance(smooth(spread.own_rfft), smooth(spread.every_rfft))
    power = smooth(np.abs(corrected_rfft) ** 2)
    ratio = np.divide(error, power, out=np.ones_like(error), where=power > 0)
    return half_from_centred(np.sqrt(np.clip(ratio, 0, 1)))


def voxel_uncertainty(
    spread: EnsembleVariance,
    factor: float,
    halves: tuple[NDArray[np.float32], NDArray[np.float32]],
    kept_rfft: NDArray[np.float32],
    resolution_angstrom: float,
    voxel_size: float,
) -> NDArray[np.float32]:
    """Return the standard deviation ``(n, n, n)`` to be expected of a corrected half map's error.

    Parameters
    ----------
    spread : EnsembleVariance
        Of the answers, in squared grey values.
    factor : float
        See `calibration`.
    halves : tuple of ndarray
        The two corrected half maps.
    kept_rfft : ndarray
        ``(n, n, n // 2 + 1)`` share in 0..1 of every coefficient that was kept as measured. The halves'
        difference in that part is noise; in the rest it is error of inference, which `factor` holds.
    resolution_angstrom, voxel_size : float
        Resolution limit, over which variances are averaged, and voxel size in Å.
    """
    own, every = (local_mean(v, resolution_angstrom, voxel_size) for v in (spread.own, spread.every))
    total = factor**2 * joined_variance(own, every)
    difference = rfft3(halves[0] - halves[1]) * kept_rfft
    noise = irfft3(difference.astype(np.complex64), halves[0].shape) ** 2 / np.float32(2)
    total = total + local_mean(noise, resolution_angstrom, voxel_size)
    return cast("NDArray[np.float32]", np.sqrt(total).astype(np.float32))
