"""Half maps, mask and resolution limit: read and checked once, for every command that needs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.io.mrc import Volume, read_volume, require_same_grid

if TYPE_CHECKING:
    from pathlib import Path

COUPLED_WORDS = "NOT independent"  # in the header labels of halves that one network has learned from
SAMPLING_WORDS = "Fourier sampling density"  # in those of what particles' angles say was sampled
RELATIVE_LIMIT_TOLERANCE = 1e-3  # a limit typed with three digits may mean Nyquist itself


@dataclass(frozen=True)
class HalfMaps:
    """What a map command works on; all volumes share box and voxel size.

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
        """Whether the headers say that the halves are not independent."""
        halves = [half for half in (self.half1, self.half2) if half is not None]
        return any(COUPLED_WORDS in label for half in halves for label in half.labels)


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
        If a file is missing or is no cubic map, if boxes or voxel sizes differ, if both halves are
        the same map, or if the mask is empty.
    """
    half1 = read_volume(path1, apix)
    half2 = None if path2 is None else read_volume(path2, apix)
    if half2 is not None:
        require_same_grid(half1, half2)
    mask_volume = None if mask is None else read_mask(mask, half1, apix)
    if half2 is not None and np.array_equal(half1.data, half2.data):
        raise SpisonetError(
            f"Half 1 and half 2 are the same map ({path1} and {path2}); give the two independent halves."
        )
    return HalfMaps(half1, half2, mask_volume)


def is_of_both_halves(aniso_file: Path | None) -> bool:
    """Whether the weight was measured on both halves, as a 3D FSC is, and not a density of ``fsd3d``.

    A volume of another program counts as a 3D FSC.
    """
    if aniso_file is None:
        return True
    return not any(SAMPLING_WORDS in label for label in read_volume(aniso_file, 1.0).labels)


def read_mask(path: Path, like: Volume, apix: float | None = None) -> Volume:
    """Read a mask for a map, with its values brought into 0..1.

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
        If it cannot be read, has another grid, or has no voxel above 0.
    """
    mask = read_volume(path, apix)
    require_same_grid(like, mask)
    if not np.any(mask.data > 0):
        raise SpisonetError(f"The mask {path} is empty: it has no voxel above 0.")
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
        What to call the limit in the message.

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
            f"{option} {limit_res:g} Å is beyond Nyquist: voxels of {voxel_size_angstrom:g} Å "
            f"hold nothing finer than {nyquist_angstrom:g} Å."
        )
    return max(limit_res, nyquist_angstrom)
