"""Possible centres of training subvolumes: coordinates, voxels inside a mask, or random voxels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.io.coordinates import read_coordinates
from spisonet.tomography.chunks import slabs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.io.tomograms import TomogramFile
    from spisonet.tomography.tomogram import Tomogram

MAX_CENTRES, CENTRES_PER_SUBVOLUME = 50_000, 500


def subvolume_centres(tomogram: Tomogram, cube_size: int, rng: np.random.Generator) -> NDArray[np.int16]:
    """Choose possible centres of training subvolumes that lie inside the tomogram.

    Parameters
    ----------
    tomogram : Tomogram
        Coordinates are used if there are any, else the mask, else the whole tomogram.
    cube_size : int
        Edge of subvolumes in voxels. Before rotation they do not extend beyond the tomogram.
    rng : numpy.random.Generator
        Random numbers.

    Returns
    -------
    ndarray
        ``(n, 3)`` voxel coordinates ``(x, y, z)``.

    Raises
    ------
    SpisonetError
        If the mask contains none, or the coordinate file none or some that are outside of the tomogram.
    """
    half = cube_size // 2
    lowest = np.array([min(half, n // 2) for n in tomogram.shape])
    highest = np.array([max(n - half, n // 2) for n in tomogram.shape])
    if tomogram.coordinates is not None:
        names = [*(str(volume.path) for volume in tomogram.volumes), tomogram.name]
        points = read_coordinates(tomogram.coordinates, tomogram.shape, tomogram.voxel_size_angstrom, names)
        return np.clip(points, lowest[::-1], highest[::-1]).astype(np.int16)
    n_centres = min(MAX_CENTRES, CENTRES_PER_SUBVOLUME * tomogram.n_subvolumes)
    if tomogram.mask is None:
        return rng.integers(lowest, highest + 1, (n_centres, 3))[:, ::-1].astype(np.int16)
    z, y, x = (slice(low, high + 1) for low, high in zip(lowest, highest, strict=True))
    centres = _sample_mask(tomogram.mask, (z, y, x), n_centres, rng)
    if not len(centres):
        raise SpisonetError(
            f"The mask {tomogram.mask.path} has no voxel above 0 where a subvolume of {cube_size} voxels "
            "fits: it is empty, or non-zero only near the borders, or its bytes of 255 were written as -1."
        )
    return centres


def _sample_mask(
    mask: TomogramFile, region: tuple[slice, slice, slice], n_centres: int, rng: np.random.Generator
) -> NDArray[np.int16]:
    """Draw voxels of a mask at random, without replacement, in one pass through the file."""
    z, y, x = region
    kept, keys = np.empty((0, 3), np.int16), np.empty(0)
    for slab in slabs(mask.shape):
        planes = slice(max(slab.start, z.start), min(slab.stop, z.stop))
        if planes.start >= planes.stop:
            continue
        inside = mask.read(planes, y, x) > 0
        voxels = np.flatnonzero(inside)
        # Every voxel gets a random key; those with the smallest keys are a uniform sample.
        slab_keys = rng.random(len(voxels))
        if len(keys) == n_centres:
            voxels, slab_keys = voxels[slab_keys < keys.max()], slab_keys[slab_keys < keys.max()]
        found = np.stack(np.unravel_index(voxels, inside.shape)[::-1], axis=1)
        found += [x.start, y.start, planes.start]
        keys = np.concatenate([keys, slab_keys])
        kept = np.concatenate([kept, found.astype(np.int16)])
        if len(keys) > n_centres:
            smallest = np.argpartition(keys, n_centres)[:n_centres]
            kept, keys = kept[smallest], keys[smallest]
    return kept
