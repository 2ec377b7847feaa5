"""Correlation of pairs of half-map coefficients, independent of their power.

With ``u, w = (F1 ± F2) / √2`` of a pair of coefficients with FSC ``M``, the variances of ``u`` and ``w``
are as ``1 + M`` to ``1 - M``, and ``R = |u|² / (|u|² + |w|²)`` has the density

    p(R) = (1 - M²) / (1 + (1 - 2 R) M)².

It does not depend on the local power, which regularised reconstructions attenuate, and others amplify, where
little was measured. Coefficients with next to no power count as uncorrelated, since a real-space window leaks
the same signal into both halves there.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from spisonet.analysis.leakage import local_power
from spisonet.fourier.grids import frequency_axes_rfft, shell_index_rfft

if TYPE_CHECKING:
    from numpy.typing import NDArray

EMPTY_POWER, STRONG_PERCENTILE = 0.03, 90  # power of an empty region, relative to the strong coefficients
UNCORRELATED = 0.5  # mean of R for noise
SEED = 0


def indices_of_shells(
    n: int, first_shell: int, last_shell: int, independent: bool = False
) -> list[NDArray[np.int64]]:
    """Return the flat indices of the coefficients ``(n, n, n // 2 + 1)`` of each shell.

    Parameters
    ----------
    n : int
        Box edge.
    first_shell, last_shell : int
        Shells, both included.
    independent : bool
        Leave out Friedel mates of others, and Nyquist planes, which stand for two directions each.
    """
    shell = shell_index_rfft((n, n, n))
    if independent:
        kz, ky, kx = frequency_axes_rfft((n, n, n))
        shell[(kx == 0) & ((ky < 0) | ((ky == 0) & (kz < 0)))] = 0
        for axis in (kz, ky, kx):
            shell[np.broadcast_to(2 * np.abs(axis) == n, shell.shape)] = 0
    by_shell = np.argsort(shell, axis=None, kind="stable")
    borders = np.searchsorted(shell.reshape(-1)[by_shell], np.arange(first_shell, last_shell + 2))
    return [by_shell[start:end] for start, end in itertools.pairwise(borders)]


def sample_shells(n: int, first_shell: int, last_shell: int, largest_sample: int) -> list[NDArray[np.int64]]:
    """Return the flat indices of a random sample of independent coefficients of each shell.

    Parameters
    ----------
    n, first_shell, last_shell
        See `indices_of_shells`.
    largest_sample : int
        Maximum number for each shell. The sample is always the same.
    """
    rng = np.random.default_rng(SEED)
    return [
        members if len(members) <= largest_sample else rng.choice(members, largest_sample, replace=False)
        for members in indices_of_shells(n, first_shell, last_shell, independent=True)
    ]


def correlation_ratios(
    spectrum1: NDArray[np.complex64], spectrum2: NDArray[np.complex64], samples: list[NDArray[np.int64]]
) -> list[NDArray[np.float32]]:
    """Return the ratios ``R`` in 0..1 of sampled coefficients.

    Parameters
    ----------
    spectrum1, spectrum2 : ndarray
        ``(n, n, n // 2 + 1)`` half spectra of the half maps.
    samples : list of ndarray
        Flat indices, for each shell.
    """
    local = local_power((spectrum1, spectrum2), len(spectrum1)).reshape(-1)
    ratios = []
    for index in samples:
        first, second = (spectrum.reshape(-1)[index] for spectrum in (spectrum1, spectrum2))
        total = 2 * (np.abs(first) ** 2 + np.abs(second) ** 2)
        ratio = np.divide(
            np.abs(first + second) ** 2, total, out=np.full_like(total, UNCORRELATED), where=total > 0
        )
        if len(index):
            power = local[index]
            ratio[power < EMPTY_POWER * np.percentile(power, STRONG_PERCENTILE)] = UNCORRELATED
        ratios.append(np.clip(ratio, 0, 1).astype(np.float32))
    return ratios
