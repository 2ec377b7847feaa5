"""Phase randomisation: what correlation a mask alone puts between two halves."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from spisonet.fourier.grids import irfft3, rfft3, shell_index_rfft
from spisonet.fourier.shells import fourier_shell_correlation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

RANDOMISE_BELOW_FSC = 0.8  # of the unmasked halves, as RELION's postprocessing does
SHELLS_UNCORRECTED = 2
LARGEST_RANDOM_FSC = 0.99  # the correction has no meaning where the mask explains everything


def randomise_phases(
    volume: NDArray[np.float32], from_shell: int, generator: np.random.Generator, workers: int = -1
) -> NDArray[np.float32]:
    """Replace the phases of a map from a shell on by random ones and keep its amplitudes.

    The phases are those of white noise in real space, so they have the Friedel symmetry that a real
    map needs, on the Nyquist planes too.

    Parameters
    ----------
    volume : ndarray of float32
        ``(n, n, n)`` densities.
    from_shell : int
        First shell to randomise.
    generator : numpy.random.Generator
        Source of the phases; give each half its own numbers.
    workers : int
        Threads of the transforms.

    Returns
    -------
    ndarray of float32
        ``(n, n, n)`` densities.

    References
    ----------
    Chen et al. (2013) Ultramicroscopy 135, 24-35.
    """
    noise = rfft3(generator.standard_normal(volume.shape, dtype=np.float32), workers)
    spectrum = rfft3(volume, workers)
    beyond = shell_index_rfft(volume.shape) >= from_shell
    size = np.abs(noise[beyond])
    spectrum[beyond] = np.abs(spectrum[beyond]) * (noise[beyond] / np.where(size > 0, size, 1))
    return irfft3(spectrum, volume.shape, workers)


def randomisation_shell(fsc_unmasked: NDArray[np.floating]) -> int:
    """First shell to randomise: where the FSC of the unmasked halves falls below 0.8."""
    below = np.flatnonzero(fsc_unmasked[1:] < RANDOMISE_BELOW_FSC)
    return int(below[0]) + 1 if below.size else len(fsc_unmasked)


def randomised_spectra(
    halves: Sequence[NDArray[np.float32]], mask: NDArray[np.float32], seed: int, workers: int = -1
) -> tuple[list[NDArray[np.complex64]], int]:
    """Spectra of half maps under a mask after their phases were randomised, and from which shell on.

    Parameters
    ----------
    halves : sequence of ndarray
        Two half maps ``(n, n, n)``, not masked.
    mask : ndarray
        ``(n, n, n)`` what they are multiplied by afterwards.
    seed : int
        Of the phases.
    workers : int
        Threads of the transforms.

    Returns
    -------
    spectra : list of ndarray
        Two half spectra ``(n, n, n // 2 + 1)``.
    from_shell : int
        First shell with random phases, where the FSC of the unmasked halves falls below 0.8.
    """
    unmasked = [rfft3(half, workers) for half in halves]
    from_shell = randomisation_shell(fourier_shell_correlation(unmasked[0], unmasked[1], len(mask), workers))
    unmasked.clear()  # as large as the maps
    generator = np.random.default_rng(seed)
    spectra = [
        rfft3(mask * randomise_phases(half, from_shell, generator, workers), workers) for half in halves
    ]
    return spectra, from_shell


def corrected_fsc(fsc: NDArray[np.floating], fsc_random: NDArray[np.floating]) -> NDArray[np.float32]:
    """FSC without the part that the mask causes, ``(FSC_t - FSC_n) / (1 - FSC_n)``.

    Parameters
    ----------
    fsc : ndarray
        FSC of the masked halves.
    fsc_random : ndarray
        FSC of the masked halves after phase randomisation, of the same shape. A negative value is
        noise and corrects nothing.

    Returns
    -------
    ndarray of float32
        Corrected values in -1..1.

    References
    ----------
    Chen et al. (2013) Ultramicroscopy 135, 24-35.
    """
    by_mask = np.clip(fsc_random, 0, LARGEST_RANDOM_FSC)
    return cast("NDArray[np.float32]", np.clip((fsc - by_mask) / (1 - by_mask), -1, 1).astype(np.float32))
