"""What is known of a map at each spatial frequency, before anything is learned."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spisonet.analysis.fsc3d import estimate_fsc3d
from spisonet.analysis.half_map_fsc import masked_fsc
from spisonet.analysis.leakage import estimate_noise_fraction_in_mask, leakage_weight, local_maximum
from spisonet.analysis.normalisation import solvent_level
from spisonet.analysis.view_distribution import fit_view_distribution
from spisonet.errors import SpisonetError
from spisonet.fourier.grids import rfft3
from spisonet.fourier.shells import (
    FEWEST_SHELLS,
    FIRST_SLICE_SHELL,
    FSC_THRESHOLD_HALF_MAPS,
    resolution_at_threshold,
    shell_counts,
    shell_sums,
)
from spisonet.fourier.windows import soft_lowpass_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.analysis.half_maps import HalfMaps

log = logging.getLogger("spisonet")

CONE_ANGLE_DEGREES = 10.0
NO_CORRELATION = 0.05  # shells with a smaller FSC are left as they are
PHASE_SEED = 0
EDGE_SHELLS = 3  # over which a reference gives way to the map


@dataclass(frozen=True)
class FourierWeights:
    """Fourier weight, signal per shell, and resolution limit.

    Attributes
    ----------
    fsc_weight_rfft : ndarray
        ``(n, n, n // 2 + 1)`` weight in 0..1 of every coefficient, as blunt as a 3D FSC is.
    view_weight_rfft : ndarray or None
        ``(n, n, n // 2 + 1)`` the same from a view model, sharp; None where the half maps may not meet.
    shell_signal : ndarray
        ``(n // 2 + 1,)`` FSC of the half maps, corrected for the mask, or, where none may be taken, mean
        weight of a shell.
    limit_resolution_angstrom : float
        Up to where to correct.
    noise_fraction_in_mask : float
        Share in 0..1 of the noise of the box that is inside the mask.
    """

    fsc_weight_rfft: NDArray[np.float32]
    view_weight_rfft: NDArray[np.float32] | None
    shell_signal: NDArray[np.float64]
    limit_resolution_angstrom: float
    noise_fraction_in_mask: float = 1.0

    @property
    def learnable(self) -> NDArray[np.float64]:
        """Share in 0..1 of each shell that is corrected.

        Where the half maps do not correlate nothing can be learned, and the input is left alone:
        0 below an FSC of 0.05, 1 from 0.143 on, of the curve averaged over three shells; 0 also where
        the weight has ended, since nothing says there what was measured.
        """
        padded = np.pad(self.shell_signal, 1, mode="edge")
        smooth = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
        share = np.clip((smooth - NO_CORRELATION) / (FSC_THRESHOLD_HALF_MAPS - NO_CORRELATION), 0.0, 1.0)
        return np.where(shell_sums(self.fsc_weight_rfft, len(self.fsc_weight_rfft)) > 0, share, 0.0)


def reference_weight(n: int, shell: float, edge_shells: float = EDGE_SHELLS) -> NDArray[np.float32]:
    """Share ``(n, n, n // 2 + 1)`` in 0..1 that a reference has of a map.

    It is 1 up to `shell` and falls to 0 within `edge_shells`; without a reference (`shell` 0) it is 0.
    """
    share = soft_lowpass_weights(n, shell, edge_shells)
    return share if shell else np.zeros_like(share)


def fourier_weights_from_file(
    weight_rfft: NDArray[np.float32], voxel_size_angstrom: float, limit_resolution_angstrom: float | None
) -> FourierWeights:
    """Take what a given weight says; no half map is looked at.

    Without a limit, the correction ends at the last shell whose mean weight is 0.143.
    """
    n = len(weight_rfft)
    means = shell_sums(weight_rfft, n) / shell_counts(n)
    if limit_resolution_angstrom is None:
        last = int(np.flatnonzero(means >= min(FSC_THRESHOLD_HALF_MAPS, float(means.max())))[-1])
        limit_resolution_angstrom = n * voxel_size_angstrom / max(last, 1)
    return FourierWeights(weight_rfft, None, means, limit_resolution_angstrom)


def estimate_fourier_weights(
    maps: HalfMaps,
    weight_rfft: NDArray[np.float32] | None,
    limit_resolution_angstrom: float | None,
    workers: int,
    shared_up_to_shell: float = 0.0,
) -> FourierWeights:
    """Measure what two half maps know: their FSC, their 3D FSC if none is given, and their views.

    The FSC inside the mask is corrected for the mask by phase randomisation, as in postprocessing.
    The sharp weight follows from the view distribution that explains the half maps (`view_distribution`);
    it is at most what the 3D FSC says there or at a neighbouring coefficient, and next to nothing where
    the maps hold next to no power. Without a limit, the correction ends where the FSC falls to 0.143. Up
    to `shared_up_to_shell` the halves hold the same reference, which counts as known and says nothing of
    the views.

    Raises
    ------
    SpisonetError
        If the half maps correlate in less than three shells and no limit is given.
    """
    assert maps.half2 is not None
    mask = None if maps.mask is None else maps.mask.data
    whole = [v.data - np.float32(solvent_level(v.data, mask)) for v in (maps.half1, maps.half2)]
    spectra = [rfft3(densities, workers) for densities in whole]
    halves = whole if mask is None else [densities * mask for densities in whole]
    n, voxel_size = maps.half1.box, maps.half1.voxel_size_angstrom
    # A mask correlates noise in shells next to those with signal, and nothing can be learned from that.
    fsc = masked_fsc(whole, mask, PHASE_SEED, workers).fsc
    if limit_resolution_angstrom is None:
        limit_resolution_angstrom = resolution_at_threshold(fsc, FSC_THRESHOLD_HALF_MAPS, n * voxel_size)
        if n * voxel_size / limit_resolution_angstrom < FEWEST_SHELLS:
            raise SpisonetError(
                f"The half maps do not correlate beyond {limit_resolution_angstrom:.1f} Å, so there is "
                "nothing to learn from; check that they are halves of one refinement, or give --limit_res."
            )
    if weight_rfft is None:
        log.info("No --aniso_file: computing the 3D FSC of the half maps.")
        estimate = estimate_fsc3d(
            halves[0], halves[1], None, voxel_size, limit_resolution_angstrom, CONE_ANGLE_DEGREES, workers
        )
        weight_rfft = np.clip(estimate.fsc_rfft, 0.0, 1.0)
    reference = reference_weight(n, shared_up_to_shell)
    first_shell = FIRST_SLICE_SHELL
    if shared_up_to_shell:
        first_shell = max(first_shell, math.ceil(shared_up_to_shell) + EDGE_SHELLS + 1)
    last_shell = min(round(n * voxel_size / limit_resolution_angstrom) + 1, n // 2)
    if last_shell < first_shell:
        return FourierWeights(np.maximum(weight_rfft, reference), None, fsc, limit_resolution_angstrom)
    ssnr = fit_view_distribution(spectra[0], spectra[1], first_shell, last_shell).ssnr_rfft(n)
    sharp = np.minimum(ssnr / (1 + ssnr), local_maximum(weight_rfft)) * leakage_weight(spectra, ssnr)
    return FourierWeights(
        np.maximum(weight_rfft, reference),
        np.maximum(sharp, reference),
        fsc,
        limit_resolution_angstrom,
        estimate_noise_fraction_in_mask(spectra[0] - spectra[1], mask, last_shell),
    )
