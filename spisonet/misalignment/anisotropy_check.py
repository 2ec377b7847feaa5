"""Check from an iteration's accumulators and FSC whether its reference needs correction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spisonet.fourier.grids import shell_index_rfft
from spisonet.fourier.shells import FSC_THRESHOLD_HALF, FSC_THRESHOLD_HALF_MAPS, shell_counts, shell_sums
from spisonet.geometry.view_sampling import (
    FIRST_SAMPLING_SHELL,
    UNDERSAMPLED_DENSITY,
    UNDERSAMPLED_FRACTION_LIMIT,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.misalignment.backprojection import BackProjector
    from spisonet.misalignment.settings import MisalignmentSettings

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


@dataclass(frozen=True)
class SkipReason:
    """Why an iteration is not corrected although nothing failed.

    Attributes
    ----------
    code : str
        For programs, such as ``even_views``.
    message : str
        For users; follows "skipped: ".
    """

    code: str
    message: str


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
    threshold = FSC_THRESHOLD_HALF if fsc_05 else FSC_THRESHOLD_HALF_MAPS
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


def skip_reason(
    check: AnisotropyCheck, settings: MisalignmentSettings, healpix_order: int | None
) -> SkipReason | None:
    """Return why an iteration should be skipped; None if it should be corrected.

    If ISONET_START_RESOLUTION or ISONET_START_HEALPIX is set, these thresholds decide. Otherwise an
    iteration is corrected where its view distribution is uneven.
    """
    resolution = check.resolution_angstrom
    if check.limit_shell < FIRST_SAMPLING_SHELL + MIN_SHELLS:
        return SkipReason("resolution_too_low", f"a resolution of {resolution:.1f} Å is too low for training")
    if settings.start_resolution is not None and resolution >= settings.start_resolution:
        return SkipReason(
            "before_start_resolution",
            f"the resolution of {resolution:.1f} Å has not reached "
            f"ISONET_START_RESOLUTION={settings.start_resolution:g}",
        )
    if settings.start_healpix is not None and (healpix_order or 0) < settings.start_healpix:
        return SkipReason(
            "before_start_healpix",
            f"HEALPix order {healpix_order} is below ISONET_START_HEALPIX={settings.start_healpix}",
        )
    if settings.start_healpix is None and settings.start_resolution is None:
        if not check.views_are_uneven:
            percent = 100 * check.undersampled_fraction
            return SkipReason(
                "even_views", f"the views are even ({percent:.0f} % of Fourier space undersampled)"
            )
    return None
