"""Processing of volumes of any size, one chunk or slab at a time."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from spisonet.io.tomograms import TomogramFile

SLAB_VOXELS = 2**24


@dataclass(frozen=True)
class Chunk:
    """A region of a volume with a margin around it.

    Attributes
    ----------
    inner : tuple of slice
        The region of the volume ``(z, y, x)``, without margin.
    first : tuple of int
        First voxel of the margin; negative if it lies outside the volume.
    shape : tuple of int
        Shape of the region with its margin.
    """

    inner: tuple[slice, slice, slice]
    first: tuple[int, int, int]
    shape: tuple[int, int, int]

    @classmethod
    def around(cls, inner: tuple[slice, slice, slice], margin: int | tuple[int, int, int]) -> Chunk:
        """Return a region with equal margins on both sides of each axis."""
        margins = (margin,) * 3 if isinstance(margin, int) else margin
        z, y, x = (axis.start - m for axis, m in zip(inner, margins, strict=True))
        depth, height, width = (
            axis.stop - axis.start + 2 * m for axis, m in zip(inner, margins, strict=True)
        )
        return cls(inner, (z, y, x), (depth, height, width))

    @property
    def inner_in_chunk(self) -> tuple[slice, ...]:
        """The region without margin, in coordinates of the chunk."""
        return tuple(
            slice(axis.start - first, axis.stop - first)
            for axis, first in zip(self.inner, self.first, strict=True)
        )


def central_crop(n: int, length: int) -> slice:
    """Return the centre of an axis of `n` voxels, at most `length` of them."""
    start = max(0, (n - length) // 2)
    return slice(start, min(n, start + length))


def central_chunk(shape: tuple[int, int, int], edges: tuple[int, int, int]) -> Chunk:
    """Return the central region of a volume, at most `edges` voxels along its axes, without margin."""
    z, y, x = (central_crop(n, edge) for n, edge in zip(shape, edges, strict=True))
    return Chunk.around((z, y, x), 0)


def slabs(shape: tuple[int, int, int]) -> Iterator[slice]:
    """Yield slabs of z planes that fit into memory."""
    height = max(1, SLAB_VOXELS // (shape[1] * shape[2]))
    for start in range(0, shape[0], height):
        yield slice(start, min(start + height, shape[0]))


def chunks(shape: tuple[int, int, int], edge: int, margin: int) -> Iterator[Chunk]:
    """Divide a volume into regions of at most `edge` voxels, each with `margin` voxels around it.

    An axis that is not longer than `edge` is not divided.
    """
    sections = [[slice(start, min(start + edge, n)) for start in range(0, n, edge)] for n in shape]
    for z, y, x in itertools.product(*sections):
        yield Chunk.around((z, y, x), margin)


def read_mirrored(tomogram: TomogramFile, chunk: Chunk) -> NDArray[np.float32]:
    """Read a chunk with its margin; the tomogram is mirrored beyond its borders."""
    region, padding = [], []
    for first, length, n in zip(chunk.first, chunk.shape, tomogram.shape, strict=True):
        start, stop = max(first, 0), min(first + length, n)
        region.append(slice(start, stop))
        padding.append((start - first, first + length - stop))
    return np.pad(tomogram.read(*region), padding, mode="symmetric")
