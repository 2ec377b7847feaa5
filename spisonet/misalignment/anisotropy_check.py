"""Whether an iteration needs correction, from its sums and its FSC alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spisonet.fourier.grids import shell_index_rfft
from spisonet.fourier.shells import shell_counts, shell_sums
from spisonet.geometry.view_sampling import SPARSE, UNEVEN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.misalignment.backprojection import BackProjector
    from spisonet.misalignment.settings import MisalignmentSettings

FSC_LIMITS = {False: 0.143, True: 0.5}
FIRST_SHELL = 4  # nearer to DC, every view samples every direction
FEWEST_SHELLS = 2


@dataclass(frozen=True)
class AnisotropyCheck:
    """What an iteration's sums say of their resolution and of the distribution of views.

    Attributes
    ----------
    limit_shell : int
        Last shell that is known.
    resolution_angstrom : float
        Its resolution.
    undersampled_fraction : float
        Share in 0..1 of the coefficients up to there that have less than a quarter of the mean weight
        of their shell.
    shell_signal : ndarray
        ``(box // 2 + 1,)`` FSC or, without one, mean measurement weight of the shells.
    """

    limit_shell: int
    resolution_angstrom: float
    undersampled_fraction: float
    shell_signal: NDArray[np.float64]

    @property
    def views_are_uneven(self) -> bool:
        """Whether so much is sparsely sampled that the refinement may drift."""
        return self.undersampled_fraction >= UNEVEN


def check_anisotropy(
    sums: BackProjector, fsc: NDArray[np.float64], voxel_size_angstrom: float, fsc_05: bool = False
) -> AnisotropyCheck:
    """Find the resolution of an iteration and how evenly its views sample Fourier space.

    Parameters
    ----------
    sums : BackProjector
        Of one half or class.
    fsc : ndarray
        ``(box // 2 + 1,)`` gold-standard FSC; all zero where there is none (classification), and
        then the mean of ``W / (W + 1 / tau2)`` takes its place.
    voxel_size_angstrom : float
        Of the map.
    fsc_05 : bool
        Stop where the FSC is 0.5, not 0.143.
    """
    n = sums.box
    signal = fsc if fsc.any() else shell_sums(sums.measurement_weight(), n) / shell_counts(n)
    below = np.flatnonzero(signal[1 : sums.last_shell] < FSC_LIMITS[fsc_05])
    limit = int(below[0]) if len(below) else sums.last_shell - 1
    weight, shell = sums.gathered_weight, shell_index_rfft((n, n, n))
    mean = shell_sums(weight, n) / shell_counts(n)
    inside = (shell >= FIRST_SHELL) & (shell <= limit)
    sparse = weight[inside] < SPARSE * mean[shell[inside]]
    share = _mean_share(sparse, shell[inside])
    return AnisotropyCheck(limit, n * voxel_size_angstrom / max(limit, 1), share, signal)


def _mean_share(chosen: NDArray[np.bool_], shell: NDArray[np.int32]) -> float:
    """Mean over the shells of the share of coefficients that are chosen."""
    if not len(shell):
        return 0.0
    counts = np.bincount(shell)
    hits = np.bincount(shell, chosen, len(counts))
    return float(np.mean(hits[counts > 0] / counts[counts > 0]))


def skip_reason(
    check: AnisotropyCheck, settings: MisalignmentSettings, healpix_order: int | None
) -> str | None:
    """Return why an iteration is better left alone, or None.

    The published gates count if they are set; if none is, the data decide: the views have to be uneven.
    """
    resolution = check.resolution_angstrom
    if check.limit_shell < FIRST_SHELL + FEWEST_SHELLS:
        return f"{resolution:.1f} Å is too coarse to learn from"
    if settings.start_resolution is not None and resolution >= settings.start_resolution:
        return f"{resolution:.1f} Å has not reached ISONET_START_RESOLUTION={settings.start_resolution:g}"
    if settings.start_healpix is not None and (healpix_order or 0) < settings.start_healpix:
        return f"HEALPix order {healpix_order} has not reached ISONET_START_HEALPIX={settings.start_healpix}"
    if settings.start_healpix is None and settings.start_resolution is None:
        if not check.views_are_uneven:
            return f"the views are even: {100 * check.undersampled_fraction:.0f} % sparsely sampled"
    return None
