"""Uncertainty of a corrected map: the variance of an ensemble of predictions, calibrated in held-out cones.

Each network predicts several rotated copies of the map, and each prediction is combined with the measured
data as the result is. The variance of these maps, within and between networks, shows where and in which
directions the predictions differ. It underestimates the error, because similar networks make similar errors;
the scale factor is calibrated in the held-out cones, where the error is known. The variance between the two
corrected half maps, which shows what noise does to data and predictions, is added.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from scipy.ndimage import gaussian_filter

from spisonet.analysis.directional_power import DirectionalFractions, fractions_by_direction
from spisonet.fourier.grids import centred_from_half, half_from_centred, rfft3

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from spisonet.io.mrc import Volume

POWER_SMOOTHING = 1.0  # Fourier voxels: enough to average speckle
FWHM_OF_SIGMA = 2 * np.sqrt(2 * np.log(2))


@dataclass(frozen=True)
class PredictionEnsemble:
    """Maps from one network's predictions of rotated copies.

    Attributes
    ----------
    mean : ndarray
        ``(n, n, n)`` mean map.
    variance, variance_rfft : ndarray
        Variance about the mean: ``(n, n, n)`` of voxels and ``(n, n, n // 2 + 1)`` of Fourier coefficients.
    """

    mean: NDArray[np.float32]
    variance: NDArray[np.float32]
    variance_rfft: NDArray[np.float32]

    @classmethod
    def of(cls, maps: Iterable[NDArray[np.float32]]) -> PredictionEnsemble | None:
        """Compute mean and variance of maps ``(n, n, n)``, read one at a time; None of less than two maps."""
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
    """Variance of the predictions of one network and of all networks.

    Attributes
    ----------
    own, own_rfft : ndarray
        Variance of the predictions of the network that corrected the map: ``(n, n, n)`` of voxels and
        ``(n, n, n // 2 + 1)`` of Fourier coefficients.
    every, every_rfft : ndarray
        The same for the predictions of all networks, within and between them.
    """

    own: NDArray[np.float32]
    own_rfft: NDArray[np.float32]
    every: NDArray[np.float32]
    every_rfft: NDArray[np.float32]

    @classmethod
    def of(cls, networks: list[PredictionEnsemble]) -> EnsembleVariance:
        """Combine the ensembles of some networks, of which the first corrected the map."""
        own = networks[0]
        every = np.mean([ensemble.variance for ensemble in networks], axis=0)
        every_rfft = np.mean([ensemble.variance_rfft for ensemble in networks], axis=0)
        between = PredictionEnsemble.of(ensemble.mean for ensemble in networks)
        if between is not None:
            every, every_rfft = every + between.variance, every_rfft + between.variance_rfft
        return cls(own.variance, own.variance_rfft, every, every_rfft)


@dataclass(frozen=True)
class Uncertainty:
    """Expected error of a corrected half map.

    Attributes
    ----------
    voxels : ndarray
        ``(n, n, n)`` standard deviation of the error in grey values of the map.
    relative_rfft : ndarray
        ``(n, n, n // 2 + 1)`` expected error relative to the amplitude, in 0..1.
    calibration_factor : float
        See `calibration`.
    n_networks : int
        Number of networks in the ensemble.
    """

    voxels: NDArray[np.float32]
    relative_rfft: NDArray[np.float32]
    calibration_factor: float
    n_networks: int


def joined_variance(own: NDArray[np.floating], every: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the geometric mean of two variances, with the mean of the first.

    Each shows up to a factor where predictions are uncertain. The predictions of one network do not differ
    where all of them share an error; networks trained without a cone differ from each other also because of
    the missing cone. In simulated cases the geometric mean ranks voxels as well as the better of the two, or
    better.
    """
    joined = np.sqrt(own * every)
    mean = float(joined.mean(dtype=np.float64))
    scale = float(own.mean(dtype=np.float64)) / mean if mean > 0 else 0.0
    return (scale * joined).astype(np.float32)


def calibration(squared_errors: list[float], variances: list[float]) -> float | None:
    """Return the ratio of the error to the standard deviation of the predictions in the held-out cones.

    ``sqrt(Σ error² / Σ variance)``, summed over the cones. None if it is not defined: the predictions do not
    differ in the cones, or the noise of the half maps exceeds the error.

    Parameters
    ----------
    squared_errors : list of float
        Squared error of the prediction in each cone.
    variances : list of float
        Sum of the variance of the predictions in each cone, of the network that was trained without it.
    """
    error, variance = sum(squared_errors), sum(variances)
    return float(np.sqrt(error / variance)) if variance > 0 and error > 0 else None


def local_mean(
    values: NDArray[np.floating], resolution_angstrom: float, voxel_size_angstrom: float
) -> NDArray[np.float32]:
    """Return the mean over a Gaussian neighbourhood whose full width at half maximum is a resolution."""
    sigma = resolution_angstrom / FWHM_OF_SIGMA / voxel_size_angstrom
    return cast("NDArray[np.float32]", gaussian_filter(values, sigma, mode="nearest"))


def relative_uncertainty_rfft(
    variance: EnsembleVariance, factor: float, corrected_rfft: NDArray[np.complex64]
) -> NDArray[np.float32]:
    """Return the expected error of the inferred part, relative to the amplitude of each coefficient.

    Parameters
    ----------
    variance : EnsembleVariance
        Variance of the predictions.
    factor : float
        See `calibration`.
    corrected_rfft : ndarray
        ``(n, n, n // 2 + 1)`` half spectrum of the corrected map, in the same units.

    Returns
    -------
    ndarray
        ``(n, n, n // 2 + 1)`` in 0..1; 1 where the error is as large as the amplitude, or larger.
    """
    n = len(variance.own)

    def smooth(values_rfft: NDArray[np.floating]) -> NDArray[np.float32]:
        centred = centred_from_half(values_rfft.astype(np.float32), n)
        return cast("NDArray[np.float32]", gaussian_filter(centred, POWER_SMOOTHING, mode="wrap"))

    error = factor**2 * joined_variance(smooth(variance.own_rfft), smooth(variance.every_rfft))
    power = smooth(np.abs(corrected_rfft) ** 2)
    ratio = np.divide(error, power, out=np.ones_like(error), where=power > 0)
    return half_from_centred(np.sqrt(np.clip(ratio, 0, 1)))


def voxel_uncertainty(
    variance: EnsembleVariance,
    factor: float,
    halves: tuple[NDArray[np.float32], NDArray[np.float32]],
    resolution_angstrom: float,
    voxel_size_angstrom: float,
) -> NDArray[np.float32]:
    """Return the expected standard deviation ``(n, n, n)`` of a corrected half map's error.

    Parameters
    ----------
    variance : EnsembleVariance
        Variance of the predictions in squared grey values.
    factor : float
        See `calibration`.
    halves : tuple of ndarray
        The two corrected half maps ``(n, n, n)``.
    resolution_angstrom, voxel_size_angstrom : float
        Resolution limit, over which variances are averaged, and voxel size in Å.
    """
    own, every = (
        local_mean(values, resolution_angstrom, voxel_size_angstrom)
        for values in (variance.own, variance.every)
    )
    total = factor**2 * joined_variance(own, every)
    noise = (halves[0] - halves[1]) ** 2 / np.float32(2)
    total = total + local_mean(noise, resolution_angstrom, voxel_size_angstrom)
    return cast("NDArray[np.float32]", np.sqrt(total).astype(np.float32))


def error_fraction_by_direction(
    relative_rfft: NDArray[np.float32], corrected: Volume, limit_angstrom: float
) -> DirectionalFractions:
    """Return the fraction of a map's power that is expected error, by resolution and direction.

    Parameters
    ----------
    relative_rfft : ndarray
        ``(n, n, n // 2 + 1)`` expected error relative to the amplitude, see `relative_uncertainty_rfft`.
    corrected : Volume
        The corrected map.
    limit_angstrom : float
        Resolution limit in Å.
    """
    error = relative_rfft**2
    power = np.abs(rfft3(corrected.data - corrected.data.mean())) ** 2
    box_angstrom = corrected.box * corrected.voxel_size_angstrom
    last = min(round(box_angstrom / limit_angstrom), corrected.box // 2)
    return fractions_by_direction(error * power, (1 - error) * power, last)
