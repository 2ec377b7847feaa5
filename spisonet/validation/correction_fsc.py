"""FSC curves before and after a correction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spisonet.analysis.fsc3d import without_solvent
from spisonet.fourier.grids import rfft3
from spisonet.fourier.shells import fourier_shell_correlation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.io.mrc import Volume


@dataclass(frozen=True)
class CorrectionFsc:
    """FSC curves of one or two half maps and their corrected maps, ``(n // 2 + 1,)`` each.

    Attributes
    ----------
    frequency_per_angstrom : ndarray
        Spatial frequency of each shell in 1/Å.
    halves_before, halves_after : ndarray or None
        FSC between the half maps and between the corrected half maps; None for a single map.
    before_and_after : list of ndarray
        FSC between each map and its corrected map.
    masked : bool
        Whether a mask was applied before the FSC.
    """

    frequency_per_angstrom: NDArray[np.float64]
    halves_before: NDArray[np.float64] | None
    halves_after: NDArray[np.float64] | None
    before_and_after: list[NDArray[np.float64]]
    masked: bool


def correction_fsc(
    inputs: list[Volume], corrected: list[Volume], mask: NDArray[np.float32] | None
) -> CorrectionFsc:
    """Compute the FSC curves of a correction.

    Parameters
    ----------
    inputs, corrected : list of Volume
        One or two maps before and after.
    mask : ndarray or None
        ``(n, n, n)`` mask in 0..1, applied to all maps.
    """
    n, voxel_size = inputs[0].box, inputs[0].voxel_size_angstrom

    def spectrum(volume: Volume) -> NDArray[np.complex64]:
        return rfft3(volume.data if mask is None else without_solvent(volume.data, mask) * mask)

    def fsc(pair: list[NDArray[np.complex64]]) -> NDArray[np.float64]:
        return fourier_shell_correlation(pair[0], pair[1], n)

    before, after = ([spectrum(volume) for volume in maps] for maps in (inputs, corrected))
    two = len(before) == 2
    return CorrectionFsc(
        np.arange(n // 2 + 1) / (n * voxel_size),
        fsc(before) if two else None,
        fsc(after) if two else None,
        [fsc(list(pair)) for pair in zip(before, after, strict=True)],
        mask is not None,
    )
