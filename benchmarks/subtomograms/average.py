"""Half maps from stacks of tilt images, of RELION 5 or Warp, at the poses of the particles' STAR file.

    average.py PARTICLES.star TOMOGRAMS.star STACKS_FOLDER OUT

writes OUT/half1.mrc and OUT/half2.mrc from the odd and the even particles.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import mrcfile
import numpy as np

from spisonet.io.mrc import Volume, write_volume
from spisonet.io.particles import read_particle_orientations
from spisonet.io.star import StarFile
from spisonet.misalignment.backprojection import Backprojection

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

PADDING = 2
PRIOR_SHARE = 0.1  # of the mean weight of its shell that the prior is worth
ROWS = [f"rlnTomoProj{axis}" for axis in "XYZ"]


def ctf_of_tilts(tilts: pd.DataFrame, optics: pd.Series, box: int, voxel_size: float) -> NDArray[np.float64]:
    """CTF of every tilt, ``(n_tilts, n, n // 2 + 1)`` with DC at index 0.

    References
    ----------
    Rohou & Grigorieff (2015) J. Struct. Biol. 192, 216-221 (astigmatism and phase).
    """
    volts = 1e3 * optics["rlnVoltage"]
    wavelength = 12.2643 / np.sqrt(volts * (1 + 0.978466e-6 * volts))  # Å
    ky, kx = (k / voxel_size for k in np.meshgrid(np.fft.fftfreq(box), np.fft.rfftfreq(box), indexing="ij"))
    squared = kx**2 + ky**2
    u, v, angle = (
        tilts[label].to_numpy(float)[:, None, None]
        for label in ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")
    )
    defocus = (u + v) / 2 + (u - v) / 2 * np.cos(2 * (np.arctan2(ky, kx) - np.radians(angle)))
    spherical = optics["rlnSphericalAberration"] * 1e7
    phase = np.pi * wavelength * squared * (defocus - 0.5 * wavelength**2 * squared * spherical)
    return -np.sin(phase + np.arcsin(optics["rlnAmplitudeContrast"]))


class Sums:
    """Trilinear insertion of central slices into a padded transform."""

    def __init__(self, box: int) -> None:
        self.box, self.padded = box, PADDING * box
        self.data = np.zeros((self.padded,) * 3, dtype=np.complex128)
        self.weight = np.zeros((self.padded,) * 3)
        ky, kx = np.meshgrid(np.fft.fftfreq(box) * box, np.fft.rfftfreq(box) * box, indexing="ij")
        self.inside = np.hypot(kx, ky) < box // 2
        self.frequencies = np.stack([kx, ky, np.zeros_like(kx)], axis=-1)[self.inside]

    def insert(
        self, slice_rfft: NDArray[np.complex128], weight: NDArray[np.float64], rotation: NDArray[np.float64]
    ) -> None:
        """Insert a slice, weighted already, and its weight; the rotation leads from the map to the image."""
        position = PADDING * self.frequencies @ rotation
        values, weights = slice_rfft[self.inside], weight[self.inside]
        # A slice stands for its Friedel mates as well, but those within it are there twice.
        share = np.where(self.frequencies[:, 0] == 0, 0.5, 1.0)
        for sign in (1, -1):
            low = np.floor(sign * position).astype(int)
            part = sign * position - low
            signed = values if sign == 1 else values.conj()
            for corner in np.ndindex(2, 2, 2):
                near = share * np.prod(np.where(corner, part, 1 - part), axis=1)
                x, y, z = ((low + corner) % self.padded).T
                np.add.at(self.data, (z, y, x), near * signed)
                np.add.at(self.weight, (z, y, x), near * weights)

    def backprojection(self) -> Backprojection:
        """Return the sums as RELION keeps them, with a prior of a tenth of every shell's weight."""
        half = self.padded // 2 + 1
        data, weight = self.data[..., :half], self.weight[..., :half]
        axis = np.fft.fftfreq(self.padded) * self.box
        radius = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis[:half] ** 2)
        shell = np.rint(radius).astype(int)
        mean = np.bincount(shell.ravel(), weight.ravel()) / np.bincount(shell.ravel())
        n = self.box // 2 + 1
        tau2 = 1 / (PADDING**3 * PRIOR_SHARE * np.maximum(mean[:n], 1e-6))
        return Backprojection(
            data.astype(np.complex64), weight.astype(np.float32), tau2, self.box, PADDING, self.box // 2 - 1
        )


def average(star: Path, tomograms: Path, folder: Path) -> list[Volume]:
    """Reconstruct the odd and the even particles."""
    particles, lists = read_particle_orientations(star), StarFile(tomograms)
    table = StarFile(star).tables["particles"]
    overview = lists.tables["global"].set_index("rlnTomoName")
    box, voxel_size = particles.box, particles.pixel_size_angstrom
    assert box is not None
    assert voxel_size is not None
    assert particles.visible_tilts is not None
    assert particles.tomograms is not None
    centre = np.exp(2j * np.pi * (box // 2) / box * np.fft.fftfreq(box) * box)
    shift = centre[:, None] * centre[None, : box // 2 + 1]
    halves = [Sums(box), Sums(box)]
    ready = {}
    for name in overview.index:
        tilts = lists.tables[str(name)]
        matrices = np.array(
            [
                [[float(word) for word in row.strip("[]").split(",")[:3]] for row in tilts[label]]
                for label in ROWS
            ]
        ).transpose(1, 0, 2)
        matrices /= np.linalg.norm(matrices, axis=2, keepdims=True)
        ready[str(name)] = matrices, ctf_of_tilts(tilts, overview.loc[name], box, voxel_size)
    for number, image in enumerate(table["rlnImageName"]):
        matrices, ctf = ready[str(particles.tomograms[number])]
        with mrcfile.open(
            folder / Path(str(image)).relative_to(Path(str(image)).parts[0]), permissive=True
        ) as mrc:
            stack = mrc.data.astype(np.float64)
        for tilt in np.flatnonzero(particles.visible_tilts[number]):
            spectrum = np.fft.rfft2(stack[tilt]) * shift / box**2
            rotation = matrices[tilt] @ particles.rotations[number]
            halves[number % 2].insert(spectrum, ctf[tilt] ** 2, rotation)
    return [Volume(half.backprojection().reconstruct(), voxel_size) for half in halves]


def main() -> None:
    """Average from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("particles", "tomograms", "stacks", "out"):
        parser.add_argument(name, type=Path)
    words = parser.parse_args()
    words.out.mkdir(parents=True, exist_ok=True)
    for number, half in enumerate(average(words.particles, words.tomograms, words.stacks), start=1):
        write_volume(words.out / f"half{number}.mrc", half)


if __name__ == "__main__":
    main()
