"""Images of particles with their poses, half sets and CTF, from the STAR files of RELION 3.0 to 5."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spisonet.analysis.particle_views import random_subset
from spisonet.errors import SpisonetError
from spisonet.fourier.ctf import AstigmaticCtf
from spisonet.geometry.rotations import relion_rotation_matrices
from spisonet.io.mrc_file import open_mrc
from spisonet.io.particles import (
    ANGLES,
    DIMENSIONALITY_COLUMN,
    OPTICS_GROUP,
    SUBTOMOGRAM_COLUMNS,
    numbers,
    particle_tables,
    relion_pixel_sizes,
)

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from spisonet.io.mrc_file import MrcFile

IMAGE_COLUMN, SUBSET_COLUMN = "rlnImageName", "rlnRandomSubset"
ORIGINS_ANGSTROM = ("rlnOriginXAngst", "rlnOriginYAngst")
ORIGINS_PIXEL = ("rlnOriginX", "rlnOriginY")
PREMULTIPLIED_COLUMN = "rlnCtfDataAreCtfPremultiplied"
ONE_SIZE = "images of one pixel size are needed"
ABERRATIONS = ("rlnBeamTiltX", "rlnBeamTiltY", "rlnOddZernike", "rlnEvenZernike", "rlnMagMat00")
OPEN_STACKS = 64  # headers that are kept
NO_VALUE = 1e-6


@dataclass(frozen=True)
class ParticleImages:
    """Particles with their images on disk.

    Attributes
    ----------
    star : Path
        The STAR file.
    rotations : ndarray
        ``(n, 3, 3)`` matrices from the map to the frame of the image, on column vectors ``(x, y, z)``.
    origins_angstrom : ndarray
        ``(n, 2)`` shift ``(x, y)`` that centres the image.
    half_sets : ndarray
        ``(n,)`` 1 or 2.
    optics_groups : ndarray
        ``(n,)`` number of the optics group, from 0.
    ctf : AstigmaticCtf
        Of each particle.
    premultiplied : ndarray
        ``(n,)`` bool, whether the image is already multiplied by the CTF.
    pixel_size_angstrom : float
        Of the images.
    box : int
        Edge of the images in pixels.
    stacks : tuple of Path
        Files with the images.
    stack_numbers, slice_numbers : ndarray
        ``(n,)`` number of the file, and of the image in it, from 0.
    particle_numbers : ndarray or None
        ``(n,)`` number of the particle of each image, from 0, if the images are tilt images of subtomograms,
        of which several belong to one particle.
    ignored_aberrations : tuple of str
        Columns with aberrations that are present, and not 0, but not applied.
    """

    star: Path
    rotations: NDArray[np.float64]
    origins_angstrom: NDArray[np.float64]
    half_sets: NDArray[np.int64]
    optics_groups: NDArray[np.int64]
    ctf: AstigmaticCtf
    premultiplied: NDArray[np.bool_]
    pixel_size_angstrom: float
    box: int
    stacks: tuple[Path, ...]
    stack_numbers: NDArray[np.int64]
    slice_numbers: NDArray[np.int64]
    particle_numbers: NDArray[np.int64] | None = None
    ignored_aberrations: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.rotations)

    @property
    def n_particles(self) -> int:
        """Number of particles."""
        return len(self) if self.particle_numbers is None else int(self.particle_numbers.max()) + 1

    def random_particles(self, number: int, seed: int) -> ParticleImages:
        """Return a random subset of the particles, with all their images."""
        chosen = random_subset(np.arange(self.n_particles), number, seed)
        if self.particle_numbers is None:
            return self.subset(np.sort(chosen))
        return self.subset(np.isin(self.particle_numbers, chosen))

    def subset(self, chosen: NDArray[np.integer] | NDArray[np.bool_]) -> ParticleImages:
        """Return some of the particles."""
        names = (
            "rotations",
            "origins_angstrom",
            "half_sets",
            "optics_groups",
            "premultiplied",
            "stack_numbers",
            "slice_numbers",
        )
        parts = {name: getattr(self, name)[chosen] for name in names}
        if self.particle_numbers is not None:
            parts["particle_numbers"] = np.unique(self.particle_numbers[chosen], return_inverse=True)[1]
        return replace(self, ctf=self.ctf.subset(chosen), **parts)

    def read(self, chosen: NDArray[np.integer]) -> NDArray[np.float32]:
        """Read images, ``(m, box, box)``.

        Raises
        ------
        SpisonetError
            If a stack is damaged, ends before an image, or contains values that are not finite.
        """
        images = np.empty((len(chosen), self.box, self.box), dtype=np.float32)
        slices, stacks = self.slice_numbers[chosen], self.stack_numbers[chosen]
        start = 0
        while start < len(chosen):
            # Consecutive images of one stack are read at once.
            stop = start + 1
            while (
                stop < len(chosen) and stacks[stop] == stacks[start] and slices[stop] == slices[stop - 1] + 1
            ):
                stop += 1
            stack = _open_stack(self.stacks[stacks[start]])
            if slices[stop - 1] >= stack.shape[0]:
                raise SpisonetError(
                    f"{stack.path} has {stack.shape[0]} images, but {self.star} lists number "
                    f"{slices[stop - 1] + 1}."
                )
            if stack.shape[1:] != (self.box, self.box):
                raise SpisonetError(
                    f"{stack.path} has images of {stack.shape[2]} x {stack.shape[1]} pixels; {self.box} were "
                    "expected."
                )
            images[start:stop] = stack.read(slice(int(slices[start]), int(slices[stop - 1]) + 1))
            if not np.isfinite(images[start:stop]).all():
                raise SpisonetError(
                    f"{stack.path} has values that are not finite in images {slices[start] + 1} to "
                    f"{slices[stop - 1] + 1}."
                )
            start = stop
        return images


def _open_stack(path: Path) -> MrcFile:
    state = path.stat()
    return _header(path, state.st_mtime_ns, state.st_size)


@lru_cache(OPEN_STACKS)
def _header(path: Path, _modified: int, _n_bytes: int) -> MrcFile:
    return open_mrc(path)


def read_particle_images(star: Path, folder: Path | None = None) -> ParticleImages:
    """Read the poses, half sets and CTF of particles, and find their images.

    Parameters
    ----------
    star : Path
        Particle STAR file of a refinement in RELION 3.0 to 5, with ``rlnRandomSubset``.
    folder : Path, optional
        Folder that the names of the images are relative to; otherwise the first of the current folder and the
        parents of the STAR file in which the first image is found.

    Raises
    ------
    SpisonetError
        If the file has no poses, half sets, CTF or images, the images are not 2D, or a file does not exist.
    """
    particles, optics = particle_tables(star)
    if particles.empty:
        raise SpisonetError(f"{star} contains no particles.")
    _require(star, particles, IMAGE_COLUMN, "the images of the particles are needed")
    _require(star, particles, SUBSET_COLUMN, "give the particles of a refinement with two half sets")
    volumes = DIMENSIONALITY_COLUMN in optics and bool(
        (numbers(star, optics, DIMENSIONALITY_COLUMN) != 2).any()
    )
    if volumes or not SUBTOMOGRAM_COLUMNS.isdisjoint(particles.columns):
        raise SpisonetError(f"{star} lists subtomograms; particles with one 2D image each are needed.")
    pixel_size = relion_pixel_sizes(star, particles, optics).require_common(star, ONE_SIZE)
    half_sets = read_half_sets(star, particles)
    stacks, stack_numbers, slice_numbers = _image_files(star, particles, folder)
    groups = optics_rows(star, particles, optics)
    return ParticleImages(
        star=star,
        rotations=relion_rotation_matrices(*(numbers(star, particles, name) for name in ANGLES)),
        origins_angstrom=_origins(star, particles, pixel_size),
        half_sets=half_sets,
        optics_groups=groups,
        ctf=_ctf(star, particles, optics, groups),
        premultiplied=are_premultiplied(star, optics, groups),
        pixel_size_angstrom=pixel_size,
        box=_open_stack(stacks[0]).shape[1],
        stacks=stacks,
        stack_numbers=stack_numbers,
        slice_numbers=slice_numbers,
        ignored_aberrations=_ignored_aberrations(star, particles, optics),
    )


def _require(star: Path, particles: pd.DataFrame, column: str, reason: str) -> None:
    if column not in particles:
        raise SpisonetError(f"{star} has no column {column}; {reason}.")


def _image_files(
    star: Path, particles: pd.DataFrame, folder: Path | None
) -> tuple[tuple[Path, ...], NDArray[np.int64], NDArray[np.int64]]:
    """Return the stacks, and for each particle the number of its stack and of its image in it, from 0."""
    names = [str(name).rpartition("@") for name in particles[IMAGE_COLUMN]]
    stack_names, stack_numbers = np.unique([stack for _, _, stack in names], return_inverse=True)
    try:
        slices = np.array([int(number or "1") for number, _, _ in names], dtype=np.int64) - 1
    except (ValueError, OverflowError) as error:
        raise SpisonetError(f"{star} has an invalid value in column {IMAGE_COLUMN}.") from error
    if (slices < 0).any():
        raise SpisonetError(f"{star} has an image number below 1 in column {IMAGE_COLUMN}.")
    stacks = find_image_files(star, [str(name) for name in stack_names], folder)
    return stacks, stack_numbers.astype(np.int64), slices.astype(np.int64)


def find_image_files(star: Path, names: list[str], folder: Path | None) -> tuple[Path, ...]:
    """Return the paths of the image files that a STAR file names; `folder` as in `read_particle_images`.

    Raises
    ------
    SpisonetError
        If one does not exist (code ``images_not_found``).
    """
    if folder is None:
        candidates = [Path(), *star.absolute().parents]
        folder = next((place for place in candidates if (place / names[0]).is_file()), None)
        if folder is None:
            raise SpisonetError(
                f"{names[0]}, an image file of {star}, does not exist in this folder or in one above "
                "the STAR file.",
                code="images_not_found",
            )
    paths = tuple(folder / name for name in names)
    missing = next((path for path in paths if not path.is_file()), None)
    if missing is not None:
        raise SpisonetError(f"{missing}, an image file of {star}, does not exist.", code="images_not_found")
    return paths


def read_half_sets(star: Path, particles: pd.DataFrame) -> NDArray[np.int64]:
    """Return the half set of each particle, 1 or 2.

    Raises
    ------
    SpisonetError
        If there are others, or one is empty.
    """
    half_sets = numbers(star, particles, SUBSET_COLUMN).astype(np.int64)
    counts = [int((half_sets == number).sum()) for number in (1, 2)]
    if min(counts) == 0 or sum(counts) != len(half_sets):
        raise SpisonetError(f"{star} has half sets other than 1 and 2 in column {SUBSET_COLUMN}.")
    return half_sets


def are_premultiplied(star: Path, optics: pd.DataFrame, groups: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether images of optics groups are already multiplied by their CTF."""
    if PREMULTIPLIED_COLUMN not in optics:
        return np.zeros(len(groups), dtype=bool)
    return np.asarray(numbers(star, optics, PREMULTIPLIED_COLUMN)[groups] != 0)


def optics_rows(star: Path, particles: pd.DataFrame, optics: pd.DataFrame) -> NDArray[np.int64]:
    """Return the row of the optics table of each particle; 0 without optics groups.

    Raises
    ------
    SpisonetError
        If a particle is of a group that is not listed.
    """
    if OPTICS_GROUP not in particles or OPTICS_GROUP not in optics:
        return np.zeros(len(particles), dtype=np.int64)
    listed = numbers(star, optics, OPTICS_GROUP).astype(int)
    rows = {number: row for row, number in enumerate(listed)}
    groups = numbers(star, particles, OPTICS_GROUP).astype(int)
    unknown = sorted(set(groups) - set(rows))
    if unknown:
        raise SpisonetError(f"{star} has particles of optics group {unknown[0]}, which it does not list.")
    return np.array([rows[number] for number in groups], dtype=np.int64)


def _origins(star: Path, particles: pd.DataFrame, pixel_size_angstrom: float) -> NDArray[np.float64]:
    for columns, scale in ((ORIGINS_ANGSTROM, 1.0), (ORIGINS_PIXEL, pixel_size_angstrom)):
        if set(columns) <= set(particles.columns):
            return np.stack([numbers(star, particles, name) * scale for name in columns], axis=1)
    return np.zeros((len(particles), 2))


def _ctf(
    star: Path, particles: pd.DataFrame, optics: pd.DataFrame, groups: NDArray[np.int64]
) -> AstigmaticCtf:
    def value(column: str, default: float | None = None) -> NDArray[np.float64]:
        if column in optics:
            return numbers(star, optics, column)[groups]
        if column in particles or default is None:
            return numbers(star, particles, column)
        return np.full(len(particles), default)

    _require(star, particles, "rlnDefocusU", "particles with CTF parameters are needed")
    return AstigmaticCtf(
        defocus_u_angstrom=value("rlnDefocusU"),
        defocus_v_angstrom=value("rlnDefocusV"),
        defocus_angle_degrees=value("rlnDefocusAngle", 0.0),
        voltage_kilovolt=value("rlnVoltage"),
        cs_millimetre=value("rlnSphericalAberration"),
        amplitude_contrast=value("rlnAmplitudeContrast"),
        phase_shift_degrees=value("rlnPhaseShift", 0.0),
        b_factor=value("rlnCtfBfactor", 0.0),
        scale=value("rlnCtfScalefactor", 1.0),
    )


def _ignored_aberrations(star: Path, particles: pd.DataFrame, optics: pd.DataFrame) -> tuple[str, ...]:
    """Return columns of aberrations that are not applied, if they are not 0."""
    found = []
    for column in ABERRATIONS:
        table = optics if column in optics else particles
        if column not in table:
            continue
        texts = [text for cell in table[column] for text in str(cell).strip("[]").split(",") if text]
        identity = 1.0 if column == "rlnMagMat00" else 0.0
        try:
            values = np.array([float(text) for text in texts])
        except ValueError as error:
            raise SpisonetError(f"{star} has a value in column {column} that is not a number.") from error
        if not (np.abs(values - identity) <= NO_VALUE).all():
            found.append(column)
    return tuple(found)
