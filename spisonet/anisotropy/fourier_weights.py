"""Fourier weights of half maps: how well each Fourier coefficient is measured.

Two weights in 0..1 are used; the symbols are those of `Measurement`:

``C``
    The smooth weight, a 3D FSC, which is an average over cones.
``M``
    The sharp weight, ``SSNR / (1 + SSNR)``: the FSC measured among coefficients that the view distribution
    of the half maps samples alike.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spisonet.analysis.fsc3d import limit_shell_of
from spisonet.analysis.fsc_metrics import FSC_THRESHOLD_HALF_MAPS
from spisonet.analysis.half_map_fsc import masked_fsc
from spisonet.analysis.leakage import estimate_noise_fraction_in_mask, leakage_weight, local_maximum
from spisonet.analysis.measured_fsc import measure_fsc_by_ssnr
from spisonet.analysis.normalisation import solvent_level
from spisonet.analysis.view_distribution import MAX_SLAB_RADIUS, fit_view_distribution
from spisonet.errors import SpisonetError
from spisonet.fourier.conical_fsc import conical_fsc
from spisonet.fourier.grids import rfft3, shell_index_rfft
from spisonet.fourier.phase_randomisation import PHASE_SEED
from spisonet.fourier.shells import (
    FEWEST_SHELLS,
    FIRST_SLICE_SHELL,
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
NO_CORRELATION = 0.05  # FSC of shells that are not corrected
LAST_OVERLAPPING_SHELL = math.floor(MAX_SLAB_RADIUS) + 1
REFERENCE_EDGE_SHELLS = 3  # soft edge between a reference and the map


@dataclass(frozen=True)
class FourierWeights:
    """Fourier weights, signal per shell, and resolution limit.

    Attributes
    ----------
    fsc_weight_rfft : ndarray
        ``(n, n, n // 2 + 1)`` smooth weight ``C`` in 0..1: a 3D FSC or a sampling density.
    view_weight_rfft : ndarray or None
        ``(n, n, n // 2 + 1)`` sharp weight ``M`` in 0..1; None if it was not estimated from the half maps.
    shell_signal : ndarray
        ``(n // 2 + 1,)`` FSC of the half maps, corrected for the mask; mean weight of each shell if no FSC
        may be computed.
    limit_resolution_angstrom : float
        Resolution to which the maps are corrected, in Å.
    noise_fraction_in_mask : float
        Fraction in 0..1 of the noise power of the box that lies inside the mask.
    """

    fsc_weight_rfft: NDArray[np.float32]
    view_weight_rfft: NDArray[np.float32] | None
    shell_signal: NDArray[np.float64]
    limit_resolution_angstrom: float
    noise_fraction_in_mask: float = 1.0

    @property
    def learnable(self) -> NDArray[np.float64]:
        """Fraction in 0..1 of each shell that is corrected, ``(n // 2 + 1,)``.

        It rises from 0 at an FSC of 0.05 to 1 at 0.143, of the curve averaged over three shells: without
        correlation of the half maps nothing can be learned. It is 0 in shells where `fsc_weight_rfft` is 0.
        """
        padded = np.pad(self.shell_signal, 1, mode="edge")
        smooth = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
        fraction = np.clip((smooth - NO_CORRELATION) / (FSC_THRESHOLD_HALF_MAPS - NO_CORRELATION), 0.0, 1.0)
        return np.where(shell_sums(self.fsc_weight_rfft, len(self.fsc_weight_rfft)) > 0, fraction, 0.0)


def reference_weight(n: int, shell: float, edge_shells: float = REFERENCE_EDGE_SHELLS) -> NDArray[np.float32]:
    """Return the weight ``(n, n, n // 2 + 1)`` in 0..1 with which a reference replaces a map.

    It is 1 to `shell` and falls to 0 within `edge_shells`; without a reference (`shell` 0) it is 0.
    """
    weight = soft_lowpass_weights(n, shell, edge_shells)
    return weight if shell else np.zeros_like(weight)


def fourier_weights_from_file(
    weight_rfft: NDArray[np.float32], voxel_size_angstrom: float, limit_resolution_angstrom: float | None
) -> FourierWeights:
    """Return the Fourier weights from a given weight only, without half maps.

    Parameters
    ----------
    weight_rfft : ndarray
        ``(n, n, n // 2 + 1)`` smooth weight ``C`` in 0..1.
    voxel_size_angstrom : float
        Voxel size in Å.
    limit_resolution_angstrom : float or None
        Resolution limit in Å; None: the last shell whose mean weight is 0.143.
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
    reference_shell: float = 0.0,
) -> FourierWeights:
    """Estimate the Fourier weights of two half maps from their FSC, their 3D FSC and their views.

    Parameters
    ----------
    maps : HalfMaps
        Two half maps, and a mask if there is one.
    weight_rfft : ndarray or None
        ``(n, n, n // 2 + 1)`` smooth weight ``C`` in 0..1; None: the conical 3D FSC inside the mask.
    limit_resolution_angstrom : float or None
        Resolution limit in Å; None: where the FSC, corrected for the mask, falls to 0.143.
    workers : int
        Threads.
    reference_shell : float
        Last shell in which both half maps are replaced by the same reference: the weights are 1 there, and
        the views are estimated from finer shells only.

    Raises
    ------
    SpisonetError
        If the half maps correlate in less than three shells and no limit is given.
    """
    assert maps.half2 is not None
    mask = None if maps.mask is None else maps.mask.data
    halves = [v.data - np.float32(solvent_level(v.data, mask)) for v in (maps.half1, maps.half2)]
    n, voxel_size = maps.half1.box, maps.half1.voxel_size_angstrom
    # The FSC of masked noise is above 0 in shells next to those with signal; nothing can be learned there.
    fsc = masked_fsc(halves, mask, PHASE_SEED, workers).fsc
    limit = limit_resolution_angstrom or _fsc_limit(fsc, n * voxel_size)
    if weight_rfft is None:
        log.info("Computing the 3D FSC of the half maps.")
        weight_rfft = _fsc_weight(halves, mask, voxel_size, limit, workers)
    reference = reference_weight(n, reference_shell)
    fsc_weight_rfft = np.maximum(weight_rfft, reference)
    first_shell = FIRST_SLICE_SHELL
    if reference_shell:
        first_shell = max(first_shell, math.ceil(reference_shell) + REFERENCE_EDGE_SHELLS + 1)
    last_shell = min(round(n * voxel_size / limit) + 1, n // 2)
    if last_shell < first_shell:
        return FourierWeights(fsc_weight_rfft, None, fsc, limit)
    spectra = [rfft3(half, workers) for half in halves]
    view_weight_rfft = estimate_view_weight(spectra, weight_rfft, first_shell, last_shell)
    return FourierWeights(
        fsc_weight_rfft,
        np.maximum(view_weight_rfft, reference),
        fsc,
        limit,
        estimate_noise_fraction_in_mask(spectra[0] - spectra[1], mask, last_shell),
    )


def _fsc_limit(fsc: NDArray[np.float64], box_angstrom: float) -> float:
    """Return the resolution in Å at which the FSC falls to 0.143."""
    limit = resolution_at_threshold(fsc, FSC_THRESHOLD_HALF_MAPS, box_angstrom)
    if box_angstrom / limit < FEWEST_SHELLS:
        raise SpisonetError(
            f"The half maps do not correlate beyond {limit:.1f} Å, so nothing can be learned: check that "
            "they are half maps of one refinement, or give --limit_res.",
            code="no_correlation",
        )
    return limit


def _fsc_weight(
    halves: list[NDArray[np.float32]],
    mask: NDArray[np.float32] | None,
    voxel_size_angstrom: float,
    limit_resolution_angstrom: float,
    workers: int,
) -> NDArray[np.float32]:
    """Return the conical 3D FSC ``(n, n, n // 2 + 1)`` of the masked half maps, limited to 0..1."""
    n = len(halves[0])
    box_angstrom = n * voxel_size_angstrom
    limit_shell_of(limit_resolution_angstrom, box_angstrom)
    # The shell that contains the limit has a weight, too.
    limit_shell = min(round(box_angstrom / limit_resolution_angstrom), n // 2)
    first, second = (rfft3(half if mask is None else half * mask, workers) for half in halves)
    fsc_rfft = conical_fsc(first, second, n, limit_shell, CONE_ANGLE_DEGREES, workers)
    return np.clip(fsc_rfft, 0.0, 1.0)


def estimate_view_weight(
    spectra: list[NDArray[np.complex64]],
    fsc_weight_rfft: NDArray[np.float32],
    first_shell: int,
    last_shell: int,
) -> NDArray[np.float32]:
    """Estimate the sharp weight ``M`` from the view distribution that explains two half maps.

    The view distribution ranks the coefficients of a shell, and their FSC is measured by rank
    (`measure_fsc_by_ssnr`). In shells to 11, in which slabs of neighbouring directions overlap, the window
    of a reconstruction leaks signal into unmeasured directions, and the measured FSC is too high there. The
    predicted one is too low, because the views are estimated to a few degrees only. There ``M`` is the
    geometric mean of both.

    Parameters
    ----------
    spectra : list of ndarray
        Two half spectra ``(n, n, n // 2 + 1)`` of the unmasked half maps.
    fsc_weight_rfft : ndarray
        ``(n, n, n // 2 + 1)`` smooth weight ``C``; its local maximum limits the result.
    first_shell, last_shell : int
        Shells in which the views are estimated.

    Returns
    -------
    ndarray
        ``(n, n, n // 2 + 1)`` in 0..1; near 0 where the maps have hardly any power.
    """
    n = len(fsc_weight_rfft)
    ssnr = fit_view_distribution(spectra[0], spectra[1], first_shell, last_shell).ssnr_rfft(n)
    shell = shell_index_rfft((n, n, n))
    weight = ssnr / (1 + ssnr)
    measured = measure_fsc_by_ssnr(spectra[0], spectra[1], ssnr, first_shell, last_shell)
    coarse = (shell >= first_shell) & (shell <= LAST_OVERLAPPING_SHELL)
    weight[coarse] = np.sqrt(weight[coarse] * measured[coarse])
    fine = shell > max(LAST_OVERLAPPING_SHELL, first_shell - 1)
    weight[fine] = measured[fine]
    limited = np.minimum(weight, local_maximum(fsc_weight_rfft))
    return np.asarray(limited * leakage_weight(spectra, ssnr), dtype=np.float32)
