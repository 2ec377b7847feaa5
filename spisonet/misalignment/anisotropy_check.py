"""Check from an iteration's accumulators and FSC whether its reference needs correction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spisonet.analysis.fsc_metrics import FSC_THRESHOLD_05, FSC_THRESHOLD_HALF_MAPS
from spisonet.fourier.grids import shell_index_rfft
from spisonet.fourier.shells import shell_counts, shell_sums
from spisonet.geometry.view_sampling import (
    FIRST_SAMPLING_SHELL,
    UNDERSAMPLED_DENSITY,
    UNDERSAMPLED_FRACTION_LIMIT,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.misalignment.backprojection import BackProjector

MIN_SHELLS = 2


@dataclass(frozen=True)
class AnisotropyCheck:
    """Resolution of an iteration and evenness of its view distribution.

    Attributes
    ----------
    limit_shell : int
        Last shell before the FSC falls below its threshold.
    resolution_angstrom : float
        Resolution of that shell.
    undersampled_fraction : float
        Fraction in 0..1 of the Fourier coefficients up to `limit_shell` whose weight is below a quarter
        of the mean weight of their shell.
    shell_signal : ndarray
        ``(box // 2 + 1,)`` FSC or, where there is none, mean data weight of the shells.
    """

    limit_shell: int
    resolution_angstrom: float
    undersampled_fraction: float
    shell_signal: NDArray[np.float64]

    @property
    def views_are_uneven(self) -> bool:
        """Whether so much of Fourier space is undersampled that the refinement may drift."""
        return self.undersampled_fraction >= UNDERSAMPLED_FRACTION_LIMIT


def check_anisotropy(
    back_projector: BackProjector,
    fsc: NDArray[np.float64],
    voxel_size_angstrom: float,
    fsc_05: bool = False,
) -> AnisotropyCheck:
    """Find the resolution of an iteration and how evenly its views sample Fourier space.

    Parameters
    ----------
    back_projector : BackProjector
        Accumulators of one half or class.
    fsc : ndarray
        ``(box // 2 + 1,)`` gold-standard FSC; all zero where there is none (classification). The mean of
        ``W / (W + 1 / tau2)`` over each shell is used instead then.
    voxel_size_angstrom : float
        Voxel size of the map.
    fsc_05 : bool
        Use an FSC threshold of 0.5 instead of 0.143.
    """
    n = back_projector.box
    signal = fsc if fsc.any() else shell_sums(back_projector.data_weight_rfft(), n) / shell_counts(n)
    threshold = FSC_THRESHOLD_05 if fsc_05 else FSC_THRESHOLD_HALF_MAPS
    below = np.flatnonzero(signal[1 : back_projector.r_max] < threshold)
    limit = int(below[0]) if len(below) else back_projector.r_max - 1
    weight, shell = back_projector.unpadded_weight_rfft, shell_index_rfft((n, n, n))
    mean = shell_sums(weight, n) / shell_counts(n)
    inside = (shell >= FIRST_SAMPLING_SHELL) & (shell <= limit)
    undersampled = weight[inside] < UNDERSAMPLED_DENSITY * mean[shell[inside]]
    fraction = _mean_shell_fraction(undersampled, shell[inside])
    return AnisotropyCheck(limit, n * voxel_size_angstrom / max(limit, 1), fraction, signal)


def _mean_shell_fraction(chosen: NDArray[np.bool_], shell: NDArray[np.int32]) -> float:
    """Return the fraction of chosen coefficients of each shell, averaged over the shells."""
    if not len(shell):
        return 0.0
    counts = np.bincount(shell)
    hits = np.bincount(shell, chosen, len(counts))
    return float(np.mean(hits[counts > 0] / counts[counts > 0]))
