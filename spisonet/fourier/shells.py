"""Sums and correlations over Fourier shells."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

import numpy as np

from spisonet.fourier.grids import frequency_axes_rfft, hermitian_multiplicity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

SLAB_VOXELS = 2**18

# Closer to DC a central slice, one Fourier voxel thick, covers most directions.
FIRST_SLICE_SHELL = 3
# Closer to DC some narrow cones hold no coefficients.
FIRST_CONE_SHELL = 5
FEWEST_SHELLS = 3  # below a resolution limit


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
    sums = np.zeros(n // 2 + 1)
    for slab, shell in _slabs(n):
        sums += _sum_slab(values_rfft[slab], shell, n)
    return sums


def _slabs(n: int) -> Iterator[tuple[slice, NDArray[np.intp]]]:
    """Slabs of a half spectrum that fit into the cache, each with the shells of its voxels."""
    kz, ky, kx = frequency_axes_rfft((n, n, n))
    in_plane = ky**2 + kx**2
    thickness = max(1, SLAB_VOXELS // in_plane.size)
    for first in range(0, n, thickness):
        slab = slice(first, first + thickness)
        yield slab, np.rint(np.sqrt(kz[slab] ** 2 + in_plane)).astype(np.intp)


def _sum_slab(values: NDArray[np.floating], shell: NDArray[np.intp], n: int) -> NDArray[np.float64]:
    weights = np.multiply(values, hermitian_multiplicity(n), dtype=np.float64)
    # Corners lie beyond the last shell, up to sqrt(3) times as far.
    sums = np.bincount(shell.ravel(), weights.ravel(), minlength=n // 2 + 1)
    return cast("NDArray[np.float64]", sums[: n // 2 + 1])


def shell_counts(n: int) -> NDArray[np.float64]:
    """Count the Fourier voxels in the whole shells ``0 .. n // 2``."""
    return shell_sums(np.ones((n, n, n // 2 + 1), dtype=np.float32), n)


def fourier_shell_correlation(
    spectrum1: NDArray[np.complex64], spectrum2: NDArray[np.complex64], n: int, workers: int = 1
) -> NDArray[np.float64]:
    """Fourier shell correlation ``Σ Re(F1 F2*) / sqrt(Σ|F1|² Σ|F2|²)`` per shell.

    Parameters
    ----------
    spectrum1, spectrum2 : ndarray of complex64
        ``(n, n, n // 2 + 1)`` half spectra.
    n : int
        Box in voxels.
    workers : int
        Threads.

    Returns
    -------
    ndarray
        ``(n // 2 + 1,)``; 0 where a shell has no power; 1 at DC by convention.

    References
    ----------
    Harauz & van Heel (1986) Optik 73, 146-156.
    """

    def sums_of_slab(section: tuple[slice, NDArray[np.intp]]) -> NDArray[np.float64]:
        slab, shell = section
        part1, part2 = spectrum1[slab], spectrum2[slab]
        cross = part1.real * part2.real + part1.imag * part2.imag
        power1, power2 = (part.real**2 + part.imag**2 for part in (part1, part2))
        return np.stack([_sum_slab(values, shell, n) for values in (cross, power1, power2)])

    with ThreadPoolExecutor(workers) as pool:
        sums = sum(pool.map(sums_of_slab, _slabs(n)), np.zeros((3, n // 2 + 1)))
    cross, norm = sums[0], np.sqrt(sums[1] * sums[2])
    fsc = np.divide(cross, norm, out=np.zeros_like(cross), where=norm > 0)
    fsc[0] = 1.0
    return cast("NDArray[np.float64]", fsc)


def threshold_crossing(fsc: NDArray[np.floating], threshold: float, first: bool = False) -> float | None:
    """Shell at which the FSC falls below `threshold`, linear between shells; None if it does not.

    Of several crossings, the one with the largest sum of ``FSC - threshold`` before it counts: not a dip from
    which the curve recovers, as masked curves and curves by direction have, and not a peak of the noise
    beyond the resolution.

    Parameters
    ----------
    fsc : ndarray
        FSC per shell from DC, which counts as 1.
    threshold : float
        0.143 or 0.5.
    first : bool
        Take the first crossing instead, as the published programs do for sphericity and cFAR.
    """
    if first:
        below = np.flatnonzero(fsc[1:] < threshold)
        shell = int(below[0]) if len(below) else len(fsc) - 1
    else:
        shell = int(np.argmax(np.cumsum(np.append(0.0, fsc[1:] - threshold))))
    if shell == len(fsc) - 1:
        return None
    high, low = float(fsc[shell]) if shell else 1.0, float(fsc[shell + 1])
    return shell + (high - threshold) / (high - low)


def resolution_at_threshold(
    fsc: NDArray[np.floating], threshold: float, box_angstrom: float, first: bool = False
) -> float:
    """Resolution in Å of `threshold_crossing`, or that of the last shell if the curve does not fall below.

    Parameters
    ----------
    fsc : ndarray
        FSC per shell from DC.
    threshold : float
        0.143 or 0.5.
    box_angstrom : float
        Box edge in Å.
    first : bool
        See `threshold_crossing`.
    """
    crossing = threshold_crossing(fsc, threshold, first)
    return box_angstrom / (len(fsc) - 1 if crossing is None else max(crossing, 0.5))
