"""Tomograms to train on, and which of their regions are in memory at the same time."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from spisonet.learning.refresh_schedule import MAX_REFRESH_COST, UPDATE_COST
from spisonet.learning.spectra import MAX_OVERSAMPLING
from spisonet.tomography.chunks import Chunk

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    from spisonet.tomography.tomogram import Tomogram


# Edge of a region, in edges of a subvolume, where memory does not hold all tomograms at once.
MIN_REGION_SUBVOLUMES, MAX_REGION_SUBVOLUMES = 2, 4
MIN_REGIONS_PER_ROUND = 6
HALF_DIAGONAL = math.sqrt(3) / 2  # of a subvolume of edge 1: the reach of a rotated subvolume
# Volume that may be predicted in refreshes, per training subvolume, in volumes of a subvolume.
UPDATED_PER_SUBVOLUME = MAX_REFRESH_COST * UPDATE_COST
MAX_SUBVOLUMES_PER_REFRESH = 500  # training subvolumes between two refreshes of all regions
MIN_OVERSAMPLING = 1.5
TEMPORARY_VOLUMES = 4  # spectral weights and temporary arrays while a region is filled and interpolated


@dataclass(frozen=True)
class SubvolumeRegion:
    """Region of a tomogram that training subvolumes are drawn from.

    Attributes
    ----------
    tomogram_index : int
        Index of the tomogram in the training set.
    slices : tuple of slice
        Voxels of the region, ``(z, y, x)``.
    """

    tomogram_index: int
    slices: tuple[slice, slice, slice]

    @classmethod
    def whole(cls, tomogram_index: int, tomogram: Tomogram) -> SubvolumeRegion:
        """Return the region that is a whole tomogram."""
        z, y, x = (slice(0, n) for n in tomogram.shape)
        return cls(tomogram_index, (z, y, x))

    def chunk(self, tomogram: Tomogram, cube_size: int) -> Chunk:
        """Return the region with the margin that rotated subvolumes extend into."""
        # Centres are at least half a subvolume from the borders, or in the middle of a thinner tomogram.
        z, y, x = (math.ceil(HALF_DIAGONAL * cube_size - min(cube_size, n) / 2) for n in tomogram.shape)
        return Chunk.around(self.slices, (z, y, x))

    def n_voxels(self, tomogram: Tomogram, cube_size: int) -> int:
        """Count the voxels of all half tomograms, margin included."""
        return len(tomogram.volumes) * math.prod(self.chunk(tomogram, cube_size).shape)


@dataclass(frozen=True)
class TrainingSet:
    """Tomograms to train one network on.

    Attributes
    ----------
    tomograms : tuple of Tomogram
        Either all with even and odd halves, or none.
    centres : tuple of ndarray
        For each tomogram ``(n, 3)`` voxel coordinates ``(x, y, z)`` of possible subvolume centres.
    memory_bytes : float
        Memory for the regions.
    seed : int
        Seed of the random choice of regions.
    device : torch.device
        Device that holds the regions.
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
        """Memory for the regions: the size of the tomograms, at most `memory_bytes`."""
        n_voxels = sum(len(tomogram.volumes) * math.prod(tomogram.shape) for tomogram in self.tomograms)
        return int(min(self.memory_bytes, 4 * n_voxels))

    def oversampling(self, n_voxels: int) -> float:
        """Oversampling factor of the interpolation grid that fits into memory for a number of voxels."""
        # Memory holds the data and two oversampled grids: targets and filled inputs.
        room = (self.memory_bytes / (4 * n_voxels) - 1 - TEMPORARY_VOLUMES) / 2
        return float(min(max(room, 1.0) ** (1 / 3), MAX_OVERSAMPLING))

    def probabilities(self, regions: list[SubvolumeRegion]) -> NDArray[np.float64]:
        """Probability of each region that a training subvolume is drawn from it, ``(n,)``."""
        # Random regions have equal probabilities. If there are fewer than tomograms, those of tomograms with
        # more subvolumes are in memory more often; else all tomograms have almost equally many regions.
        if regions == self._whole_tomograms():
            n_subvolumes = np.array([tomogram.n_subvolumes for tomogram in self.tomograms], float)
        else:
            n_subvolumes = np.ones(len(regions))
        return np.asarray(n_subvolumes / n_subvolumes.sum())

    def _whole_tomograms(self) -> list[SubvolumeRegion]:
        return [SubvolumeRegion.whole(index, tomogram) for index, tomogram in enumerate(self.tomograms)]

    @property
    def fingerprint(self) -> str:
        """Short hash of the tomograms and the subvolume centres."""
        digest = hashlib.blake2b(digest_size=12)
        for tomogram, centres in zip(self.tomograms, self.centres, strict=True):
            digest.update(tomogram.digest.encode())
            digest.update(centres.tobytes())
        return digest.hexdigest()

    def n_voxels(self, region: SubvolumeRegion, cube_size: int) -> int:
        """Count the voxels of a region of all half tomograms, margin included."""
        return region.n_voxels(self.tomograms[region.tomogram_index], cube_size)

    def draw_regions(self, round_number: int, cube_size: int) -> list[SubvolumeRegion]:
        """Choose the regions that the training subvolumes of a round of refreshes are drawn from.

        There are as many as fit into memory and as can be updated often enough.

        Parameters
        ----------
        round_number : int
            Number of the round, counted from 0.
        cube_size : int
            Edge of training subvolumes in voxels.

        Returns
        -------
        list of SubvolumeRegion
            All tomograms as a whole, if possible, else random regions of them.
        """
        if self.is_drawn_as_a_whole(cube_size):
            return self._whole_tomograms()
        max_voxels = self._max_voxels(cube_size)
        rng = np.random.default_rng([self.seed, round_number])
        n_subvolumes = np.array([tomogram.n_subvolumes for tomogram in self.tomograms], float)
        edge = self._region_edge(max_voxels, cube_size)
        chosen: list[SubvolumeRegion] = []
        n_voxels = 0
        n_tomograms, probabilities = len(self.tomograms), n_subvolumes / n_subvolumes.sum()
        while True:
            # Every tomogram is drawn once before any is drawn again.
            for index in rng.choice(n_tomograms, n_tomograms, replace=False, p=probabilities):
                region = self._random_region(int(index), edge, rng)
                n_voxels += self.n_voxels(region, cube_size)
                if chosen and n_voxels > max_voxels:
                    return chosen
                chosen.append(region)

    def max_voxels_per_round(self, cube_size: int) -> int:
        """Return the largest number of voxels of the regions of a round, margins included."""
        n_voxels = sum(self.n_voxels(region, cube_size) for region in self.draw_regions(0, cube_size))
        if self.is_drawn_as_a_whole(cube_size):
            return n_voxels
        return max(n_voxels, math.ceil(self._max_voxels(cube_size)))

    def is_drawn_as_a_whole(self, cube_size: int) -> bool:
        """Whether all rounds have the same regions, which are the whole tomograms."""
        n_voxels = sum(self.n_voxels(region, cube_size) for region in self._whole_tomograms())
        return n_voxels <= self._max_voxels(cube_size)

    def _max_voxels(self, cube_size: int) -> float:
        floats = 1 + 2 * MIN_OVERSAMPLING**3 + TEMPORARY_VOLUMES
        in_memory = self.memory_bytes / (4 * floats)
        return min(in_memory, MAX_SUBVOLUMES_PER_REFRESH * UPDATED_PER_SUBVOLUME * cube_size**3)

    def _region_edge(self, max_voxels: float, cube_size: int) -> int:
        """Edge of random regions in voxels, such that a round has regions of several tomograms."""
        n_halves = len(self.tomograms[0].volumes)
        margin = math.ceil((HALF_DIAGONAL - 0.5) * cube_size)  # of `SubvolumeRegion.chunk`
        edge = int((max_voxels / (MIN_REGIONS_PER_ROUND * n_halves)) ** (1 / 3)) - 2 * margin
        return min(max(edge, MIN_REGION_SUBVOLUMES * cube_size), MAX_REGION_SUBVOLUMES * cube_size)

    def _random_region(self, tomogram_index: int, edge: int, rng: np.random.Generator) -> SubvolumeRegion:
        shape, centres = self.tomograms[tomogram_index].shape, self.centres[tomogram_index]
        centre_zyx = centres[rng.integers(len(centres))][::-1].tolist()
        starts = [
            min(max(0, c - edge // 2), max(0, n - edge)) for c, n in zip(centre_zyx, shape, strict=True)
        ]
        z, y, x = (slice(s, min(n, s + edge)) for s, n in zip(starts, shape, strict=True))
        return SubvolumeRegion(tomogram_index, (z, y, x))
