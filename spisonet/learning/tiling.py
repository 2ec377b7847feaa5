"""Whole-volume prediction in overlapping, blended tiles."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from spisonet.fourier.windows import cosine_edge
from spisonet.learning.process_group import SINGLE_PROCESS
from spisonet.learning.size_config import NETWORK_MULTIPLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from spisonet.learning.process_group import ProcessGroup

TILE_MULTIPLE = 16
MARGIN = 16
SMALLEST_TILE, LARGEST_TILE = 64, 256


def clip_tile(edge: int) -> int:
    """Round a tile edge down to a usable one, within `SMALLEST_TILE` and `LARGEST_TILE`."""
    return min(max(edge // TILE_MULTIPLE * TILE_MULTIPLE, SMALLEST_TILE), LARGEST_TILE)


def margin_of_tiles(tile_size: int, padding_factor: float | None) -> int:
    """Return the overlap in voxels on each side of tiles whose edge is a multiple of their stride.

    Parameters
    ----------
    tile_size : int
        Edge of tiles in voxels.
    padding_factor : float or None
        Edge divided by stride; None for the usual overlap, which is also the smallest.
    """
    if padding_factor is None:
        return MARGIN
    n_multiples = int(tile_size * (1 - 1 / padding_factor) / 2 / NETWORK_MULTIPLE)
    return max(MARGIN, int(n_multiples * NETWORK_MULTIPLE))


def predict_volumes(
    network: Callable[[Tensor], Tensor],
    volumes: Tensor,
    tile_size: int,
    margin: int = MARGIN,
    group: ProcessGroup = SINGLE_PROCESS,
) -> Tensor:
    """Apply a network to volumes of any size.

    Volumes that fit into one tile are predicted at once. Otherwise tiles overlap by twice the
    margin and are blended by raised-cosine windows, which exclude the outer half of the margin. The
    volumes are padded with zeros. The tiles are distributed among the processes.

    Parameters
    ----------
    network : callable
        Maps ``(1, n_inputs, z, y, x)`` to ``(1, 1, z, y, x)``.
    volumes : Tensor
        ``(n, z, y, x)``, or ``(n, n_inputs, z, y, x)``.
    tile_size : int
        Tile edge in voxels, a multiple of 16 and more than twice the margin.
    margin : int
        Width in voxels of the overlap of a tile on each side.
    group : ProcessGroup
        The processes that predict together; each returns the whole prediction.

    Returns
    -------
    Tensor
        ``(n, z, y, x)``.
    """
    if volumes.ndim == 4:  # one input
        volumes = volumes[:, None]
    axes = [AxisTiles.cover(n, tile_size, margin) for n in volumes.shape[2:]]
    padded = functional.pad(volumes, [p for axis in reversed(axes) for p in (axis.before, axis.after)])
    total = torch.zeros_like(padded[:, 0])
    windows = [axis.windows(volumes.device) for axis in axes]
    tiles = itertools.product(range(len(volumes)), *(range(len(axis.starts)) for axis in axes))
    for number, (which, *tile) in enumerate(tiles):
        if number % group.count != group.rank:
            continue
        starts = [axis.starts[index] for axis, index in zip(axes, tile, strict=True)]
        part = tuple(slice(start, start + axis.tile) for start, axis in zip(starts, axes, strict=True))
        z, y, x = (window[index] for window, index in zip(windows, tile, strict=True))
        window = z[:, None, None] * y[:, None] * x
        total[which][part] += network(padded[which][(slice(None), *part)][None])[0, 0] * window
    group.all_reduce(total)
    sizes = zip(axes, volumes.shape[2:], strict=True)
    inside = (slice(None), *(slice(axis.before, axis.before + n) for axis, n in sizes))
    return total[inside]


@dataclass(frozen=True)
class AxisTiles:
    """Overlapping tiles along one axis.

    Attributes
    ----------
    starts : list of int
        First voxels of the tiles, in the padded volume.
    tile : int
        Tile length in voxels.
    before, after : int
        Padding of the volume in voxels.
    """

    starts: list[int]
    tile: int
    before: int
    after: int

    @classmethod
    def cover(cls, n: int, tile_size: int, margin: int = MARGIN) -> AxisTiles:
        """Cover `n` voxels by tiles of at most `tile_size`, which overlap by twice the margin."""
        whole = -(-n // NETWORK_MULTIPLE) * NETWORK_MULTIPLE
        if whole <= tile_size:
            return cls([0], whole, 0, whole - n)
        n_tiles = -(-n // (tile_size - 2 * margin))
        # The smallest tiles that cover the axis in this number.
        stride = -(-n // (n_tiles * NETWORK_MULTIPLE)) * NETWORK_MULTIPLE
        tile = stride + 2 * margin
        after = (n_tiles - 1) * stride + tile - n - margin
        return cls([i * stride for i in range(n_tiles)], tile, margin, after)

    def windows(self, device: torch.device) -> list[torch.Tensor]:
        """Return the blending window of every tile; they add up to 1 inside the volume."""
        if len(self.starts) == 1:
            return [torch.ones(self.tile, device=device)]
        margin = (self.tile - self.starts[1]) / 2
        distance = np.arange(self.tile, dtype=np.float32) + 0.5
        outside = cosine_edge(np.minimum(distance, self.tile - distance), margin / 2, margin)
        window = torch.from_numpy(1 - outside).to(device)
        total = torch.zeros(self.starts[-1] + self.tile, device=device)
        for start in self.starts:
            total[start : start + self.tile] += window
        total.clamp_(min=torch.finfo(total.dtype).tiny)  # zero in the outer half of the padding
        return [window / total[start : start + self.tile] for start in self.starts]
