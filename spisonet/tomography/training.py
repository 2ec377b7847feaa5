"""Learn from tomograms to denoise them and to fill their missing wedges."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from spisonet.fourier.filters import RadialCurve
from spisonet.learning.replay import MISSING_WEIGHT, Replay, ReplayBatch
from spisonet.learning.spectra import (
    MAX_OVERSAMPLING,
    RadialWeight,
    WedgeWeight,
    frequency_points_rfft,
    irfft3,
    rfft3,
)
from spisonet.tomography.blocks import Block

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from numpy.typing import NDArray
    from torch import Tensor

    from spisonet.tomography.specimens import Specimen

    Part = tuple[slice, slice, slice]

DENOISED, FILLED_HALVES, FILLED = "n2n", "isonet2-n2n", "isonet2"  # methods, by IsoNet2's names
HALVES_METHODS = (DENOISED, FILLED_HALVES)
CLIP = 10.0  # standard deviations: gold would dominate the loss
REGION_CUBES = 4  # edge of a region, in cubes, where tomograms do not fit into the memory
CORNERS = (math.sqrt(3) - 1) / 2  # how far a turned cube reaches beyond a straight one, in edges
MAX_REFRESH_COST = 0.25  # of the time spent on updates
MIN_REFRESH_INTERVAL = 10
FORWARD_AND_BACKWARD = 3  # cost of an update in forward passes
NOISE_POINTS = 257
TEMPORARY_VOLUMES = 3  # while one is filled and put on a finer grid


@dataclass(frozen=True)
class Method:
    """What is to be learned, and how.

    Attributes
    ----------
    fill : bool
        Whether the missing wedges are to be filled, besides denoising.
    cube_size : int
        Edge of training crops in voxels.
    missing_weight : float
        Weight of the hidden part of the residual relative to the visible part.
    added_noise : tuple of (int, float)
        From which epoch on, from 0, how much noise is added to inputs, in standard deviations of the data.
    noise_filter : str
        What the added noise looks like: ``noFilter``, ``ramp`` or ``hamming`` as after a backprojection with
        this filter, or ``white``.
    """

    fill: bool
    cube_size: int
    missing_weight: float = MISSING_WEIGHT
    added_noise: tuple[tuple[int, float], ...] = ()
    noise_filter: str = "white"

    def noise_level(self, epoch: int) -> float:
        """How much noise is added in an epoch."""
        return next((level for start, level in reversed(self.added_noise) if epoch >= start), 0.0)

    @property
    def noise_curve(self) -> RadialCurve:
        """Relative amplitude of the added noise by spatial frequency.

        Projections of white noise, filtered by ``g(k)``, overlap in Fourier space with a density that falls
        as ``1/k`` from the tilt axis, so the amplitude of their backprojection is ``g(k) / sqrt(k)``.
        """
        k = np.linspace(0, 1, NOISE_POINTS)
        k[0] = k[1] / 2
        filters = {
            "white": np.sqrt(k),
            "noFilter": np.ones_like(k),
            "ramp": k,
            "hamming": k * (0.54 + 0.46 * np.cos(np.pi * k)),
        }
        return RadialCurve(filters[self.noise_filter] / np.sqrt(k))


@dataclass(frozen=True)
class TrainingSet:
    """Tomograms to learn from together.

    Attributes
    ----------
    specimens : tuple of Specimen
        All with halves, or all without.
    centres : tuple of ndarray
        For each, ``(n, 3)`` voxel coordinates ``(x, y, z)`` where crops may be centred.
    memory_bytes : float
        What may be kept in memory of them.
    seed : int
        Of the choice of regions.
    device : torch.device
        Where to keep it.
    """

    specimens: tuple[Specimen, ...]
    centres: tuple[NDArray[np.int16], ...]
    memory_bytes: float
    seed: int
    device: torch.device

    def to(self, device: torch.device | str) -> Self:
        """Return the same set for another device."""
        return replace(self, device=torch.device(device))

    @property
    def n_voxels(self) -> int:
        """Number of voxels of all halves of all tomograms."""
        return sum(len(specimen.volumes) * math.prod(specimen.shape) for specimen in self.specimens)

    @property
    def nbytes(self) -> int:
        """Size of what is kept in memory of the data."""
        return int(min(self.memory_bytes, 4 * self.n_voxels))

    @property
    def fingerprint(self) -> str:
        """Short hash of the tomograms and the places of crops."""
        digest = hashlib.blake2b(digest_size=12)
        for specimen, centres in zip(self.specimens, self.centres, strict=True):
            digest.update(specimen.digest.encode())
            digest.update(centres.tobytes())
        return digest.hexdigest()

    @property
    def oversampling(self) -> float:
        """How much finer a grid all tomograms may be read from, if they fit into the memory at all; or 1."""
        # Of each voxel there are the data, and finer grids of targets and filled inputs.
        room = (self.memory_bytes / (4 * self.n_voxels) - 1 - TEMPORARY_VOLUMES) / 2
        return float(min(max(room, 1.0) ** (1 / 3), MAX_OVERSAMPLING))

    @property
    def fits(self) -> bool:
        """Whether all tomograms fit into the memory."""
        return 4 * (3 + TEMPORARY_VOLUMES) * self.n_voxels <= self.memory_bytes

    def draw_parts(self, epoch: int, cube_size: int) -> list[tuple[int, Part]]:
        """Choose the parts of the tomograms that an epoch draws its crops from.

        Parameters
        ----------
        epoch : int
            Number of the epoch, from 0.
        cube_size : int
            Edge of crops in voxels.

        Returns
        -------
        list of (int, tuple of slice)
            Numbers of specimens and parts ``(z, y, x)``: whole tomograms if all of them fit into the memory,
            else random parts of them.
        """
        parts: list[tuple[int, Part]] = []
        if self.fits:
            for number, whole in enumerate(self.specimens):
                z, y, x = (slice(0, n) for n in whole.shape)
                parts.append((number, (z, y, x)))
            return parts
        rng = np.random.default_rng([self.seed, epoch])
        share = np.array([specimen.n_crops for specimen in self.specimens], float)
        edge = REGION_CUBES * cube_size
        used = 0
        while True:
            which = int(rng.choice(len(self.specimens), p=share / share.sum()))
            specimen, centres = self.specimens[which], self.centres[which]
            middle = centres[rng.integers(len(centres))][::-1].tolist()
            starts = [
                min(max(0, c - edge // 2), max(0, n - edge))
                for c, n in zip(middle, specimen.shape, strict=True)
            ]
            z, y, x = (slice(s, min(n, s + edge)) for s, n in zip(starts, specimen.shape, strict=True))
            used += len(specimen.volumes) * (z.stop - z.start) * (y.stop - y.start) * (x.stop - x.start)
            if parts and 4 * (3 + TEMPORARY_VOLUMES) * used > self.memory_bytes:
                return parts
            parts.append((which, (z, y, x)))


class Region:
    """A part of a tomogram in the device's memory, with its surroundings, mirrored beyond the borders.

    Parameters
    ----------
    specimen : Specimen
        The tomogram.
    part : tuple of slice
        ``(z, y, x)``.
    centres : ndarray
        ``(n, 3)`` voxel coordinates ``(x, y, z)`` in the tomogram; those inside the part are used.
    method : Method
        What is to be learned.
    device : torch.device
        Where to keep it.
    max_oversampling : float
        See `Replay`.
    """

    def __init__(
        self,
        specimen: Specimen,
        part: Part,
        centres: NDArray[np.int16],
        method: Method,
        device: torch.device,
        max_oversampling: float,
    ) -> None:
        block = Block.around(part, math.ceil(CORNERS * method.cube_size))
        read = [specimen.read(which, block) for which in range(len(specimen.volumes))]
        self.data = torch.from_numpy(np.stack(read)).clamp_(-CLIP, CLIP).to(device)
        z, y, x = part
        first, last = [x.start, y.start, z.start], [x.stop, y.stop, z.stop]
        inside = np.all((centres >= first) & (centres < last), axis=1)
        own_centres = (centres[inside] - np.array(block.first[::-1])).astype(np.float32)
        self._fill = method.fill
        wedge = WedgeWeight(*(specimen.tilt_range if method.fill else (-90.0, 90.0)))
        points = frequency_points_rfft(block.shape, device)
        self._wedge_rfft = wedge.at(points)
        transfer = None if specimen.transfer is None else RadialWeight(specimen.transfer)
        self._transfer_rfft = None if transfer is None else transfer.at(points)
        noise = specimen.noise if method.fill else None
        self.replay = Replay(
            self.data,
            wedge,
            torch.from_numpy(own_centres).to(device),
            method.cube_size,
            1.0,
            method.missing_weight,
            max_oversampling,
            None if noise is None else RadialWeight(noise),
            transfer,
        )

    def refill(self, predict: Callable[[Tensor], Tensor]) -> None:
        """Fill the missing wedge of the inputs with the network's prediction."""
        if not self._fill:
            return
        z, y, x = self.data.shape[1:]
        filled = []
        for half, answer in zip(self.data, predict(self.data), strict=True):
            expected = rfft3(answer)
            if self._transfer_rfft is not None:
                expected *= self._transfer_rfft
            filled.append(irfft3(expected + self._wedge_rfft * (rfft3(half) - expected), (z, y, x)))
        self.replay.refill(torch.stack(filled))


class TomogramObjective:
    """Replay from many tomograms, each with its own wedge; see `Replay`.

    Parameters
    ----------
    training_set : TrainingSet
        What to learn from.
    method : Method
        How.
    """

    def __init__(self, training_set: TrainingSet, method: Method) -> None:
        self._set, self._method = training_set, method
        self._regions: list[Region] = []
        self._parts: list[tuple[int, Part]] = []
        self._shares = np.empty(0)
        self.begin_epoch(0)

    def begin_epoch(self, number: int) -> None:
        """Load the parts of the tomograms that this epoch looks at."""
        parts = self._set.draw_parts(number, self._method.cube_size)
        if parts != self._parts:
            self._regions.clear()  # before the new ones are read
            self._regions = [self._region(which, part) for which, part in parts]
            # Random parts are drawn by the numbers of crops already.
            numbers = [self._set.specimens[which].n_crops if self._set.fits else 1 for which, _ in parts]
            self._parts, self._shares = parts, np.array(numbers) / sum(numbers)
        level = self._method.noise_level(number)
        for region in self._regions:
            region.replay.add_noise(RadialWeight(self._method.noise_curve), level)
        self._next, self._all = 0, True

    def _region(self, which: int, part: Part) -> Region:
        specimen, centres = self._set.specimens[which], self._set.centres[which]
        return Region(specimen, part, centres, self._method, self._set.device, self._set.oversampling)

    def refresh_interval(self, batch_size: int) -> int:
        """Refill one region after the other, at no more than a quarter of the cost of training."""
        n_voxels = float(np.mean([region.data.numel() for region in self._regions]))
        update = FORWARD_AND_BACKWARD * batch_size * self._method.cube_size**3
        return max(MIN_REFRESH_INTERVAL, math.ceil(n_voxels / update / MAX_REFRESH_COST))

    def refresh(self, predict: Callable[[Tensor], Tensor]) -> None:
        """Fill all regions at the start of an epoch, and one of them later."""
        for region in self._regions if self._all else [self._regions[self._next % len(self._regions)]]:
            region.refill(predict)
        self._next += not self._all
        self._all = False

    def loss(self, network: Callable[[Tensor], Tensor], n_crops: int, rng: np.random.Generator) -> Tensor:
        """Mean squared residual, weighted in Fourier space."""
        counts = rng.multinomial(n_crops, self._shares)
        drawn = [r.replay.draw(int(n), rng) for r, n in zip(self._regions, counts, strict=True) if n]
        return ReplayBatch.join(drawn).loss(network)

    def answer(self, predict: Callable[[Tensor], Tensor]) -> None:
        """Nothing: tomograms are predicted by a command of their own."""
