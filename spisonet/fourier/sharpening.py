"""Sharpening of a map by a B-factor, with the FSC weighting of the full map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.fourier.filters import shell_curve_to_rfft, shell_mean_amplitude
from spisonet.fourier.grids import irfft3, rfft3

if TYPE_CHECKING:
    from numpy.typing import NDArray

GUINIER_LOW_ANGSTROM = 10.0  # coarser shells depend on shape and solvent
FEWEST_GUINIER_SHELLS = 3


@dataclass(frozen=True)
class SharpenedMap:
    """A sharpened map.

    Attributes
    ----------
    data : ndarray
        ``(n, n, n)``.
    b_factor_square_angstrom : float
        B-factor in Å²; negative where high resolutions were amplified.
    """

    data: NDArray[np.float32]
    b_factor_square_angstrom: float


def guinier_shells(n: int, voxel_size_angstrom: float, limit_angstrom: float) -> NDArray[np.intp]:
    """Return the shells of a Guinier fit: from 10 Å to the last one whole within the resolution limit.

    Parameters
    ----------
    n : int
        Box in voxels.
    voxel_size_angstrom, limit_angstrom : float
        Voxel size and resolution limit in Å.

    Raises
    ------
    SpisonetError
        If there are less than three.
    """
    box_angstrom = n * voxel_size_angstrom
    shells = np.arange(1, n // 2 + 1)
    last = box_angstrom / limit_angstrom - 1  # the filter at the limit reaches into the next one
    fitted = shells[(shells >= box_angstrom / GUINIER_LOW_ANGSTROM) & (shells <= last)]
    if len(fitted) < FEWEST_GUINIER_SHELLS:
        raise SpisonetError(
            f"The B-factor cannot be estimated: only {len(fitted)} shells lie between "
            f"{GUINIER_LOW_ANGSTROM:g} Å and the resolution limit ({limit_angstrom:.2f} Å); give --b_factor.",
            code="invalid_option",
            field="b_factor",
        )
    return fitted


def sharpen(
    volume: NDArray[np.float32],
    half_map_fsc: NDArray[np.floating],
    voxel_size_angstrom: float,
    limit_angstrom: float,
    mask: NDArray[np.float32] | None = None,
    b_factor_square_angstrom: float | None = None,
) -> SharpenedMap:
    """Weight a full map by its FSC and sharpen it by a B-factor.

    Every shell of spatial frequency ``s`` is multiplied by ``C_ref exp(-B s² / 4)``, where
    ``C_ref = sqrt(2 FSC / (1 + FSC))`` estimates the correlation of the full map with the noise-free one. By
    default, ``B`` is four times the slope of the line fitted to ``ln(C_ref <|F|>)`` against ``s²`` from 10 Å
    to the resolution limit.

    Parameters
    ----------
    volume : ndarray
        ``(n, n, n)`` full map, low-pass filtered at the resolution limit.
    half_map_fsc : ndarray
        ``(n // 2 + 1,)`` FSC of the half maps before the correction.
    voxel_size_angstrom, limit_angstrom : float
        Voxel size and resolution limit in Å.
    mask : ndarray, optional
        ``(n, n, n)``; applied before the amplitudes are measured.
    b_factor_square_angstrom : float, optional
        B-factor in Å², negative to sharpen.

    Raises
    ------
    SpisonetError
        If the B-factor is to be estimated, but less than three shells lie between 10 Å and the limit.

    References
    ----------
    Rosenthal & Henderson (2003) J. Mol. Biol. 333, 721-745.
    """
    n = len(volume)
    fsc = np.clip(half_map_fsc, 0.0, 1.0)
    fsc[0] = 1.0
    gain = np.sqrt(2 * fsc / (1 + fsc))
    level = np.float32(volume.mean(dtype=np.float64))
    spectrum = rfft3(volume - level)
    square_frequency = (np.arange(n // 2 + 1) / (n * voxel_size_angstrom)) ** 2
    if b_factor_square_angstrom is None:
        measured = spectrum if mask is None else rfft3((volume - level) * mask)
        amplitude = gain * shell_mean_amplitude(measured, n)
        fitted = np.zeros(len(amplitude), dtype=bool)
        fitted[guinier_shells(n, voxel_size_angstrom, limit_angstrom)] = True
        fitted &= amplitude > 0
        slope = np.polyfit(square_frequency[fitted], np.log(amplitude[fitted]), 1)[0] if fitted.any() else 0.0
        b_factor_square_angstrom = 4 * float(slope)
    # Amplitudes beyond the limit are zero already.
    gain *= np.exp(-b_factor_square_angstrom * np.minimum(square_frequency, limit_angstrom**-2) / 4)
    sharpened = irfft3((spectrum * shell_curve_to_rfft(gain, n)).astype(np.complex64), volume.shape)
    return SharpenedMap(sharpened + level, b_factor_square_angstrom)
