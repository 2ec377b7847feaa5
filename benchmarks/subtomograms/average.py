"""Half maps by averaging the odd and the even subtomograms of a STAR file at their poses.

    average.py PARTICLES.star OUT --folder FOLDER                              volumes of RELION 3.1
    average.py PARTICLES.star OUT --folder FOLDER --tomograms TOMOGRAMS.star   stacks of RELION 5 or Warp

writes OUT/half1.mrc and OUT/half2.mrc. File names in the STAR file are relative to FOLDER.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import mrcfile
import numpy as np

from spisonet.io.mrc import Volume, read_volume, write_volume
from spisonet.io.particles import read_particle_orientations
from spisonet.io.star import StarFile
from spisonet.misalignment.backprojection import BackProjector
from spisonet.misalignment.tilt_images import read_tilt_series

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.io.particles import ParticleOrientations

PADDING = 2
PRIOR_FRACTION = 0.1  # weight of the prior relative to the mean weight of its shell
ORIGINS = [f"rlnOrigin{axis}Angst" for axis in "XYZ"]


class Accumulators:
    """Data and weight accumulators, filled by trilinear insertion of images or volumes.

    Parameters
    ----------
    box : int
        Edge of the particles.
    dimensionality : int
        2 for images, 3 for volumes.
    """

    def __init__(self, box: int, dimensionality: int) -> None:
        self.box, self.padded, self.dimensionality = box, PADDING * box, dimensionality
        self.data = np.zeros((self.padded,) * 3, dtype=np.complex128)
        self.weight = np.zeros((self.padded,) * 3)
        axes = [np.fft.fftfreq(box) * box] * (dimensionality - 1) + [np.arange(box // 2 + 1)]
        grid = np.meshgrid(*axes, indexing="ij")[::-1]  # x first
        self.inside = np.sqrt(sum(axis**2 for axis in grid)) < box // 2
        self.frequencies = np.zeros((int(self.inside.sum()), 3))
        self.frequencies[:, :dimensionality] = np.stack([axis[self.inside] for axis in grid], axis=1)

    def insert(
        self,
        particle: NDArray[np.floating],
        ctf: NDArray[np.floating],
        rotation: NDArray[np.float64],
        shift: NDArray[np.float64] | None = None,
        premultiplied: bool = False,
    ) -> None:
        """Insert a particle.

        Parameters
        ----------
        particle : ndarray
            Image or volume about voxel ``box // 2``.
        ctf : ndarray
            CTF as a half spectrum with DC at index 0.
        rotation : ndarray
            ``(3, 3)`` from the map to the particle.
        shift : ndarray, optional
            ``(x, y, z)`` in voxels that centres the particle.
        premultiplied : bool
            Whether the particle is already multiplied by its CTF.
        """
        axes = tuple(range(self.dimensionality))
        spectrum = np.fft.rfftn(np.fft.ifftshift(particle), axes=axes)[self.inside] / particle.size
        amplitude = ctf[self.inside]
        if shift is not None:
            spectrum = spectrum * np.exp(-2j * np.pi / self.box * (self.frequencies @ shift))
        values = spectrum if premultiplied else spectrum * amplitude
        position = PADDING * self.frequencies @ rotation
        # The half spectrum contains both Friedel mates where the last axis is 0.
        multiplicity = np.where(self.frequencies[:, 0] == 0, 0.5, 1.0)
        for sign in (1, -1):
            low = np.floor(sign * position).astype(int)
            part = sign * position - low
            signed = values if sign == 1 else values.conj()
            for corner in np.ndindex(2, 2, 2):
                near = multiplicity * np.prod(np.where(corner, part, 1 - part), axis=1)
                x, y, z = ((low + corner) % self.padded).T
                np.add.at(self.data, (z, y, x), near * signed)
                np.add.at(self.weight, (z, y, x), near * amplitude**2)

    def back_projector(self) -> BackProjector:
        """Return RELION's accumulators, with a prior of a tenth of the mean weight of every shell."""
        half = self.padded // 2 + 1
        data, weight = self.data[..., :half], self.weight[..., :half]
        axis = np.fft.fftfreq(self.padded) * self.box
        radius = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis[:half] ** 2)
        shell = np.rint(radius).astype(int)
        mean = np.bincount(shell.ravel(), weight.ravel()) / np.bincount(shell.ravel())
        tau2 = 1 / (PADDING**3 * PRIOR_FRACTION * np.maximum(mean[: self.box // 2 + 1], 1e-6))
        return BackProjector(
            data.astype(np.complex64),
            weight.astype(np.float32),
            tau2,
            self.box,
            PADDING,
            self.box // 2 - 1,
            data_dimensionality=self.dimensionality,
        )


def average_volumes(star: Path, folder: Path) -> list[Volume]:
    """Average volumes with CTF volumes, the subtomograms of RELION 3.1."""
    particles, table = read_particle_orientations(star), StarFile(star).tables["particles"]
    box, voxel_size = _sizes(particles)
    halves = [Accumulators(box, 3), Accumulators(box, 3)]
    shifts = table[ORIGINS].to_numpy(float) / voxel_size
    for number, (name, ctf_name) in enumerate(zip(table["rlnImageName"], table["rlnCtfImage"], strict=True)):
        volume, ctf = (read_volume(folder / str(part), voxel_size).data for part in (name, ctf_name))
        half = np.fft.ifftshift(ctf)[..., : box // 2 + 1]
        halves[number % 2].insert(volume, half, particles.rotations[number], shifts[number])
    return [Volume(half.back_projector().reconstruct(), voxel_size) for half in halves]


def average_stacks(star: Path, folder: Path, tomograms: Path) -> list[Volume]:
    """Average stacks of tilt images that are centred and already multiplied by their CTF."""
    particles, series = read_particle_orientations(star), read_tilt_series(tomograms)
    box, voxel_size = _sizes(particles)
    assert particles.visible_tilts is not None
    assert particles.tomograms is not None
    halves = [Accumulators(box, 2), Accumulators(box, 2)]
    ky, kx = np.meshgrid(np.fft.fftfreq(box), np.fft.rfftfreq(box), indexing="ij")
    frequencies = np.stack([kx.ravel(), ky.ravel()], axis=1) / voxel_size
    for number, name in enumerate(StarFile(star).tables["particles"]["rlnImageName"]):
        tilts = series[str(particles.tomograms[number])]
        with mrcfile.open(folder / str(name), permissive=True) as mrc:
            stack = mrc.data.astype(np.float64)
        visible = np.flatnonzero(particles.visible_tilts[number])
        # RELION 5 writes only the visible tilts, Warp all tilts.
        images = stack if len(stack) == len(visible) else stack[visible]
        ctfs = tilts.ctf.subset(visible).at(frequencies).reshape(len(visible), box, -1)
        for tilt, image, ctf in zip(visible, images, ctfs, strict=True):
            rotation = tilts.rotations[tilt] @ particles.rotations[number]
            halves[number % 2].insert(image, ctf, rotation, premultiplied=True)
    return [Volume(half.back_projector().reconstruct(), voxel_size) for half in halves]


def _sizes(particles: ParticleOrientations) -> tuple[int, float]:
    assert particles.box is not None
    assert particles.pixel_size_angstrom is not None
    return particles.box, particles.pixel_size_angstrom


def main() -> None:
    """Average from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("particles", "out"):
        parser.add_argument(name, type=Path)
    for name in ("--folder", "--tomograms"):
        parser.add_argument(name, type=Path)
    args = parser.parse_args()
    folder = args.folder or args.particles.parent
    if args.tomograms is None:
        halves = average_volumes(args.particles, folder)
    else:
        halves = average_stacks(args.particles, folder, args.tomograms)
    args.out.mkdir(parents=True, exist_ok=True)
    for number, half in enumerate(halves, start=1):
        write_volume(args.out / f"half{number}.mrc", half)


if __name__ == "__main__":
    main()
