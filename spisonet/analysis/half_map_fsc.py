"""Global FSC of two half maps inside a mask, corrected for the mask by phase randomisation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spisonet.fourier.grids import rfft3
from spisonet.fourier.phase_randomisation import SHELLS_UNCORRECTED, corrected_fsc, randomised_spectra
from spisonet.fourier.shells import fourier_shell_correlation

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class MaskedFsc:
    """FSC of two half maps inside a mask.

    Attributes
    ----------
    fsc : ndarray
        ``(n // 2 + 1,)`` FSC per shell, corrected for the mask if phases were randomised.
    uncorrected : ndarray
        ``(n // 2 + 1,)`` FSC of the masked half maps.
    randomised_from_shell : int or None
        First shell with randomised phases; None without correction.
    spectra : list of ndarray
        Two half spectra ``(n, n, n // 2 + 1)`` of the masked half maps, if they were kept; else empty.
    randomised_spectra : list of ndarray
        Two half spectra of the masked half maps with randomised phases, if they were kept; else empty.
    """

    fsc: NDArray[np.float64]
    uncorrected: NDArray[np.float64]
    randomised_from_shell: int | None = None
    spectra: list[NDArray[np.complex64]] = field(default_factory=list, repr=False)
    randomised_spectra: list[NDArray[np.complex64]] = field(default_factory=list, repr=False)

    @property
    def first_corrected_shell(self) -> int | None:
        """First shell whose FSC is corrected: two beyond the first with randomised phases, as in RELION."""
        return None if self.randomised_from_shell is None else self.randomised_from_shell + SHELLS_UNCORRECTED


def masked_fsc(
    halves: Sequence[NDArray[np.float32]],
    mask: NDArray[np.float32] | None,
    phase_seed: int | None,
    workers: int = 1,
    keep_spectra: bool = False,
) -> MaskedFsc:
    """Compute the FSC of two half maps inside a mask.

    Parameters
    ----------
    halves : sequence of ndarray
        Two half maps ``(n, n, n)`` with a solvent level of zero, not masked.
    mask : ndarray or None
        ``(n, n, n)``; both halves are multiplied by it.
    phase_seed : int or None
        Seed of the randomised phases; None for no correction. Without a mask nothing is corrected.
    workers : int
        Threads.
    keep_spectra : bool
        Return the spectra. They are as large as the maps.

    References
    ----------
    Chen et al. (2013) Ultramicroscopy 135, 24-35.
    """
    n = len(halves[0])
    spectra = [rfft3(half if mask is None else half * mask, workers) for half in halves]
    uncorrected = fourier_shell_correlation(spectra[0], spectra[1], n, workers)
    kept = spectra if keep_spectra else []
    del spectra
    if mask is None or phase_seed is None:
        return MaskedFsc(uncorrected, uncorrected, None, kept)
    random, from_shell = randomised_spectra(halves, mask, phase_seed, workers)
    beyond = slice(from_shell + SHELLS_UNCORRECTED, None)
    fsc = uncorrected.copy()
    by_mask = fourier_shell_correlation(random[0], random[1], n, workers)
    fsc[beyond] = corrected_fsc(uncorrected[beyond], by_mask[beyond])
    return MaskedFsc(fsc, uncorrected, from_shell, kept, random if keep_spectra else [])
