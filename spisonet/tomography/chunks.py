"""Work through volumes of any size in parts."""

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
    """A part of a volume with surroundings.

    Attributes
    ----------
    inner : tuple of slice
        The part of the volume ``(z, y, x)`` that it is about.
    first : tuple of int
        Where its surroundings begin; may be negative, outside the volume.
    shape : tuple of int
        Of the part with its surroundings.
    """

    inner: tuple[slice, slice, slice]
    first: tuple[int, int, int]
    shape: tuple[int, int, int]

    @classmethod
    def around(cls, inner: tuple[slice, slice, slice], margin: int | tuple[int, int, int]) -> Chunk:
        """Return a part with surroundings that are equal on both sides."""
        margins = (margin,) * 3 if isinstance(margin, int) else margin
        z, y, x = (part.start - m for part, m in zip(inner, margins, strict=True))
        depth, height, width = (
            part.stop - part.start + 2 * m for part, m in zip(inner, margins, strict=True)
        )
        return cls(inner, (z, y, x), (depth, height, width))

    @property
    def own(self) -> tuple[slice, ...]:
        """The inner part in the chunk's own coordinates."""
        return tuple(
            slice(part.start - first, part.stop - first)
            for part, first in zip(self.inner, self.first, strict=True)
        )


def central_crop(n: int, length: int) -> slice:
    """Return the middle of an axis of `n` voxels, at most `length` of them."""
    start = max(0, (n - length) // 2)
    return slice(start, min(n, start + length))


def slabs(shape: tuple[int, int, int]) -> Iterator[slice]:
    """Yield slabs of z planes that are small enough to hold in memory."""
    height = max(1, SLAB_VOXELS // (shape[1] * shape[2]))
    for start in range(0, shape[0], height):
        yield slice(start, min(start + height, shape[0]))


def chunks(shape: tuple[int, int, int], edge: int, margin: int) -> Iterator[Chunk]:
    """Divide a volume into parts of at most `edge` voxels, each with `margin` voxels around it.

    Along an axis that is not longer than `edge` there is one part.
    """
    parts = [[slice(s, min(s + edge, n)) for s in range(0, n, edge)] for n in shape]
    for z, y, x in itertools.product(*parts):
        yield Chunk.around((z, y, x), margin)


def read_mirrored(tomogram: TomogramFile, chunk: Chunk) -> NDArray[np.float32]:
    """Read a chunk with its surroundings; beyond the borders the tomogram is mirrored."""
    region, padding = [], []
    for first, length, n in zip(chunk.first, chunk.shape, tomogram.shape, strict=True):
        start, stop = max(first, 0), min(first + length, n)
        region.append(slice(start, stop))
        padding.append((start - first, first + length - stop))
    return np.pad(tomogram.read(*region), padding, mode="symmetric")
