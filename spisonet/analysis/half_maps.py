"""Half maps, mask and resolution limit, read and checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.io.labels import (
    DATA,
    SAMPLING_DENSITY,
    marks_coupled_halves,
    marks_fourier_volume,
    marks_full_map,
    read_tokens,
)
from spisonet.io.mrc import SIGNED_MASK, Volume, read_volume, require_different, require_same_grid

if TYPE_CHECKING:
    from pathlib import Path

RELATIVE_LIMIT_TOLERANCE = 1e-3  # a limit typed with three digits may mean Nyquist itself


@dataclass(frozen=True)
class HalfMaps:
    """Half maps and mask; all volumes share box and voxel size.

    Attributes
    ----------
    half1 : Volume
        Half map 1, or the only map.
    half2 : Volume or None
        Half map 2.
    mask : Volume or None
        Solvent mask with at least one voxel above 0.
    """

    half1: Volume
    half2: Volume | None = None
    mask: Volume | None = None

    @property
    def coupled(self) -> bool:
        """Whether a header label marks the halves as coupled: one network was trained on both."""
        halves = [half for half in (self.half1, self.half2) if half is not None]
        return any(marks_coupled_halves(half.labels) for half in halves)


def read_half_maps(
    path1: Path, path2: Path | None, mask: Path | None = None, apix: float | None = None
) -> HalfMaps:
    """Read half maps and mask, and check that they belong together.

    Parameters
    ----------
    path1, path2 : Path
        Half maps; `path2` may be None.
    mask : Path, optional
        Solvent mask.
    apix : float, optional
        Voxel size in Å that overrides the headers'.

    Returns
    -------
    HalfMaps
        The volumes, as they were read.

    Raises
    ------
    SpisonetError
        If a file is missing or is not a cubic map, if boxes or voxel sizes differ, if both halves are
        the same map, or if the mask is empty.
    """
    half1 = read_volume(path1, apix)
    half2 = None if path2 is None else read_volume(path2, apix)
    return checked_half_maps(half1, half2, None if mask is None else read_volume(mask, apix))


def checked_half_maps(half1: Volume, half2: Volume | None, mask: Volume | None) -> HalfMaps:
    """Check that half maps and mask belong together, and limit the values of the mask to 0..1.

    Raises
    ------
    SpisonetError
        If boxes or voxel sizes differ, if both halves are the same map, if one is a full map by its header
        label, or if the mask is empty.
    """
    if half2 is not None:
        require_same_grid(half1, half2)
        for half in (half1, half2):
            if marks_full_map(half.labels):
                raise SpisonetError(f"{half.name} is made of both halves (header label); give a half map.")
    if mask is not None:
        mask = checked_mask(mask, half1)
    if half2 is not None:
        require_different(half1.name, half1.data, half2.name, half2.data)
    return HalfMaps(half1, half2, mask)


def is_sampling_density(volume: Volume) -> bool:
    """Whether a header label marks a volume as a Fourier sampling density, as ``fsd3d`` writes it.

    Other volumes count as a 3D FSC, which is estimated from both halves.
    """
    return SAMPLING_DENSITY in read_tokens(volume.labels).get(DATA, ())


def read_mask(path: Path, like: Volume, apix: float | None = None) -> Volume:
    """Read a mask for a map, and limit its values to 0..1.

    Parameters
    ----------
    path : Path
        Soft or binary mask.
    like : Volume
        The map it belongs to.
    apix : float, optional
        Voxel size in Å that overrides the header's.

    Raises
    ------
    SpisonetError
        If it cannot be read, is a Fourier volume by its header label, has another grid, or is empty.
    """
    return checked_mask(read_volume(path, apix), like)


def checked_mask(mask: Volume, like: Volume) -> Volume:
    """Check a mask for a map, and limit its values to 0..1; see `read_mask`."""
    if marks_fourier_volume(mask.labels):
        raise SpisonetError(
            f"{mask.name} is given as the mask but is a Fourier volume, such as a 3D FSC (header label); "
            "give a mask in real space.",
            field="mask",
        )
    require_same_grid(like, mask)
    if not np.any(mask.data > 0):
        hint = f" ({SIGNED_MASK})" if np.any(mask.data < 0) else ""
        raise SpisonetError(f"The mask {mask.name} is empty: it has no voxel above 0{hint}.")
    return mask.with_data(np.clip(mask.data, 0.0, 1.0))


@overload
def checked_limit_resolution(limit_res: None, voxel_size_angstrom: float, option: str = ...) -> None: ...
@overload
def checked_limit_resolution(limit_res: float, voxel_size_angstrom: float, option: str = ...) -> float: ...
def checked_limit_resolution(
    limit_res: float | None, voxel_size_angstrom: float, option: str = "--limit_res"
) -> float | None:
    """Check a resolution limit against the sampling of the map.

    Parameters
    ----------
    limit_res : float or None
        Resolution limit in Å; None passes through.
    voxel_size_angstrom : float
        Voxel size in Å.
    option : str
        Name of the option, for the message.

    Returns
    -------
    float or None
        The limit in Å, at the finest the Nyquist resolution.

    Raises
    ------
    SpisonetError
        If the limit is finer than Nyquist, twice the voxel size.
    """
    if limit_res is None:
        return None
    nyquist_angstrom = 2 * voxel_size_angstrom
    if limit_res < nyquist_angstrom * (1 - RELATIVE_LIMIT_TOLERANCE):
        raise SpisonetError(
            f"{option} {limit_res:g} Å is beyond Nyquist: the finest resolution at "
            f"{voxel_size_angstrom:g} Å per voxel is {nyquist_angstrom:g} Å.",
            code="invalid_option",
            field=option.removeprefix("--"),
        )
    return max(limit_res, nyquist_angstrom)
