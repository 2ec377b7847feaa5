"""The classical baseline beside the learned result: what a network adds to mask and positivity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spisonet.fourier.grids import rfft3, shell_index_rfft
from spisonet.fourier.shells import shell_sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.io.mrc import Volume

MEASURED, UNMEASURED = 0.5, 0.143  # share that was kept
FIRST_SHELL = 3


def compare(maps: dict[str, Volume], known_rfft: NDArray[np.float32], last_shell: float) -> dict[str, Any]:
    """Compare maps of one half where much and where little was measured.

    Parameters
    ----------
    maps : dict
        ``input``, ``learned`` and ``classical``.
    known_rfft : ndarray
        ``(n, n, n // 2 + 1)`` share in 0..1 of each coefficient that was kept as measured.
    last_shell : float
        Where the correction ends, in Fourier voxels.

    Returns
    -------
    dict
        For each map: its mean power per coefficient where little was measured over that where much was, mean
        over shells; and its FSC with the learned map in both regions.
    """
    n = len(known_rfft)
    shell = shell_index_rfft((n, n, n))
    band = (shell >= FIRST_SHELL) & (shell <= last_shell)
    much, little = band & (known_rfft >= MEASURED), band & (known_rfft < UNMEASURED)
    spectra = {name: rfft3(volume.data) for name, volume in maps.items()}
    learned = spectra["learned"]

    def sums(values: NDArray[np.floating], region: NDArray[np.bool_]) -> NDArray[np.float64]:
        return shell_sums(values * region, n)

    def mean_fsc(spectrum: NDArray[np.complex64], region: NDArray[np.bool_]) -> float:
        cross = sums((spectrum * learned.conj()).real, region)
        norm = np.sqrt(sums(np.abs(spectrum) ** 2, region) * sums(np.abs(learned) ** 2, region))
        return float((cross[norm > 0] / norm[norm > 0]).mean()) if (norm > 0).any() else 1.0

    def power_ratio(spectrum: NDArray[np.complex64]) -> float:
        power, ones = np.abs(spectrum) ** 2, np.ones(shell.shape, np.float32)
        counts = sums(ones, little), sums(ones, much)
        both = (counts[0] > 0) & (counts[1] > 0)
        if not both.any():
            return 1.0
        means = [
            sums(power, region)[both] / c[both] for region, c in zip((little, much), counts, strict=True)
        ]
        return float((means[0] / means[1]).mean())

    return {
        "unmeasured_power": {name: power_ratio(spectrum) for name, spectrum in spectra.items()},
        "agreement_measured": {name: mean_fsc(spectrum, much) for name, spectrum in spectra.items()},
        "agreement_unmeasured": {name: mean_fsc(spectrum, little) for name, spectrum in spectra.items()},
    }
