"""Whole-volume prediction in overlapping tiles that show no seam."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from spisonet.learning.processes import ALONE
from spisonet.learning.unet import DEPTH

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from spisonet.learning.processes import Processes

NETWORK_MULTIPLE = 2**DEPTH
TILE_MULTIPLE = 16
MARGIN = 16
SMALLEST_TILE, LARGEST_TILE = 64, 160


def clip_tile(edge: int) -> int:
    """Edge of the largest usable tile that is not larger than `edge`, or else of the smallest."""
    return min(max(edge // TILE_MULTIPLE * TILE_MULTIPLE, SMALLEST_TILE), LARGEST_TILE)


def predict_volumes(
    network: Callable[[Tensor], Tensor],
    volumes: Tensor,
    tile_size: int,
    margin: int = MARGIN,
    processes: Processes = ALONE,
) -> Tensor:
    """Apply a network to volumes of any size.

    Volumes that fit into one tile are predicted at once. Otherwise tiles overlap by twice the
    margin and are blended by raised-cosine windows that leave out the outer half of the margin;
    outside the volumes there are zeros. The tiles are shared among the processes.

    Parameters
    ----------
    network : callable
        Maps ``(1, 1, z, y, x)`` to the same shape.
    volumes : Tensor
        ``(n, z, y, x)``.
    tile_size : int
        Tile edge in voxels, a multiple of 16 and more than twice the margin.
    margin : int
        Width in voxels that a tile gives away on each side.
    processes : Processes
        Who takes part; all of them get the whole answer.

    Returns
    -------
    Tensor
        ``(n, z, y, x)``; the identity network returns its input.
    """
    axes = [_AxisTiles.cover(n, tile_size, margin) for n in volumes.shape[1:]]
    padded = functional.pad(volumes, [p for axis in reversed(axes) for p in (axis.before, axis.after)])
    total, weights = torch.zeros_like(padded), torch.zeros_like(padded[0])
    window = torch.ones(1, 1, 1, device=volumes.device)
    for index, axis in enumerate(axes):
        window = window * axis.window(volumes.device).reshape([-1 if a == index else 1 for a in range(3)])
    pieces = itertools.product(range(len(volumes)), *(axis.starts for axis in axes))
    for number, (which, *corner) in enumerate(pieces):
        part = tuple(slice(start, start + axis.tile) for start, axis in zip(corner, axes, strict=True))
        if which == 0:
            weights[part] += window
        if number % processes.count == processes.rank:
            total[which][part] += network(padded[which][part][None, None])[0, 0] * window
    processes.add_up(total)
    sizes = zip(axes, volumes.shape[1:], strict=True)
    inside = (slice(None), *(slice(axis.before, axis.before + n) for axis, n in sizes))
    return (total / weights)[inside]


@dataclass(frozen=True)
class _AxisTiles:
    """Tiles along one axis: their starts in the padded volume, their length, and the padding."""

    starts: list[int]
    tile: int
    before: int
    after: int

    @classmethod
    def cover(cls, n: int, tile_size: int, margin: int) -> _AxisTiles:
        whole = -(-n // NETWORK_MULTIPLE) * NETWORK_MULTIPLE
        if whole <= tile_size:
            return cls([0], whole, 0, whole - n)
        stride = tile_size - 2 * margin
        n_tiles = -(-n // stride)
        after = (n_tiles - 1) * stride + tile_size - n - margin
        return cls([i * stride for i in range(n_tiles)], tile_size, margin, after)

    def window(self, device: torch.device) -> Tensor:
        """Weigh a tile's voxels; the weights of neighbours add to one where they overlap."""
        if len(self.starts) == 1:
            return torch.ones(self.tile, device=device)
        margin = (self.tile - self.starts[1]) / 2
        distance = torch.arange(self.tile, device=device) + 0.5
        edge = torch.minimum(distance, self.tile - distance) / margin - 0.5
        return torch.sin(torch.pi / 2 * edge.clamp(0.0, 1.0)) ** 2
