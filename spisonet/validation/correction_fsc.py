"""FSC curves before and after a correction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spisonet.analysis.fsc3d import limit_shell_of, without_solvent
from spisonet.analysis.half_map_fsc import masked_fsc
from spisonet.fourier.phase_randomisation import PHASE_SEED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.io.mrc import Volume


@dataclass(frozen=True)
class CorrectionFsc:
    """FSC curves of one or two half maps and their corrected maps, ``(n_shells,)`` each.

    Attributes
    ----------
    frequency_per_angstrom : ndarray
        Spatial frequency of each shell in 1/Å.
    halves_before, halves_after : ndarray or None
        FSC between the half maps and between the corrected half maps, corrected for the mask by phase
        randomisation; None for a single map.
    before_and_after : list of ndarray
        FSC between each map and its corrected map.
    masked : bool
        Whether a mask was applied before the FSC.
    halves_before_uncorrected, halves_after_uncorrected : ndarray or None
        FSC between the halves before the correction for the mask; None without a mask or for a single map.
    """

    frequency_per_angstrom: NDArray[np.float64]
    halves_before: NDArray[np.float64] | None
    halves_after: NDArray[np.float64] | None
    before_and_after: list[NDArray[np.float64]]
    masked: bool
    halves_before_uncorrected: NDArray[np.float64] | None = None
    halves_after_uncorrected: NDArray[np.float64] | None = None


def correction_fsc(
    inputs: list[Volume],
    corrected: list[Volume],
    mask: NDArray[np.float32] | None,
    limit_resolution_angstrom: float | None = None,
) -> CorrectionFsc:
    """Compute the FSC curves of a correction.

    Parameters
    ----------
    inputs, corrected : list of Volume
        One or two maps before and after.
    mask : ndarray or None
        ``(n, n, n)`` mask in 0..1, applied to all maps.
    limit_resolution_angstrom : float, optional
        Resolution in Å at which the curves end [default: Nyquist].
    """
    n, voxel_size = inputs[0].box, inputs[0].voxel_size_angstrom
    last_shell = n // 2
    if limit_resolution_angstrom is not None:
        last_shell = min(last_shell, limit_shell_of(limit_resolution_angstrom, n * voxel_size))
    shown = slice(last_shell + 1)
    before, after = (
        [volume.data if mask is None else without_solvent(volume.data, mask) for volume in maps]
        for maps in (inputs, corrected)
    )

    def before_and_after(pair: tuple[NDArray[np.float32], NDArray[np.float32]]) -> NDArray[np.float64]:
        return masked_fsc(pair, mask, None).fsc[shown]

    of_halves: list[NDArray[np.float64] | None] = [None] * 4
    if len(inputs) == 2:
        curves = [masked_fsc(halves, mask, PHASE_SEED) for halves in (before, after)]
        of_halves[:2] = [curve.fsc[shown] for curve in curves]
        if mask is not None:
            of_halves[2:] = [curve.uncorrected[shown] for curve in curves]
    return CorrectionFsc(
        np.arange(last_shell + 1) / (n * voxel_size),
        of_halves[0],
        of_halves[1],
        [before_and_after(pair) for pair in zip(before, after, strict=True)],
        mask is not None,
        of_halves[2],
        of_halves[3],
    )
