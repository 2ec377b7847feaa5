"""Sums and correlations over Fourier shells."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from spisonet.fourier.grids import hermitian_multiplicity, shell_index_rfft

if TYPE_CHECKING:
    from numpy.typing import NDArray


def shell_sums(values_rfft: NDArray[np.floating], n: int) -> NDArray[np.float64]:
    """Sum a real half-spectrum quantity over whole shells ``0 .. n // 2``.

    Parameters
    ----------
    values_rfft : ndarray
        ``(n, n, n // 2 + 1)``, DC at index 0. Voxels whose Friedel mate is not stored count twice.
    n : int
        Box in voxels.

    Returns
    -------
    ndarray
        ``(n // 2 + 1,)`` sums.
    """
    weights = values_rfft * hermitian_multiplicity(n)
    sums = np.bincount(shell_index_rfft((n, n, n)).ravel(), weights=weights.ravel())
    return cast("NDArray[np.float64]", sums[: n // 2 + 1])


def shell_counts(n: int) -> NDArray[np.float64]:
    """Count the Fourier voxels in the whole shells ``0 .. n // 2``."""
    return shell_sums(np.ones((n, n, n // 2 + 1), dtype=np.float32), n)


def fourier_shell_correlation(
    spectrum1: NDArray[np.complex64], spectrum2: NDArray[np.complex64], n: int
) -> NDArray[np.float64]:
    """Fourier shell correlation ``Σ Re(F1 F2*) / sqrt(Σ|F1|² Σ|F2|²)`` per shell.

    Parameters
    ----------
    spectrum1, spectrum2 : ndarray of complex64
        ``(n, n, n // 2 + 1)`` half spectra.
    n : int
        Box in voxels.

    Returns
    -------
    ndarray
        ``(n // 2 + 1,)``; 0 where a shell holds no power; 1 at DC by convention.

    References
    ----------
    Harauz & van Heel (1986) Optik 73, 146-156.
    """
    cross = shell_sums(np.real(spectrum1 * np.conj(spectrum2)), n)
    power1 = shell_sums(np.abs(spectrum1) ** 2, n)
    power2 = shell_sums(np.abs(spectrum2) ** 2, n)
    norm = np.sqrt(power1 * power2)
    fsc = np.divide(cross, norm, out=np.zeros_like(cross), where=norm > 0)
    fsc[0] = 1.0
    return fsc


def resolution_at_threshold(fsc: NDArray[np.floating], threshold: float, box_angstrom: float) -> float:
    """Resolution in Å where the FSC first falls below `threshold`, linear between shells.

    Parameters
    ----------
    fsc : ndarray
        FSC per shell from DC.
    threshold : float
        0.143 or 0.5.
    box_angstrom : float
        Box edge in Å.

    Returns
    -------
    float
        The Nyquist resolution if the curve never falls below the threshold.
    """
    below = np.flatnonzero(fsc[1:] < threshold)
    if below.size == 0:
        return box_angstrom / (len(fsc) - 1)
    shell = int(below[0]) + 1
    high, low = float(fsc[shell - 1]), float(fsc[shell])
    crossing = shell - 1 + (high - threshold) / (high - low) if high > threshold else float(shell)
    return box_angstrom / max(crossing, 0.5)
