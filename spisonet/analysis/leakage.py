"""Corrections of Fourier weights: leakage through masks and windows, narrow cones, noise in the solvent."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
from scipy.ndimage import gaussian_filter, maximum_filter

from spisonet.fourier.filters import shell_curve_to_rfft
from spisonet.fourier.grids import centred_from_half, half_from_centred, irfft3, rfft3, shell_index_rfft
from spisonet.fourier.shells import shell_sums
from spisonet.fourier.windows import soft_lowpass_weights

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

POWER_SMOOTHING = 0.7  # Fourier voxels: averages speckle without blurring the edge of a cone
LEAKAGE_POWER = 0.1  # relative to the measured power of the shell


def mask_leakage_weight(maps: list[NDArray[np.float32]], mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fraction of a masked map's power that has not leaked in from other directions.

    A mask spreads every Fourier coefficient over its neighbours. In the unmeasured cone of a regularised
    reconstruction, which has next to no power, the masked transform consists of leakage from measured
    directions, and the masked half maps correlate although nothing was measured. A mask reduces the
    power wherever a map has power of its own, so local power that the mask added is leakage.

    Parameters
    ----------
    maps : list of ndarray
        ``(n, n, n)`` densities with a solvent of zero.
    mask : ndarray
        ``(n, n, n)``.

    Returns
    -------
    ndarray
        ``(n, n, n // 2 + 1)`` in 0..1: ``min(1, <|F(y)|²> / <|F(m y)|²>)`` with local averages.
    """
    n = mask.shape[0]
    unmasked = local_power((rfft3(volume) for volume in maps), n)
    masked = local_power((rfft3(volume * mask) for volume in maps), n)
    return _at_most_one(unmasked, masked)


def leakage_weight(
    spectra: list[NDArray[np.complex64]], ssnr_rfft: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Weight in 0..1 of every coefficient against leakage into directions without power.

    Regularisation attenuates directions with few views, and a real-space window, such as RELION's on the
    corners of the box, leaks the same signal into them in both halves. Coefficients with less than 10 % of
    the measured power of their shell are such leakage. Their weight is the square of their power over that
    limit, because leakage accumulates over repeated updates of the missing region.

    Parameters
    ----------
    spectra : list of ndarray
        ``(n, n, n // 2 + 1)`` half spectra of the maps, not masked.
    ssnr_rfft : ndarray
        ``(n, n, n // 2 + 1)`` SSNR, which defines where a shell is measured.
    """
    n = len(ssnr_rfft)
    power, measured = local_power(spectra, n), ssnr_rfft / (1 + ssnr_rfft)
    sums, weights = shell_sums(power * measured, n), shell_sums(measured, n)
    typical = np.divide(sums, weights, out=np.zeros_like(sums), where=weights > 0)
    return _at_most_one(power, LEAKAGE_POWER * shell_curve_to_rfft(typical, n)) ** 2


def local_maximum(weight_rfft: NDArray[np.float32]) -> NDArray[np.float32]:
    """Maximum of a weight over each coefficient and its neighbours, within the shells that it covers.

    Near DC a cone contains so few coefficients that single values of a 3D FSC are far too low.
    """
    n = len(weight_rfft)
    highest = half_from_centred(maximum_filter(centred_from_half(weight_rfft, n), 3, mode="wrap"))
    covered = np.append(shell_sums(weight_rfft, n) > 0, np.zeros(n, dtype=bool))
    return np.where(covered[shell_index_rfft((n, n, n))], highest, 0)


def estimate_noise_fraction_in_mask(
    difference: NDArray[np.complex64], mask: NDArray[np.float32] | None, last_shell: int
) -> float:
    """Fraction of the noise of the half maps inside the mask; 1 without noise or mask.

    Parameters
    ----------
    difference : ndarray
        ``(n, n, n // 2 + 1)`` half spectrum of half map 1 minus half map 2.
    mask : ndarray or None
        ``(n, n, n)``.
    last_shell : int
        Last shell of the noise.
    """
    if mask is None:
        return 1.0
    limited = difference * soft_lowpass_weights(mask.shape[0], last_shell, 1.0)
    noise = np.square(irfft3(limited.astype(np.complex64), mask.shape), dtype=np.float64)
    total = float(noise.sum())
    return float((noise * mask**2).sum()) / total if total > 0 else 1.0


def local_power(spectra: Iterable[NDArray[np.complex64]], n: int) -> NDArray[np.float32]:
    """Sum of the power ``(n, n, n // 2 + 1)`` of half spectra, averaged locally."""
    power = np.zeros((n, n, n // 2 + 1), dtype=np.float32)
    for spectrum in spectra:
        power += np.abs(spectrum) ** 2
    smooth = gaussian_filter(centred_from_half(power, n), POWER_SMOOTHING, mode="wrap")
    return half_from_centred(smooth)


def _at_most_one(power: NDArray[np.float32], reference: NDArray[np.floating]) -> NDArray[np.float32]:
    ratio = np.divide(power, reference, out=np.ones_like(power), where=reference > 0)
    return cast("NDArray[np.float32]", np.clip(ratio, 0.0, 1.0))
