"""Pictures of volumes: slices, their power spectra, masks over them, and small copies for surfaces."""

from __future__ import annotations

import io
import math
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from spisonet.errors import SpisonetError
from spisonet.io.slices import AXES, PlaneReader, open_planes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

LARGEST_PICTURE = 1536  # pixels along an edge; larger planes are averaged down
LARGEST_TRANSFORM = 1024
LARGEST_SURFACE = 96  # voxels along an edge
LARGEST_SURFACE_INPUT = 2**27  # voxels: a cube of 512
LARGEST_PLANE = 2**25  # voxels
COLUMN_BYTES, COLUMNS = 2**25, 16  # planes across x that are read at once
SAMPLED_PLANES, SAMPLES = 12, 2**16
BINS = 120
CONTRAST, EXTENT = (0.5, 99.5), (0.02, 99.98)  # percentiles
POWER_CONTRAST = (5.0, 99.9)
OVERLAY_COLOUR, OVERLAY_ALPHA = (255, 150, 20), 64
INSIDE = 0.5


class ColumnCache:
    """The last planes across x: each costs a pass through the file, and their neighbours come for free.

    Parameters
    ----------
    n_blocks : int
        How many blocks of neighbouring planes to keep.
    """

    def __init__(self, n_blocks: int = 2) -> None:
        self._n_blocks = n_blocks
        self._blocks: OrderedDict[tuple[object, ...], NDArray[np.float32]] = OrderedDict()
        self._lock = Lock()

    def read(self, reader: PlaneReader, index: int) -> NDArray[np.float32]:
        """Read the plane ``(z, y)`` across x of a number."""
        bytes_of_a_plane = 4 * reader.shape[0] * reader.shape[1]
        width = max(1, min(COLUMNS, COLUMN_BYTES // bytes_of_a_plane))
        first = index - index % width
        with self._lock:  # whoever asks for the same block next finds it
            block = self._block(reader, first, min(first + width, reader.shape[2]))
        plane: NDArray[np.float32] = block[index - first]
        return plane

    def _block(self, reader: PlaneReader, first: int, last: int) -> NDArray[np.float32]:
        key = (reader.path, reader.path.stat().st_mtime_ns, first)
        if key not in self._blocks:
            while len(self._blocks) >= self._n_blocks:
                self._blocks.popitem(last=False)
            self._blocks[key] = reader.read("x", first, last)
        self._blocks.move_to_end(key)
        return self._blocks[key]


class Viewer:
    """Draws planes of volumes, reading no more of a file than a picture needs."""

    def __init__(self) -> None:
        self._columns = ColumnCache()

    def describe(self, path: Path) -> dict[str, Any]:
        """Return shape, voxel size and the distribution of densities, from a sample of planes.

        Raises
        ------
        SpisonetError
            If the file is no volume that can be shown.
        """
        reader = open_planes(path)
        _require_drawable(reader, "z")
        n_z = reader.shape[0]
        chosen = sorted({round(z) for z in np.linspace(0, n_z - 1, min(n_z, SAMPLED_PLANES))})
        stride = max(1, len(chosen) * reader.shape[1] * reader.shape[2] // SAMPLES)
        sample = np.concatenate([reader.read("z", z, z + 1).ravel()[::stride].copy() for z in chosen])
        sample = sample[np.isfinite(sample)]
        if not sample.size:
            raise SpisonetError(f"{path} holds no finite values.")
        low, high = (float(value) for value in np.percentile(sample, CONTRAST))
        begin, end = (float(value) for value in np.percentile(sample, EXTENT))
        if low == high:  # a mask, say
            low, high = float(sample.min()), float(sample.max())
        if begin == end:
            begin, end = low, high
        if begin == end:
            end = begin + 1.0
        counts, _ = np.histogram(sample, BINS, (begin, end))
        return {
            "shape": reader.shape,
            "voxel_size": reader.voxel_size_angstrom,
            "bytes": path.stat().st_size,
            "type": reader.dtype.name,
            "version": str(path.stat().st_mtime_ns),
            "contrast": [low, high if high > low else low + 1.0],
            "extent": [begin, end],
            "histogram": counts.tolist(),
            "mean": float(sample.mean()),
            "deviation": float(sample.std()),
        }

    def slice(
        self, path: Path, axis: str, index: int, thickness: int, contrast: tuple[float, float]
    ) -> bytes:
        """Draw the mean of some planes around one, as PNG.

        Parameters
        ----------
        path : Path
            The volume.
        axis : str
            Across which the planes are.
        index : int
            The one in the middle.
        thickness : int
            How many.
        contrast : tuple of float
            Densities that become black and white.

        Raises
        ------
        SpisonetError
            If there is no such plane, or the file cannot be read.
        """
        planes = self._planes(open_planes(path), axis, index, thickness)
        mean = next(planes)
        for plane in planes:
            mean = mean + plane
        return _encode(_grey(_reduced(_upright(mean / np.float32(thickness), axis)), contrast))

    def power(self, path: Path, axis: str, index: int, thickness: int) -> bytes:
        """Draw the logarithm of the power spectrum of planes, DC in the middle, as PNG; see `slice`."""
        total: NDArray[np.float64] | float = 0.0
        for plane in self._planes(open_planes(path), axis, index, thickness):
            image = np.nan_to_num(_upright(plane, axis))
            image = image[tuple(_middle(n) for n in image.shape)]
            taper = np.outer(*(np.hanning(n) for n in image.shape))  # or the edges would draw a cross
            total = total + np.abs(np.fft.fft2((image - image.mean()) * taper)) ** 2
        power = np.log(np.fft.fftshift(np.maximum(total, np.finfo(np.float32).tiny)))
        low, high = (float(value) for value in np.percentile(power, POWER_CONTRAST))
        return _encode(_grey(power, (low, high)))

    def overlay(self, path: Path, axis: str, index: int) -> bytes:
        """Draw where a mask is more than a half, transparent elsewhere, as PNG; see `slice`."""
        plane = _reduced(_upright(next(self._planes(open_planes(path), axis, index, 1)), axis))
        picture = np.zeros((*plane.shape, 4), dtype=np.uint8)
        picture[plane > INSIDE] = (*OVERLAY_COLOUR, OVERLAY_ALPHA)
        return _encode(picture)

    def _planes(
        self, reader: PlaneReader, axis: str, index: int, thickness: int
    ) -> Iterator[NDArray[np.float32]]:
        """Yield as many planes as asked for, next to the end of the volume some of them repeatedly."""
        n_planes = reader.shape[AXES.index(axis)]
        if not 0 <= index < n_planes:
            raise SpisonetError(f"{reader.path} has planes 0 to {n_planes - 1} across {axis}.")
        _require_drawable(reader, axis)
        first = index - (thickness - 1) // 2
        for number in range(first, first + thickness):
            nearest = min(max(number, 0), n_planes - 1)
            if axis == "x":
                yield self._columns.read(reader, nearest)
            else:
                yield reader.read(axis, nearest, nearest + 1)[0]


def _require_drawable(reader: PlaneReader, axis: str) -> None:
    if math.prod(reader.shape) // reader.shape[AXES.index(axis)] > LARGEST_PLANE:
        raise SpisonetError(f"{reader.path} has planes across {axis} that are too large to be drawn.")


def surface_volume(path: Path) -> tuple[bytes, dict[str, Any]]:
    """Average a small map down for a drawing of its surface in the browser.

    Returns
    -------
    bytes
        Densities in 0..255, ``(z, y, x)``.
    dict
        Shape, the densities that 0 and 255 stand for, and mean and deviation on that scale.

    Raises
    ------
    SpisonetError
        If the map is too large for that, or cannot be read.
    """
    reader = open_planes(path)
    if math.prod(reader.shape) > LARGEST_SURFACE_INPUT or min(reader.shape) == 1:
        shape = " x ".join(map(str, reader.shape))
        raise SpisonetError(f"{path} of {shape} voxels is too large, or too flat, for a surface.")
    binning = min(math.ceil(max(reader.shape) / LARGEST_SURFACE), *reader.shape)
    layers = []
    for start in range(0, reader.shape[0] - binning + 1, binning):
        layers.append(_binned(reader.read("z", start, start + binning).mean(axis=0), binning, binning))
    small = np.nan_to_num(np.stack(layers))
    low, high = float(small.min()), float(small.max())
    scaled = (small - low) * (255 / ((high - low) or 1.0))
    facts = {
        "shape": scaled.shape,
        "low": low,
        "high": high,
        "mean": float(scaled.mean()),
        "deviation": float(scaled.std()),
    }
    return np.rint(scaled).astype(np.uint8).tobytes(), facts


def _upright(plane: NDArray[np.float32], axis: str) -> NDArray[np.float32]:
    """Turn a plane so that y, or z across y, points up, as 3dmod shows it."""
    return (plane.T if axis == "x" else plane)[::-1]


def _middle(n: int) -> slice:
    start = max(0, (n - LARGEST_TRANSFORM) // 2)
    return slice(start, start + min(n, LARGEST_TRANSFORM))


def _reduced(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average a plane down, each edge by itself: the page draws it in its true proportions."""
    return _binned(plane, *(math.ceil(n / LARGEST_PICTURE) for n in plane.shape))


def _binned(plane: NDArray[np.float32], by_row: int, by_column: int) -> NDArray[np.float32]:
    if by_row == by_column == 1:
        return plane
    rows, columns = plane.shape[0] // by_row, plane.shape[1] // by_column
    cells = plane[: rows * by_row, : columns * by_column].reshape(rows, by_row, columns, by_column)
    mean: NDArray[np.float32] = cells.mean(axis=(1, 3))
    return mean


def _grey(plane: NDArray[Any], contrast: tuple[float, float]) -> NDArray[np.uint8]:
    low, high = contrast  # the first may be the larger one: an inverted picture
    within = np.clip(np.nan_to_num(plane, nan=low), min(contrast), max(contrast))
    grey: NDArray[np.uint8] = ((within - low) * (255 / ((high - low) or 1.0))).astype(np.uint8)
    return grey


def _encode(picture: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
