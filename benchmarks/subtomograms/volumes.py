"""Subtomograms that are volumes, in a band of spatial frequencies, for the pose correction of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import starfile
import torch

from benchmarks.subtomograms.simulate import ANGLES
from spisonet.geometry.rotations import relion_rotation_matrices
from spisonet.io.mrc import read_volume
from spisonet.misalignment.image_band import ImageBand, Poses

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

ORIGINS = [f"rlnOrigin{axis}Angst" for axis in "XYZ"]


@dataclass(frozen=True)
class Subtomograms:
    """Subtomograms of a STAR file of RELION 3.1 with their half sets.

    Attributes
    ----------
    star, folder : Path
        The STAR file, and the folder that its file names are relative to.
    images, ctfs : list of str
        File names.
    poses : Poses
        With origins ``(x, y, z)``.
    half_sets, optics_groups : ndarray
        ``(n,)``.
    box : int
        Edge in voxels.
    pixel_size_angstrom : float
        Voxel size.
    particle_numbers : None
        As in `ParticleImages`.
    """

    star: Path
    folder: Path
    images: list[str]
    ctfs: list[str]
    poses: Poses
    half_sets: NDArray[np.int64]
    optics_groups: NDArray[np.int64]
    box: int
    pixel_size_angstrom: float
    particle_numbers: None = None  # each is one volume

    def __len__(self) -> int:
        return len(self.images)


def read_subtomograms(star: Path, folder: Path) -> Subtomograms:
    """Read the subtomograms of a refinement."""
    tables = starfile.read(star, always_dict=True)
    table, optics = tables["particles"], tables["optics"].iloc[0]
    rotations = relion_rotation_matrices(*table[ANGLES].to_numpy().T)
    return Subtomograms(
        star,
        folder,
        list(table["rlnImageName"]),
        list(table["rlnCtfImage"]),
        Poses(rotations, table[ORIGINS].to_numpy()),
        table["rlnRandomSubset"].to_numpy(np.int64),
        np.zeros(len(table), dtype=np.int64),
        int(optics["rlnImageSize"]),
        float(optics["rlnImagePixelSize"]),
    )


class VolumeBand(ImageBand):
    """Fourier coefficients of subtomograms, as `ImageBand` has those of images.

    Parameters
    ----------
    particles : Subtomograms
        The subtomograms.
    finest_angstrom : float
        End of the band.
    coarsest_angstrom : float
        Start of the band in which likelihoods are compared.
    with_missing_wedge : bool
        Keep the coefficients that no subtomogram measured: zeros, which lower the noise power.
    """

    def __init__(
        self,
        particles: Subtomograms,
        finest_angstrom: float,
        coarsest_angstrom: float = 60.0,
        *,
        with_missing_wedge: bool = False,
    ) -> None:
        self.particles, self.device = particles, torch.device("cpu")  # type: ignore[assignment]
        n = particles.box
        self.length_angstrom = n * particles.pixel_size_angstrom
        self.last = min(int(self.length_angstrom / finest_angstrom), n // 2 - 1)
        self.first = max(1, round(self.length_angstrom / coarsest_angstrom))
        side = np.fft.fftfreq(n) * n
        z, y, x = np.meshgrid(side, side, side[: n // 2], indexing="ij")
        shell = np.rint(np.sqrt(x**2 + y**2 + z**2))
        half_space = (x > 0) | ((x == 0) & ((y > 0) | ((y == 0) & (z > 0))))
        chosen = half_space & (shell <= self.last)
        rows = [self._read(number, chosen) for number in range(len(particles))]
        kept, ctf = (np.stack(values) for values in zip(*rows, strict=True))
        used = np.full(ctf.shape[1], True) if with_missing_wedge else (np.abs(ctf) > 0).any(axis=0)
        self._kept, self._ctf = kept[:, used], ctf[:, used]
        self.plane = self.tensor(np.stack([x[chosen], y[chosen], z[chosen]], axis=1)[used])
        self.shells = torch.from_numpy(shell[chosen][used].astype(np.int64))

    def _read(
        self, number: int, chosen: NDArray[np.bool_]
    ) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
        particles, n = self.particles, self.particles.box
        names = particles.images[number], particles.ctfs[number]  # type: ignore[attr-defined]
        volume, ctf = (read_volume(particles.folder / name).data for name in names)  # type: ignore[attr-defined]
        spectrum = np.fft.rfftn(np.fft.ifftshift(volume))[..., : n // 2]
        half = np.fft.ifftshift(ctf)[..., : n // 2]
        return spectrum[chosen].astype(np.complex64), half[chosen].astype(np.float32)

    def batches(self, points_per_coefficient: int = 1) -> Iterator[NDArray[np.intp]]:
        """Yield consecutive subtomograms, few enough that their coefficients fit into memory."""
        size = max(1, 250_000 // (points_per_coefficient * len(self.plane)))
        for start in range(0, len(self), size):
            yield np.arange(start, min(start + size, len(self)))

    def coefficients(self, batch: NDArray[np.intp], poses: Poses) -> Tensor:
        """Return the coefficients ``(n, m)`` of subtomograms, centred, not multiplied by the CTF."""
        return torch.from_numpy(self._kept[batch]) * self.phases(self.tensor(poses.origins_angstrom[batch]))

    def ctf(self, batch: NDArray[np.intp]) -> Tensor:
        """CTFs ``(n, m)`` of subtomograms; 0 in the missing wedge."""
        return torch.from_numpy(self._ctf[batch])
