"""Learn from tomograms to denoise them and to fill their missing wedges."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from spisonet.fourier.filters import RadialCurve
from spisonet.learning.objectives import MIN_REFRESH_INTERVAL
from spisonet.learning.self_training import MISSING_WEIGHT, FilledMapTraining, TrainingBatch, fill_unmeasured
from spisonet.learning.spectra import (
    MAX_OVERSAMPLING,
    RadialWeight,
    WedgeWeight,
    frequency_points_rfft,
)
from spisonet.tomography.chunks import Chunk
from spisonet.tomography.tomogram import CLIP

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from numpy.typing import NDArray
    from torch import Tensor

    from spisonet.tomography.tomogram import Tomogram

DENOISED, FILLED_HALVES, FILLED = "n2n", "isonet2-n2n", "isonet2"  # methods, by IsoNet2's names
HALVES_METHODS = (DENOISED, FILLED_HALVES)
# Edge of a region, in cubes, where not all tomograms can be used at once.
SMALLEST_REGION_CUBES, REGION_CUBES = 2, 4
PARTS_A_ROUND = 6
HALF_DIAGONAL = math.sqrt(3) / 2  # how far a turned cube reaches from its centre, in edges
UPDATED_PER_SUBVOLUME = 0.75  # crop volumes: a quarter of a forward and a backward pass, which cost three
STALENESS = 500  # crops that may be drawn before everything is filled anew
LEAST_OVERSAMPLING = 1.5
NOISE_POINTS = 257
TEMPORARY_VOLUMES = 4  # masks of the spectrum, and what is there while a region is filled and oversampled


@dataclass(frozen=True)
class TrainingMethod:
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
class SubvolumeRegion:
    """A part of a tomogram.

    Attributes
    ----------
    which : int
        Number of the tomogram.
    region : tuple of slice
        ``(z, y, x)``.
    """

    which: int
    region: tuple[slice, slice, slice]

    @classmethod
    def whole(cls, which: int, tomogram: Tomogram) -> SubvolumeRegion:
        """Return all of a tomogram."""
        z, y, x = (slice(0, n) for n in tomogram.shape)
        return cls(which, (z, y, x))

    def chunk(self, tomogram: Tomogram, cube_size: int) -> Chunk:
        """Return it with the surroundings that turned crops reach into."""
        # Centres keep half a crop from the borders, or lie in the middle of what is thinner.
        z, y, x = (math.ceil(HALF_DIAGONAL * cube_size - min(cube_size, n) / 2) for n in tomogram.shape)
        return Chunk.around(self.region, (z, y, x))

    def n_voxels(self, tomogram: Tomogram, cube_size: int) -> int:
        """Count the voxels of all halves, with surroundings."""
        return len(tomogram.volumes) * math.prod(self.chunk(tomogram, cube_size).shape)


@dataclass(frozen=True)
class TrainingSet:
    """Tomograms to learn from together.

    Attributes
    ----------
    tomograms : tuple of Tomogram
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

    tomograms: tuple[Tomogram, ...]
    centres: tuple[NDArray[np.int16], ...]
    memory_bytes: float
    seed: int
    device: torch.device

    def to(self, device: torch.device | str) -> Self:
        """Return the same set for another device."""
        return replace(self, device=torch.device(device))

    @property
    def nbytes(self) -> int:
        """Size of the tomograms, or of what may be kept in memory of them."""
        n_voxels = sum(len(tomogram.volumes) * math.prod(tomogram.shape) for tomogram in self.tomograms)
        return int(min(self.memory_bytes, 4 * n_voxels))

    def oversampling(self, n_voxels: int) -> float:
        """How much finer a grid may be that so many voxels are read from."""
        # Of each voxel there are the data, and finer grids of targets and filled inputs.
        room = (self.memory_bytes / (4 * n_voxels) - 1 - TEMPORARY_VOLUMES) / 2
        return float(min(max(room, 1.0) ** (1 / 3), MAX_OVERSAMPLING))

    def shares(self, parts: list[SubvolumeRegion]) -> NDArray[np.float64]:
        """How often crops are drawn from each part."""
        # Random parts are drawn by the numbers of crops already.
        whole = all(part == SubvolumeRegion.whole(part.which, self.tomograms[part.which]) for part in parts)
        every = whole and len(parts) == len(self.tomograms)
        numbers = np.array([self.tomograms[part.which].n_subvolumes if every else 1 for part in parts], float)
        return np.asarray(numbers / numbers.sum())

    @property
    def fingerprint(self) -> str:
        """Short hash of the tomograms and the places of crops."""
        digest = hashlib.blake2b(digest_size=12)
        for tomogram, centres in zip(self.tomograms, self.centres, strict=True):
            digest.update(tomogram.digest.encode())
            digest.update(centres.tobytes())
        return digest.hexdigest()

    def draw_parts(self, number: int, cube_size: int) -> list[SubvolumeRegion]:
        """Choose the parts of the tomograms that a round of epochs draws its crops from.

        They are as many as memory allows, and as can be filled anew often enough.

        Parameters
        ----------
        number : int
            Of the round, from 0.
        cube_size : int
            Edge of crops in voxels.

        Returns
        -------
        list of SubvolumeRegion
            Whole tomograms if all of them may be used at once, else random parts of them.
        """
        floats = 1 + 2 * LEAST_OVERSAMPLING**3 + TEMPORARY_VOLUMES
        most = min(self.memory_bytes / (4 * floats), STALENESS * UPDATED_PER_SUBVOLUME * cube_size**3)
        whole = [SubvolumeRegion.whole(which, tomogram) for which, tomogram in enumerate(self.tomograms)]
        sizes = [part.n_voxels(self.tomograms[part.which], cube_size) for part in whole]
        if sum(sizes) <= most:
            return whole
        rng = np.random.default_rng([self.seed, number])
        share = np.array([tomogram.n_subvolumes for tomogram in self.tomograms], float)
        edge = self._region_edge(most, cube_size)
        chosen: list[SubvolumeRegion] = []
        used = 0
        while True:
            # All tomograms take turns.
            for which in rng.choice(len(share), len(share), replace=False, p=share / share.sum()):
                part = self._random_part(int(which), edge, rng)
                used += part.n_voxels(self.tomograms[which], cube_size)
                if chosen and used > most:
                    return chosen
                chosen.append(part)

    def _region_edge(self, most: float, cube_size: int) -> int:
        """Edge of random parts: as large as leaves several, of different tomograms, to a round."""
        n_halves = len(self.tomograms[0].volumes)
        margin = (HALF_DIAGONAL - 0.5) * cube_size
        edge = int((most / (PARTS_A_ROUND * n_halves)) ** (1 / 3) - 2 * margin)
        return min(max(edge, SMALLEST_REGION_CUBES * cube_size), REGION_CUBES * cube_size)

    def _random_part(self, which: int, edge: int, rng: np.random.Generator) -> SubvolumeRegion:
        shape, centres = self.tomograms[which].shape, self.centres[which]
        middle = centres[rng.integers(len(centres))][::-1].tolist()
        starts = [min(max(0, c - edge // 2), max(0, n - edge)) for c, n in zip(middle, shape, strict=True)]
        z, y, x = (slice(s, min(n, s + edge)) for s, n in zip(starts, shape, strict=True))
        return SubvolumeRegion(which, (z, y, x))


class TrainingRegion:
    """A part of a tomogram in the device's memory, with its surroundings, mirrored beyond the borders.

    Parameters
    ----------
    tomogram : Tomogram
        The tomogram.
    part : SubvolumeRegion
        Of the tomogram.
    centres : ndarray
        ``(n, 3)`` voxel coordinates ``(x, y, z)`` in the tomogram; those are used around which a crop lies in
        the part.
    method : TrainingMethod
        What is to be learned.
    device : torch.device
        Where to keep it.
    max_oversampling : float
        See `FilledMapTraining`.
    """

    def __init__(
        self,
        tomogram: Tomogram,
        part: SubvolumeRegion,
        centres: NDArray[np.int16],
        method: TrainingMethod,
        device: torch.device,
        max_oversampling: float,
    ) -> None:
        chunk = part.chunk(tomogram, method.cube_size)
        read = [tomogram.read(which, chunk) for which in range(len(tomogram.volumes))]
        self.data = torch.from_numpy(np.stack(read)).clamp_(-CLIP, CLIP).to(device)
        own = [
            _central(axis, n, method.cube_size) for axis, n in zip(part.region, tomogram.shape, strict=True)
        ]
        first, last = np.array(own)[::-1].T
        inside = np.all((centres >= first) & (centres <= last), axis=1)
        own_centres = (centres[inside] - np.array(chunk.first[::-1])).astype(np.float32)
        self._fill = method.fill
        wedge = WedgeWeight(*(tomogram.tilt_range_degrees if method.fill else (-90.0, 90.0)))
        points = frequency_points_rfft(chunk.shape, device)
        self._wedge_rfft = wedge.at(points)
        transfer = None if tomogram.transfer is None else RadialWeight(tomogram.transfer)
        self._transfer_rfft = None if transfer is None else transfer.at(points)
        noise = tomogram.noise if method.fill else None
        self.training = FilledMapTraining(
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

    def update_missing_region(self, predict: Callable[[Tensor], Tensor]) -> None:
        """Fill the missing wedge of the inputs with the network's prediction."""
        if not self._fill:
            return
        halves = zip(self.data, predict(self.data), strict=True)
        filled = [
            fill_unmeasured(half, answer, self._wedge_rfft, self._transfer_rfft) for half, answer in halves
        ]
        self.training.update_missing_region(torch.stack(filled))


def _central(axis: slice, n: int, cube_size: int) -> tuple[int, int]:
    """First and last centre of crops that lie in a part of an axis of `n` voxels, if there are any."""
    half = min(cube_size, n) // 2
    return axis.start + half, max(axis.stop - half, axis.start + half)


class TomogramObjective:
    """FilledMapTraining from many tomograms, each with its own wedge; see `FilledMapTraining`.

    Parameters
    ----------
    training_set : TrainingSet
        What to learn from.
    method : TrainingMethod
        How.
    subvolumes_per_epoch : int
        Length of an epoch. The same parts are used for a round of epochs that is worth filling them.
    """

    def __init__(self, training_set: TrainingSet, method: TrainingMethod, subvolumes_per_epoch: int) -> None:
        self._set, self._method, self._crops = training_set, method, subvolumes_per_epoch
        self._parts = training_set.draw_parts(0, method.cube_size)
        n_voxels = [
            part.n_voxels(training_set.tomograms[part.which], method.cube_size) for part in self._parts
        ]
        self._mean_voxels = float(np.mean(n_voxels))
        worth = UPDATED_PER_SUBVOLUME * subvolumes_per_epoch * method.cube_size**3
        self._epochs_a_round = math.ceil(sum(n_voxels) / worth)
        self._round = -1
        self._regions: list[TrainingRegion] = []
        self._shares = np.empty(0)
        self._next, self._at_start, self._filled = 0, True, False

    def begin_epoch(self, number: int) -> None:
        """Load the parts of the tomograms that this epoch looks at."""
        at = number // self._epochs_a_round
        parts = self._parts if at == self._round else self._set.draw_parts(at, self._method.cube_size)
        if parts != self._parts or not self._regions:
            self._regions.clear()  # before the new ones are read
            tomograms, cube_size = self._set.tomograms, self._method.cube_size
            n_voxels = sum(part.n_voxels(tomograms[part.which], cube_size) for part in parts)
            oversampling = self._set.oversampling(n_voxels)
            self._regions = [self._region(part, oversampling) for part in parts]
            self._shares = self._set.shares(parts)
        self._filled = self._filled and at == self._round
        self._parts, self._round = parts, at
        level = self._method.noise_level(number)
        for region in self._regions:
            region.training.add_noise(RadialWeight(self._method.noise_curve), level)
        self._next, self._at_start = 0, True

    def _region(self, part: SubvolumeRegion, oversampling: float) -> TrainingRegion:
        tomogram, centres = self._set.tomograms[part.which], self._set.centres[part.which]
        return TrainingRegion(tomogram, part, centres, self._method, self._set.device, oversampling)

    def refresh_interval(self, batch_size: int) -> int:
        """Refill one region after the other, at no more than a quarter of the cost of training."""
        update = UPDATED_PER_SUBVOLUME * batch_size * self._method.cube_size**3
        return max(MIN_REFRESH_INTERVAL, math.ceil(self._mean_voxels / update))

    def refresh(self, predict: Callable[[Tensor], Tensor]) -> None:
        """Fill all regions at the start of a round of epochs, and later one of them."""
        if not self._filled:
            for region in self._regions:
                region.update_missing_region(predict)
        elif not self._at_start:
            self._regions[self._next % len(self._regions)].update_missing_region(predict)
            self._next += 1
        self._filled, self._at_start = True, False

    def loss(
        self, network: Callable[[Tensor], Tensor], n_subvolumes: int, rng: np.random.Generator
    ) -> Tensor:
        """Mean squared residual, weighted in Fourier space."""
        counts = rng.multinomial(n_subvolumes, self._shares)
        drawn = [r.training.draw(int(n), rng) for r, n in zip(self._regions, counts, strict=True) if n]
        return TrainingBatch.join(drawn).loss(network)

    def predict(self, predict: Callable[[Tensor], Tensor]) -> None:
        """Nothing: tomograms are predicted by a command of their own."""
