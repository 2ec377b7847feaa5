"""Phase randomisation: the correlation that a mask causes between two half maps, and its correction."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from spisonet.fourier.grids import irfft3, rfft3, shell_index_rfft
from spisonet.fourier.shells import fourier_shell_correlation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

RANDOMISE_BELOW_FSC = 0.8  # of the unmasked half maps, as in RELION's postprocessing
SHELLS_UNCORRECTED = 2  # after the first shell with random phases, as in RELION
MAX_RANDOM_FSC = 0.99  # the correction diverges at 1
PHASE_SEED = 0  # so that all commands give the same numbers for the same maps


def randomise_phases(
    volume: NDArray[np.float32], from_shell: int, generator: np.random.Generator, workers: int = -1
) -> NDArray[np.float32]:
    """Randomise the phases of a map from a shell on, and keep its amplitudes.

    The phases are those of white noise in real space, so they have the Friedel symmetry of a real map, also
    on the Nyquist planes.

    Parameters
    ----------
    volume : ndarray of float32
        ``(n, n, n)`` densities.
    from_shell : int
        First shell to randomise.
    generator : numpy.random.Generator
        Random number generator; use different numbers for each half map.
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
    """Return the first shell to randomise: where the FSC of the unmasked half maps falls below 0.8."""
    below = np.flatnonzero(fsc_unmasked[1:] < RANDOMISE_BELOW_FSC)
    return int(below[0]) + 1 if below.size else len(fsc_unmasked)


def randomised_spectra(
    halves: Sequence[NDArray[np.float32]], mask: NDArray[np.float32], seed: int, workers: int = -1
) -> tuple[list[NDArray[np.complex64]], int]:
    """Compute the spectra of masked half maps with randomised phases.

    Parameters
    ----------
    halves : sequence of ndarray
        Two half maps ``(n, n, n)``, not masked.
    mask : ndarray
        ``(n, n, n)``; the half maps are multiplied by it after the randomisation.
    seed : int
        Seed of the phases.
    workers : int
        Threads of the transforms.

    Returns
    -------
    spectra : list of ndarray
        Two half spectra ``(n, n, n // 2 + 1)``.
    from_shell : int
        First shell with random phases, where the FSC of the unmasked half maps falls below 0.8.
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
    """Correct an FSC for the correlation that the mask causes: ``(FSC_t - FSC_n) / (1 - FSC_n)``.

    Parameters
    ----------
    fsc : ndarray
        FSC of the masked half maps.
    fsc_random : ndarray
        FSC of the masked half maps after phase randomisation, of the same shape. Negative values are
        noise and are set to 0.

    Returns
    -------
    ndarray of float32
        Corrected values in -1..1.

    References
    ----------
    Chen et al. (2013) Ultramicroscopy 135, 24-35.
    """
    by_mask = np.clip(fsc_random, 0, MAX_RANDOM_FSC)
    return cast("NDArray[np.float32]", np.clip((fsc - by_mask) / (1 - by_mask), -1, 1).astype(np.float32))
