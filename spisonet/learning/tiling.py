"""Whole-volume prediction in overlapping tiles that show no seam."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from spisonet.learning.devices import free_memory_bytes
from spisonet.learning.unet import DEPTH

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from spisonet.learning.unet import Network

NETWORK_MULTIPLE = 2**DEPTH
TILE_MULTIPLE = 16
MARGIN = 16
LARGEST_TILE = 160
LIVE_FEATURE_MAPS = 8  # of the base width, at full resolution, while predicting
MEMORY_SHARE = 0.25


def predict_volume(
    network: Callable[[Tensor], Tensor], volume: Tensor, tile_size: int, margin: int = MARGIN
) -> Tensor:
    """Apply a network to a volume of any size.

    A volume that fits into one tile is predicted at once. Otherwise tiles overlap by twice the
    margin and are blended by raised-cosine windows that leave out the outer half of the margin;
    outside the volume there are zeros.

    Parameters
    ----------
    network : callable
        Maps ``(1, 1, z, y, x)`` to the same shape.
    volume : Tensor
        ``(z, y, x)``.
    tile_size : int
        Tile edge in voxels, a multiple of 16 and more than twice the margin.
    margin : int
        Width in voxels that a tile gives away on each side.

    Returns
    -------
    Tensor
        ``(z, y, x)``; the identity network returns its input.
    """
    axes = [_AxisTiles.cover(n, tile_size, margin) for n in volume.shape]
    padded = functional.pad(volume, [p for axis in reversed(axes) for p in (axis.before, axis.after)])
    total, weights = torch.zeros_like(padded), torch.zeros_like(padded)
    window = torch.ones(1, 1, 1, device=volume.device)
    for index, axis in enumerate(axes):
        window = window * axis.window(volume.device).reshape([-1 if a == index else 1 for a in range(3)])
    for corner in itertools.product(*(axis.starts for axis in axes)):
        part = tuple(slice(start, start + axis.tile) for start, axis in zip(corner, axes, strict=True))
        total[part] += network(padded[part][None, None])[0, 0] * window
        weights[part] += window
    inside = tuple(slice(axis.before, axis.before + n) for axis, n in zip(axes, volume.shape, strict=True))
    return total[inside] / weights[inside]


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


def largest_tile(network: Network, device: torch.device) -> int:
    """Tile edge in voxels whose prediction fits well into the device's free memory."""
    voxel_bytes = 4 * LIVE_FEATURE_MAPS * network.filter_base
    voxels = MEMORY_SHARE * free_memory_bytes(device) / voxel_bytes
    edge = int(voxels ** (1 / 3)) // TILE_MULTIPLE * TILE_MULTIPLE
    return min(max(edge, 4 * TILE_MULTIPLE), LARGEST_TILE)
