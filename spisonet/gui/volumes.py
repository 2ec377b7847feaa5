"""Volumes in the viewer: read no more of a file than a picture needs, and have it drawn."""

from __future__ import annotations

import math
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.figures.volume_pictures import (
    density_distribution,
    draw_mask_overlay,
    draw_mean,
    draw_power_spectrum,
    surface_volume,
)
from spisonet.io.slices import AXES, PlaneReader, open_planes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

INFERRED_FRACTION = "inferred_fraction.mrc"  # beside the maps of a correction
MAX_SURFACE_EDGE = 96  # voxels
MAX_SURFACE_INPUT = 2**27  # voxels: a cube of 512
MAX_PLANE_PIXELS = 2**25
BLOCK_BYTES, BLOCK_PLANES = 2**25, 16  # planes across x that are read at once
SAMPLED_PLANES, SAMPLES = 12, 2**16


class ColumnCache:
    """Cache of planes across x, each of which takes a pass through the whole file.

    Neighbouring planes take no longer than one, so they are read in blocks.

    Parameters
    ----------
    n_blocks : int
        Number of blocks to keep.
    """

    def __init__(self, n_blocks: int = 2) -> None:
        self._n_blocks = n_blocks
        self._blocks: OrderedDict[tuple[object, ...], NDArray[np.float32]] = OrderedDict()
        self._lock = Lock()

    def read(self, reader: PlaneReader, index: int) -> NDArray[np.float32]:
        """Read a plane ``(z, y)`` across x."""
        plane_bytes = 4 * reader.shape[0] * reader.shape[1]
        width = max(1, min(BLOCK_PLANES, BLOCK_BYTES // plane_bytes))
        first = index - index % width
        with self._lock:  # simultaneous requests for planes of one block read it once
            block = self._block(reader, first, min(first + width, reader.shape[2]))
        plane: NDArray[np.float32] = block[index - first]
        return plane

    def _block(self, reader: PlaneReader, first: int, stop: int) -> NDArray[np.float32]:
        key = (reader.path, reader.path.stat().st_mtime_ns, first)
        if key not in self._blocks:
            while len(self._blocks) >= self._n_blocks:
                self._blocks.popitem(last=False)
            self._blocks[key] = reader.read("x", first, stop)
        self._blocks.move_to_end(key)
        return self._blocks[key]


class VolumePictures:
    """Pictures of the planes of volumes. Each volume is the mean of its files, for example two half maps."""

    def __init__(self) -> None:
        self._columns = ColumnCache()

    def properties(self, paths: Sequence[Path]) -> dict[str, Any]:
        """Return shape, voxel size in Å and the distribution of densities, from a sample of planes.

        ``inferred_fraction`` is whether a map of the inferred fraction lies beside the first file.

        Raises
        ------
        SpisonetError
            If a file is not a volume, the shapes differ, the planes are too large, or no density is finite.
        """
        readers = _open_all(paths)
        reader = readers[0]
        _require_drawable(reader, "z")
        n_z = reader.shape[0]
        sampled = sorted({round(z) for z in np.linspace(0, n_z - 1, min(n_z, SAMPLED_PLANES))})
        stride = max(1, len(sampled) * reader.shape[1] * reader.shape[2] // SAMPLES)
        sample = np.concatenate(
            [_mean(each.read("z", z, z + 1) for each in readers).ravel()[::stride].copy() for z in sampled]
        )
        sample = sample[np.isfinite(sample)]
        if not sample.size:
            raise SpisonetError(f"{paths[0]} has no finite densities.")
        distribution = density_distribution(sample)
        return {
            "shape": reader.shape,
            "voxel_size": reader.voxel_size_angstrom,
            "bytes": sum(path.stat().st_size for path in paths),
            "type": reader.dtype.name,
            "version": "-".join(str(path.stat().st_mtime_ns) for path in paths),
            "inferred_fraction": _has_inferred_fraction(reader),
            "contrast": distribution.contrast,
            "extent": distribution.extent,
            "histogram": distribution.histogram,
            "mean": distribution.mean,
            "standard_deviation": distribution.standard_deviation,
        }

    def slice(
        self, paths: Sequence[Path], axis: str, index: int, thickness: int, contrast: tuple[float, float]
    ) -> bytes:
        """Draw the mean of planes around a central one as PNG.

        Parameters
        ----------
        paths : sequence of Path
            The volume.
        axis : str
            Axis that the planes are perpendicular to: ``z``, ``y`` or ``x``.
        index : int
            Central plane.
        thickness : int
            Number of planes; beyond the end of the volume, its last plane is repeated.
        contrast : tuple of float
            Densities that become black and white.

        Raises
        ------
        SpisonetError
            If there is no such plane, or the file cannot be read.
        """
        return draw_mean(self._planes(paths, axis, index, thickness), axis, contrast)

    def power_spectrum(self, paths: Sequence[Path], axis: str, index: int, thickness: int) -> bytes:
        """Draw the power spectrum of planes around a central one as PNG; see `slice`."""
        return draw_power_spectrum(self._planes(paths, axis, index, thickness), axis)

    def mask_overlay(self, path: Path, axis: str, index: int) -> bytes:
        """Draw a plane of a mask as a transparent PNG; see `slice`."""
        return draw_mask_overlay(next(self._planes([path], axis, index, 1)), axis)

    def _planes(
        self, paths: Sequence[Path], axis: str, index: int, thickness: int
    ) -> Iterator[NDArray[np.float32]]:
        readers = _open_all(paths)
        reader = readers[0]
        n_planes = reader.shape[AXES.index(axis)]
        if not 0 <= index < n_planes:
            raise SpisonetError(
                f"{reader.path} has planes 0 to {n_planes - 1} across {axis}, but not {index}."
            )
        _require_drawable(reader, axis)
        first = index - (thickness - 1) // 2
        for number in range(first, first + thickness):
            nearest = min(max(number, 0), n_planes - 1)
            yield _mean(self._plane(each, axis, nearest) for each in readers)

    def _plane(self, reader: PlaneReader, axis: str, index: int) -> NDArray[np.float32]:
        if axis == "x":
            return self._columns.read(reader, index)
        plane: NDArray[np.float32] = reader.read(axis, index, index + 1)[0]
        return plane


def read_voxel(paths: Sequence[Path], z: int, y: int, x: int) -> float:
    """Read the density of one voxel, the mean over several files.

    Raises
    ------
    SpisonetError
        If the voxel is outside a volume, or a file cannot be read.
    """
    return sum(open_planes(path).read_voxel(z, y, x) for path in paths) / len(paths)


def _open_all(paths: Sequence[Path]) -> list[PlaneReader]:
    readers = [open_planes(path) for path in paths]
    for reader in readers[1:]:
        if reader.shape != readers[0].shape:
            raise SpisonetError(f"{reader.path} and {readers[0].path} differ in size and cannot be averaged.")
    return readers


def _mean(planes: Iterator[NDArray[np.float32]]) -> NDArray[np.float32]:
    first, *others = planes
    return sum(others, first) / np.float32(1 + len(others)) if others else first


def _has_inferred_fraction(reader: PlaneReader) -> bool:
    beside = reader.path.with_name(INFERRED_FRACTION)
    if not beside.is_file():
        return False
    try:
        return open_planes(beside).shape == reader.shape
    except SpisonetError:
        return False


def _require_drawable(reader: PlaneReader, axis: str) -> None:
    if math.prod(reader.shape) // reader.shape[AXES.index(axis)] > MAX_PLANE_PIXELS:
        raise SpisonetError(f"{reader.path}: the planes across {axis} are too large to draw.")


def read_surface(paths: Sequence[Path]) -> tuple[bytes, dict[str, Any]]:
    """Read a small map, binned for drawing its surface in the browser.

    Returns
    -------
    bytes
        Densities from 0 to 255, ``(z, y, x)``.
    dict
        Shape, the densities that 0 and 255 stand for, the edge of a binned voxel in Å, and mean and standard
        deviation of the map, before binning, on the scale of the bytes.

    Raises
    ------
    SpisonetError
        If the map is too large or too flat, or cannot be read.
    """
    readers = _open_all(paths)
    reader = readers[0]
    if math.prod(reader.shape) > MAX_SURFACE_INPUT or min(reader.shape) == 1:
        shape = " x ".join(map(str, reader.shape))
        raise SpisonetError(f"{reader.path} ({shape} voxels) is too large, or too flat, to draw a surface.")
    binning = min(math.ceil(max(reader.shape) / MAX_SURFACE_EDGE), *reader.shape)
    starts = range(0, reader.shape[0] - binning + 1, binning)
    layers = (_mean(each.read("z", start, start + binning) for each in readers) for start in starts)
    surface = surface_volume(layers, binning)
    voxel_size = reader.voxel_size_angstrom
    return surface.voxels.tobytes(), {
        "shape": surface.voxels.shape,
        "low": surface.low,
        "high": surface.high,
        "voxel_size": None if voxel_size is None else binning * voxel_size,
        "mean": surface.mean,
        "standard_deviation": surface.standard_deviation,
    }
