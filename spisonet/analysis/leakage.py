"""What a weight must not be fooled by: leakage through masks and windows, narrow cones, solvent noise."""

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

POWER_SMOOTHING = 0.7  # Fourier voxels: enough to average speckle, too little to blur a cone's edge
VOID_POWER = 0.1  # of a shell's where it is measured


def mask_leakage_weight(maps: list[NDArray[np.float32]], mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fraction of a masked map's power that is not leaked in from other directions.

    A mask spreads every Fourier coefficient over its neighbours. Where a map holds next to nothing,
    as in the unmeasured cone of a regularised reconstruction, its masked transform holds what leaked
    in from measured directions, and the masked half maps correlate there although nothing was
    measured. A mask takes power away wherever a map has power of its own, so local power that the
    mask added is leakage.

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
    """Share in 0..1 of every coefficient that is more than leakage into a void.

    Regularisation empties directions that few views show, and a window in real space, such as RELION's on
    the corners of the box, leaks signal into them that is the same in both halves. Coefficients
    with less than a tenth of the power that the shell has where it is measured are such leakage; the share
    is the square of their power over that tenth, because filling again and again adds up what is left.

    Parameters
    ----------
    spectra : list of ndarray
        ``(n, n, n // 2 + 1)`` half spectra of the maps, not masked.
    ssnr_rfft : ndarray
        ``(n, n, n // 2 + 1)`` signal-to-noise ratio that says where a shell is measured.
    """
    n = len(ssnr_rfft)
    power, measured = local_power(spectra, n), ssnr_rfft / (1 + ssnr_rfft)
    sums, weights = shell_sums(power * measured, n), shell_sums(measured, n)
    typical = np.divide(sums, weights, out=np.zeros_like(sums), where=weights > 0)
    return _at_most_one(power, VOID_POWER * shell_curve_to_rfft(typical, n)) ** 2


def local_maximum(weight_rfft: NDArray[np.float32]) -> NDArray[np.float32]:
    """Maximum of a weight over each coefficient and its neighbours, within the shells that it covers.

    A cone near DC holds so few coefficients that single values of a 3D FSC are far too low.
    """
    n = len(weight_rfft)
    highest = half_from_centred(maximum_filter(centred_from_half(weight_rfft, n), 3, mode="wrap"))
    covered = np.append(shell_sums(weight_rfft, n) > 0, np.zeros(n, dtype=bool))
    return np.where(covered[shell_index_rfft((n, n, n))], highest, 0)


def estimate_noise_fraction_in_mask(
    difference: NDArray[np.complex64], mask: NDArray[np.float32] | None, last_shell: int
) -> float:
    """Share of the half maps' noise, up to a shell, that is inside the mask; 1 without noise or mask.

    Parameters
    ----------
    difference : ndarray
        ``(n, n, n // 2 + 1)`` half spectrum of half map 1 minus half map 2.
    mask : ndarray or None
        ``(n, n, n)``.
    last_shell : int
        Where the noise that counts ends.
    """
    if mask is None:
        return 1.0
    limited = difference * soft_lowpass_weights(mask.shape[0], last_shell, 1.0)
    noise = np.square(irfft3(limited.astype(np.complex64), mask.shape), dtype=np.float64)
    total = float(noise.sum())
    return float((noise * mask**2).sum()) / total if total > 0 else 1.0


def local_power(spectra: Iterable[NDArray[np.complex64]], n: int) -> NDArray[np.float32]:
    """Power ``(n, n, n // 2 + 1)`` of some half spectra, averaged over the speckle."""
    power = np.zeros((n, n, n // 2 + 1), dtype=np.float32)
    for spectrum in spectra:
        power += np.abs(spectrum) ** 2
    smooth = gaussian_filter(centred_from_half(power, n), POWER_SMOOTHING, mode="wrap")
    return half_from_centred(smooth)


def _at_most_one(power: NDArray[np.float32], reference: NDArray[np.floating]) -> NDArray[np.float32]:
    ratio = np.divide(power, reference, out=np.ones_like(power), where=reference > 0)
    return cast("NDArray[np.float32]", np.clip(ratio, 0.0, 1.0))
