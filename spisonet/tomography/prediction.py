"""Predict tomograms tile by tile, so that their size does not matter."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch

from spisonet.geometry.rotations import cube_rotations
from spisonet.io.tilt_angles import STEEPEST
from spisonet.io.tomograms import written_tomogram
from spisonet.learning.rotational_averaging import rotate90
from spisonet.learning.self_training import fill_unmeasured
from spisonet.learning.spectra import RadialWeight, WedgeWeight, apply_filter, frequency_points_rfft
from spisonet.learning.tiling import AxisTiles
from spisonet.tomography.chunks import Chunk
from spisonet.tomography.tomogram import CLIP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from spisonet.learning.devices import Backend
    from spisonet.learning.unet import Network
    from spisonet.tomography.tomogram import Tomogram

CPU = torch.device("cpu")
HALF = 0.5  # between the 0 and the 1 of a rotation of the cube


class TilePredictor:
    """A network's answer to a part of a tomogram.

    With turns, the part is filled with the first answer where it was not measured, turned by rotations of
    the cube that bring the missing wedge elsewhere, seen through the wedge as in training, predicted and
    turned back; the mean of all answers averages out their errors.

    Parameters
    ----------
    network : Network
        In evaluation mode, on the device.
    backend : Backend
        How it runs.
    tomogram : Tomogram
        Whose wedge and transfer function count.
    turns : int
        How many turned copies to ask about, at most 16.
    fills : bool
        Whether the network fills the missing wedge.
    """

    def __init__(
        self, network: Network, backend: Backend, tomogram: Tomogram, turns: int, fills: bool = True
    ) -> None:
        self._network, self._backend = network, backend
        self._wedge = WedgeWeight(*(tomogram.tilt_range_degrees if fills else (-STEEPEST, STEEPEST)))
        self._transfer = None if tomogram.transfer is None else RadialWeight(tomogram.transfer)
        self._rotations = turns_of_the_wedge()[:turns]
        self._weights: dict[tuple[int, ...], tuple[Tensor, Tensor | None]] = {}

    def __call__(self, part: Tensor) -> Tensor:
        """Predict ``(n_halves, z, y, x)`` with edges that are multiples of 8; returns the halves' mean."""
        # What is as dense as gold is left to itself, as in training.
        clipped = part.clamp(-CLIP, CLIP)
        total = torch.zeros_like(part[0])
        for half in clipped:
            answer = self._answer(half)
            total += answer
            if self._rotations:
                filled = fill_unmeasured(half, answer, *self._weights_of(half))
                for rotation in self._rotations:
                    copy = rotate90(filled, rotation)
                    seen = apply_filter(copy, self._weights_of(copy)[0])
                    total += rotate90(self._answer(seen), rotation.T)
        mean = total / (len(part) * (1 + len(self._rotations)))
        return mean + (part - clipped).mean(dim=0)

    def _answer(self, volume: Tensor) -> Tensor:
        return self._backend.apply(self._network, volume[None, None])[0, 0]

    def _weights_of(self, volume: Tensor) -> tuple[Tensor, Tensor | None]:
        """Wedge and transfer function for a volume's shape."""
        shape = (volume.shape[0], volume.shape[1], volume.shape[2])
        if shape not in self._weights:
            points = frequency_points_rfft(shape, volume.device)
            transfer = None if self._transfer is None else self._transfer.at(points)
            self._weights[shape] = self._wedge.at(points), transfer
        return self._weights[shape]


def turns_of_the_wedge() -> list[NDArray[np.float64]]:
    """Rotations of the cube ``(3, 3)`` that bring z to lie across z, so that what was hidden comes into view.

    Those that keep the tilt axis uncover most, but copies that differ in all axes average out errors better.
    """
    across = [rotation for rotation in cube_rotations() if abs(rotation[2, 2]) < HALF]
    return [across[5 * index % len(across)] for index in range(len(across))]


def predict_tomogram(
    tomogram: Tomogram,
    predict: Callable[[Tensor], Tensor],
    device: torch.device,
    tile_size: int,
    output: Path,
    label: str,
) -> None:
    """Predict a tomogram in overlapping tiles and write it, on the grey scale of the input.

    Parameters
    ----------
    tomogram : Tomogram
        The tomogram.
    predict : callable
        Maps a part ``(n_halves, z, y, x)`` on the device to ``(z, y, x)``.
    device : torch.device
        Where to predict.
    tile_size : int
        Largest edge of tiles in voxels, see `predict_volumes`.
    output : Path
        MRC file to write.
    label : str
        For its header.

    Raises
    ------
    SpisonetError
        If the tomogram cannot be read, or the output not be written.
    """
    axes = [AxisTiles.cover(n, tile_size) for n in tomogram.shape]
    windows = [[window.numpy() for window in axis.windows(CPU)] for axis in axes]
    tiles = list(itertools.product(*(range(len(axis.starts)) for axis in axes)))
    blocks = [_block(axes, tile) for tile in tiles]
    with (
        written_tomogram(output, tomogram.volumes[0], label) as result,
        torch.no_grad(),
        ThreadPoolExecutor(1) as reader,
    ):
        for tile, chunk, part in zip(tiles, blocks, _ahead(reader, tomogram, blocks), strict=True):
            answer = predict(part.to(device)).cpu().numpy()
            inside = tuple(
                slice(max(p.start, 0), min(p.stop, n))
                for p, n in zip(chunk.inner, tomogram.shape, strict=True)
            )
            own = tuple(slice(i.start - f, i.stop - f) for i, f in zip(inside, chunk.first, strict=True))
            z, y, x = (axis[index][part] for axis, index, part in zip(windows, tile, own, strict=True))
            values = answer[own] * np.float32(tomogram.deviation) + np.float32(tomogram.mean)
            result[inside] += values * (z[:, None, None] * y[:, None] * x)


def _block(axes: list[AxisTiles], tile: tuple[int, ...]) -> Chunk:
    z, y, x = (
        slice(axis.starts[index] - axis.before, axis.starts[index] - axis.before + axis.tile)
        for axis, index in zip(axes, tile, strict=True)
    )
    return Chunk.around((z, y, x), 0)


def _ahead(reader: ThreadPoolExecutor, tomogram: Tomogram, blocks: list[Chunk]) -> Iterator[Tensor]:
    """Read blocks, one ahead of what is computed."""

    def read(chunk: Chunk) -> Tensor:
        halves = range(len(tomogram.volumes))
        return torch.from_numpy(np.stack([tomogram.read(which, chunk) for which in halves]))

    following = reader.submit(read, blocks[0])
    for chunk in [*blocks[1:], None]:
        part = following.result()
        if chunk is not None:
            following = reader.submit(read, chunk)
        yield part
