"""Prediction of a tomogram by a trained network, in overlapping tiles."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch

from spisonet.geometry.rotations import cube_rotations
from spisonet.io.stages import StageProgress
from spisonet.io.tilt_angles import MAX_TILT
from spisonet.io.tomograms import written_tomogram
from spisonet.learning.half_turns import HALF_TURNS, average_over_half_turns, half_turns_of_wedge
from spisonet.learning.rotational_averaging import rotate90
from spisonet.learning.self_training import fill_unmeasured
from spisonet.learning.spectra import RadialWeight, WedgeWeight, apply_filter, frequency_points_rfft
from spisonet.learning.tiling import MARGIN, AxisTiles
from spisonet.learning.unet import DenoisedUNet
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
BETWEEN_0_AND_1 = 0.5  # elements of a rotation of the cube are -1, 0 or 1


class TilePredictor:
    """Prediction of one tile of a tomogram, averaged over half turns and optionally over rotated copies.

    Half turns (rotations by 180 degrees) that map the missing wedge onto itself do not change what was
    measured, but the prediction. A network that denoises first is always averaged over all three, as in
    training.

    For each rotated copy (test-time augmentation), the missing wedge of the tile is filled with the first
    prediction, the tile is rotated such that its missing wedge lies elsewhere, and the missing wedge is
    removed from the rotated tile as in training. The predictions are rotated back and averaged.

    Parameters
    ----------
    network : Network
        Network in evaluation mode, on the device.
    backend : Backend
        Backend that runs the network.
    tomogram : Tomogram
        Tomogram with tilt range and CTF amplitude.
    n_rotations : int
        Number of rotated copies, at most 16.
    fills_wedge : bool
        Whether the network fills the missing wedge.
    half_turns : bool
        Average the predictions of the tile over half turns; rotated copies are predicted once each.
    """

    def __init__(
        self,
        network: Network,
        backend: Backend,
        tomogram: Tomogram,
        n_rotations: int,
        fills_wedge: bool = True,
        half_turns: bool = True,
    ) -> None:
        self._denoiser: Network | None = None
        self._network, self._backend = network, backend
        if isinstance(network, DenoisedUNet):
            self._denoiser, self._network = network.denoiser, network.completer
        tilt_range = tomogram.tilt_range_degrees if fills_wedge else (-MAX_TILT, MAX_TILT)
        self._wedge = WedgeWeight(*tilt_range)
        self._half_turns = half_turns_of_wedge(tilt_range) if half_turns else ()
        # What is denoised is also corrected for the CTF, as the prediction that fills it.
        amplitude = tomogram.ctf_amplitude if self._denoiser is None else None
        self._ctf = None if amplitude is None else RadialWeight(amplitude)
        self._rotations = wedge_rotations()[:n_rotations]
        self._weights: dict[tuple[int, ...], tuple[Tensor, Tensor | None]] = {}

    def __call__(self, tile: Tensor) -> Tensor:
        """Predict a tile ``(n_halves, z, y, x)`` with edges that are multiples of 8.

        Returns
        -------
        Tensor
            ``(z, y, x)``, mean of the predictions of all halves.
        """
        # As in training, density beyond the clipping (gold beads) is added unchanged.
        clipped = tile.clamp(-CLIP, CLIP)
        total = torch.zeros_like(tile[0])
        for data in clipped:
            half = self._denoise(data)
            prediction = average_over_half_turns(self._predict, half, self._half_turns)
            total += prediction
            if self._rotations:
                filled = fill_unmeasured(half, prediction, *self._weights_rfft(half))
                for rotation in self._rotations:
                    rotated = rotate90(filled, rotation)
                    rotated = apply_filter(rotated, self._weights_rfft(rotated)[0])
                    total += rotate90(self._predict(rotated), rotation.T)
        mean = total / (len(tile) * (1 + len(self._rotations)))
        return mean + (tile - clipped).mean(dim=0)

    def _denoise(self, volume: Tensor) -> Tensor:
        denoiser = self._denoiser
        if denoiser is None:
            return volume
        return average_over_half_turns(lambda rotated: self._apply(denoiser, rotated), volume, HALF_TURNS)

    def _predict(self, volume: Tensor) -> Tensor:
        return self._apply(self._network, volume)

    def _apply(self, network: Network, volume: Tensor) -> Tensor:
        return self._backend.apply(network, volume[None, None])[0, 0]

    def _weights_rfft(self, volume: Tensor) -> tuple[Tensor, Tensor | None]:
        """Wedge and CTF amplitude on the half spectrum of a volume."""
        shape = (volume.shape[0], volume.shape[1], volume.shape[2])
        if shape not in self._weights:
            points = frequency_points_rfft(shape, volume.device)
            ctf = None if self._ctf is None else self._ctf.at(points)
            self._weights[shape] = self._wedge.at(points), ctf
        return self._weights[shape]


def wedge_rotations() -> list[NDArray[np.float64]]:
    """Return the 16 rotations of the cube ``(3, 3)`` that rotate z away from the z axis.

    They rotate the missing wedge to frequencies that were measured. Consecutive rotations differ in all
    axes, which averages errors better than rotations about the tilt axis alone.
    """
    across = [rotation for rotation in cube_rotations() if abs(rotation[2, 2]) < BETWEEN_0_AND_1]
    return [across[5 * index % len(across)] for index in range(len(across))]


def predict_tomogram(
    tomogram: Tomogram,
    predict: Callable[[Tensor], Tensor],
    device: torch.device,
    tile_size: int,
    output: Path,
    label: str,
    margin: int = MARGIN,
) -> None:
    """Predict a tomogram in overlapping tiles and write it on the grey scale of the input.

    Progress events of the stage ``prediction`` count the tiles.

    Parameters
    ----------
    tomogram : Tomogram
        Normalised tomogram.
    predict : callable
        Maps a tile ``(n_halves, z, y, x)`` on the device to its prediction ``(z, y, x)``.
    device : torch.device
        Device of the tiles.
    tile_size : int
        Largest edge of tiles in voxels, see `predict_volumes`.
    output : Path
        MRC file to write.
    label : str
        Label for its header.
    margin : int
        Width in voxels of the overlap of a tile on each side.

    Raises
    ------
    SpisonetError
        If the tomogram cannot be read, or the output cannot be written.
    """
    axes = [AxisTiles.cover(n, tile_size, margin) for n in tomogram.shape]
    windows = [[window.numpy() for window in axis.windows(CPU)] for axis in axes]
    tiles = list(itertools.product(*(range(len(axis.starts)) for axis in axes)))
    chunks = [_tile_chunk(axes, tile) for tile in tiles]
    with (
        # Several tomograms may be predicted at the same time, so there is no bar.
        StageProgress("prediction", tomogram.name, len(tiles), "tiles", bar=False) as progress,
        written_tomogram(output, tomogram.volumes[0], label) as result,
        torch.no_grad(),
        ThreadPoolExecutor(1) as reader,
    ):
        for tile, chunk, data in zip(tiles, chunks, _read_ahead(reader, tomogram, chunks), strict=True):
            prediction = predict(data.to(device)).cpu().numpy()
            inside = tuple(
                slice(max(axis.start, 0), min(axis.stop, n))
                for axis, n in zip(chunk.inner, tomogram.shape, strict=True)
            )
            in_tile = tuple(slice(i.start - f, i.stop - f) for i, f in zip(inside, chunk.first, strict=True))
            z, y, x = (axis[index][s] for axis, index, s in zip(windows, tile, in_tile, strict=True))
            values = prediction[in_tile] * np.float32(tomogram.deviation) + np.float32(tomogram.mean)
            result[inside] += values * (z[:, None, None] * y[:, None] * x)
            progress.advance()


def _tile_chunk(axes: list[AxisTiles], tile: tuple[int, ...]) -> Chunk:
    z, y, x = (
        slice(axis.starts[index] - axis.before, axis.starts[index] - axis.before + axis.tile)
        for axis, index in zip(axes, tile, strict=True)
    )
    return Chunk.around((z, y, x), 0)


def _read_ahead(reader: ThreadPoolExecutor, tomogram: Tomogram, chunks: list[Chunk]) -> Iterator[Tensor]:
    """Read chunks while the preceding one is predicted."""

    def read(chunk: Chunk) -> Tensor:
        return torch.from_numpy(tomogram.read_halves(chunk))

    following = reader.submit(read, chunks[0])
    for chunk in [*chunks[1:], None]:
        data = following.result()
        if chunk is not None:
            following = reader.submit(read, chunk)
        yield data
