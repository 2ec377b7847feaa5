"""Coefficients of particle images in a band of spatial frequencies."""

from __future__ import annotations

import tempfile
import weakref
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from spisonet.errors import SpisonetError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from spisonet.misalignment.particle_images import ParticleImages

COARSEST_RESOLUTION_ANGSTROM = 60.0
MEMORY_BYTES = 1_000_000_000  # of coefficients in memory; more are kept in a temporary file
POINTS_PER_BATCH = 250_000
BYTES_PER_COEFFICIENT = 8
PIXELS_PER_BATCH = 30_000_000  # of images that are read at once
FEWEST_IN_NOISE_GROUP = 100  # particles; smaller optics groups share one noise spectrum
MIN_CTF = 0.03  # premultiplied images say nothing where the CTF is almost 0


class _Rows:
    """Array ``(n, m)`` of coefficients in memory or, if it is too large, in a temporary file."""

    def __init__(self, n: int, m: int) -> None:
        self._m, self._file = m, None
        if BYTES_PER_COEFFICIENT * n * m <= MEMORY_BYTES:
            self._array = np.empty((n, m), dtype=np.complex64)
        else:
            self._file = tempfile.TemporaryFile()
            weakref.finalize(self, self._file.close)

    def of(self, batch: NDArray[np.intp]) -> NDArray[np.complex64]:
        """Return the rows of consecutive particles; what is written into them is kept."""
        first, n = int(batch[0]), len(batch)
        if self._file is None:
            return self._array[first : first + n]
        # A map of these rows only: pages of a map of the whole file would stay in memory.
        offset = BYTES_PER_COEFFICIENT * self._m * first
        return np.memmap(self._file, np.complex64, mode="r+", offset=offset, shape=(n, self._m))


@dataclass(frozen=True)
class Poses:
    """Orientations and origins of particles.

    Attributes
    ----------
    rotations : ndarray
        ``(n, 3, 3)`` from the map to the frame of the image.
    origins_angstrom : ndarray
        ``(n, 2)`` shift ``(x, y)`` that centres the image, or ``(n, 3)`` that of a volume.
    """

    rotations: NDArray[np.float64]
    origins_angstrom: NDArray[np.float64]

    @classmethod
    def of(cls, particles: ParticleImages) -> Poses:
        """Return the poses in a particle STAR file."""
        return cls(particles.rotations, particles.origins_angstrom)


class ImageBand:
    """Images cropped in Fourier space to the shells ``1 .. last``; one of each two Friedel mates.

    Parameters
    ----------
    particles : ParticleImages
        The particles.
    finest_resolution_angstrom : float
        End of the band.
    device : torch.device
        Device of the coefficients.
    coarsest_resolution_angstrom : float
        Start of the band in which likelihoods are compared.

    Attributes
    ----------
    first, last : int
        Shells at which the band starts and ends.
    plane : Tensor
        ``(m, 2)`` ``(x, y)`` of the coefficients in Fourier voxels.
    shells : Tensor
        ``(m,)``.

    Raises
    ------
    SpisonetError
        If the band has no shells, or an image cannot be read.
    """

    def __init__(
        self,
        particles: ParticleImages,
        finest_resolution_angstrom: float,
        device: torch.device,
        coarsest_resolution_angstrom: float = COARSEST_RESOLUTION_ANGSTROM,
    ) -> None:
        self.particles, self.device = particles, device
        self.length_angstrom = particles.box * particles.pixel_size_angstrom
        self.last = min(int(self.length_angstrom / finest_resolution_angstrom), particles.box // 2 - 1)
        self.first = max(1, round(self.length_angstrom / coarsest_resolution_angstrom))
        if self.last <= self.first:
            raise SpisonetError(
                f"The images of {particles.star} have no shells between {coarsest_resolution_angstrom:g} and "
                f"{finest_resolution_angstrom:g} Å."
            )
        y, x = torch.meshgrid(
            torch.arange(-self.last, self.last + 1, device=device, dtype=torch.float32),
            torch.arange(self.last + 1, device=device, dtype=torch.float32),
            indexing="ij",
        )
        shell = torch.hypot(x, y).round()
        half_plane = ((x > 0) | (y > 0)) & (shell <= self.last)
        self.plane = torch.stack([x[half_plane], y[half_plane]], dim=1)
        self.shells = shell[half_plane].long()
        self._frequencies_per_angstrom = self.plane.double().cpu().numpy() / self.length_angstrom
        self._kept = _Rows(len(particles), len(self.plane))
        for batch in self.batches():
            self._kept.of(batch)[:] = self._transforms(batch).cpu().numpy()

    def __len__(self) -> int:
        return len(self.particles)

    def batches(self, points_per_coefficient: int = 1) -> Iterator[NDArray[np.intp]]:
        """Yield consecutive particles, few enough that their slices fit into memory."""
        of_points = POINTS_PER_BATCH // (points_per_coefficient * len(self.plane))
        size = max(1, min(of_points, PIXELS_PER_BATCH // self.particles.box**2))
        for start in range(0, len(self), size):
            yield np.arange(start, min(start + size, len(self)))

    def coefficients(self, batch: NDArray[np.intp], poses: Poses) -> Tensor:
        """Return the coefficients ``(n, m)`` of consecutive particles, centred, not multiplied by the CTF."""
        transforms = torch.from_numpy(self._kept.of(batch)).to(self.device)
        premultiplied = self.particles.premultiplied[batch]
        if premultiplied.any():
            ctf = self.ctf(batch)
            divided = torch.where(ctf.abs() > MIN_CTF, transforms / ctf, 0)
            rows = torch.from_numpy(premultiplied).to(self.device)
            transforms = torch.where(rows[:, None], divided, transforms)
        return transforms * self.phases(self.tensor(poses.origins_angstrom[batch]))

    def phases(self, shifts_angstrom: Tensor) -> Tensor:
        """Factors ``(n, m)`` that shift images by ``(n, 2)``."""
        phase = (-2 * torch.pi / self.length_angstrom) * (shifts_angstrom @ self.plane.T)
        return torch.polar(torch.ones_like(phase), phase)

    def ctf(self, batch: NDArray[np.intp]) -> Tensor:
        """CTFs ``(n, m)`` of particles."""
        return self.tensor(self.particles.ctf.subset(batch).at(self._frequencies_per_angstrom))

    @cached_property
    def noise_groups(self) -> Tensor:
        """``(n,)`` number of the noise spectrum of each particle.

        One for each half set and optics group; small optics groups share theirs.
        """
        numbers = self.particles.optics_groups * 2 + self.particles.half_sets - 1
        small = np.bincount(numbers)[numbers] < FEWEST_IN_NOISE_GROUP
        merged = np.where(small, self.particles.half_sets - 3, numbers)
        _, compact = np.unique(merged, return_inverse=True)
        return torch.from_numpy(compact.astype(np.int64)).to(self.device)

    def in_half_set(self, batch: NDArray[np.intp], number: int) -> Tensor:
        """Return the indices within a batch of the particles of half set 1 or 2."""
        return torch.from_numpy(np.flatnonzero(self.particles.half_sets[batch] == number)).to(self.device)

    def tensor(self, values: NDArray[np.floating]) -> Tensor:
        """Copy an array to the device, in single precision."""
        return torch.from_numpy(np.asarray(values, dtype=np.float32)).to(self.device)

    def _transforms(self, batch: NDArray[np.intp]) -> Tensor:
        images = torch.from_numpy(self.particles.read(batch)).to(self.device)
        box, (x, y) = self.particles.box, self.plane.long().T
        # Only the columns of the band are transformed along y; a phase moves the centre of the image to 0.
        columns = torch.fft.rfft(images, dim=2)[:, :, : self.last + 1]
        spectra = cast("Tensor", torch.fft.fft(columns, dim=1))
        phase = (2 * torch.pi * (box // 2) / box) * (x + y).to(torch.float32)
        return spectra[:, y % box, x] * torch.polar(torch.ones_like(phase), phase)
