"""Particle orientations from RELION STAR files and cryoSPARC ``.cs`` files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.geometry.rotations import relion_rotation_matrices, rotation_vector_matrices
from spisonet.io.star import StarFile

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

CRYOSPARC_SUFFIX = ".cs"
ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
SUBTOMOGRAM_ANGLES = ("rlnTomoSubtomogramRot", "rlnTomoSubtomogramTilt", "rlnTomoSubtomogramPsi")
# Columns that only particles with a third dimension have.
SUBTOMOGRAM_COLUMNS = frozenset(
    {
        *SUBTOMOGRAM_ANGLES,
        "rlnTomoName",
        "rlnTomoParticleName",
        "rlnCoordinateZ",
        "rlnOriginZ",
        "rlnOriginZAngst",
        "rlnCtfImage",
    }
)
TOMOGRAM_COLUMNS = ("rlnTomoName", "rlnMicrographName")
DIMENSIONALITY = "rlnImageDimensionality"
VISIBLE_TILTS = "rlnTomoVisibleFrames"
POSE = "alignments3D/pose"
RELATIVE_PIXEL_SIZE_TOLERANCE = 1e-3


@dataclass(frozen=True)
class ParticleOrientations:
    """Orientations of a particle set, and what else its file says of the images.

    Attributes
    ----------
    rotations : ndarray
        ``(n, 3, 3)`` matrices that carry column vectors ``(x, y, z)`` of the map to the frame of
        the particle's image, whose z axis is the direction of projection.
    pixel_size_angstrom : float or None
        Pixel size of the images; None if unknown or not the same for all.
    box : int or None
        Edge of the images in pixels; None if unknown or not the same for all.
    random_subset : ndarray or None
        ``(n,)`` half set of each particle, 1 or 2.
    is_subtomogram : bool
        The particles are volumes, or the tilt series of one particle each; a single view
        direction does not describe what they measured, and `rotations` lead to the tomogram's frame.
    tomograms : ndarray or None
        ``(n,)`` name of the tomogram of each.
    visible_tilts : list of ndarray or None
        For each, which of the tilts of its tomogram show it; None if all do.
    """

    rotations: NDArray[np.float64]
    pixel_size_angstrom: float | None = None
    box: int | None = None
    random_subset: NDArray[np.int64] | None = None
    is_subtomogram: bool = False
    tomograms: NDArray[np.str_] | None = None
    visible_tilts: list[NDArray[np.bool_]] | None = None

    def __len__(self) -> int:
        return len(self.rotations)


def read_particle_orientations(path: Path) -> ParticleOrientations:
    """Read the orientations of a particle set.

    Parameters
    ----------
    path : Path
        A particle STAR file of RELION 3.0 to 5, or a cryoSPARC ``.cs`` file.

    Raises
    ------
    SpisonetError
        If the file is missing or unreadable, or holds no particles or no orientations.
    """
    if not path.is_file():
        raise SpisonetError(f"{path} does not exist.")
    return _read_cryosparc(path) if path.suffix.lower() == CRYOSPARC_SUFFIX else _read_relion(path)


def _read_relion(path: Path) -> ParticleOrientations:
    particles, optics = _particle_tables(path)
    if particles.empty:
        raise SpisonetError(f"{path} holds no particles.")
    of_boxes = set(SUBTOMOGRAM_ANGLES) <= set(particles.columns)
    if of_boxes and set(ANGLES).isdisjoint(particles.columns):
        matrices = np.broadcast_to(np.eye(3), (len(particles), 3, 3))  # not refined yet
    else:
        matrices = relion_rotation_matrices(*(_numbers(path, particles, column) for column in ANGLES))
    if of_boxes:
        # RELION: the particle's matrix leads to the box, the subtomogram's from there to the tomogram.
        box_angles = (_numbers(path, particles, column) for column in SUBTOMOGRAM_ANGLES)
        matrices = relion_rotation_matrices(*box_angles) @ matrices
    subset = None
    if "rlnRandomSubset" in particles:
        subset = _numbers(path, particles, "rlnRandomSubset").astype(np.int64)
    box = _common(_numbers(path, optics, "rlnImageSize")) if "rlnImageSize" in optics else None
    return ParticleOrientations(
        rotations=matrices,
        pixel_size_angstrom=_common(_relion_pixel_sizes(path, particles, optics)),
        box=None if box is None else round(box),
        random_subset=subset,
        is_subtomogram=_are_volumes(path, optics) or not SUBTOMOGRAM_COLUMNS.isdisjoint(particles.columns),
        tomograms=_tomograms(particles),
        visible_tilts=_visible_tilts(path, particles),
    )


def _are_volumes(path: Path, optics: pd.DataFrame) -> bool:
    return DIMENSIONALITY in optics and bool((_numbers(path, optics, DIMENSIONALITY) == 3).any())


def _tomograms(particles: pd.DataFrame) -> NDArray[np.str_] | None:
    named = next((column for column in TOMOGRAM_COLUMNS if column in particles), None)
    return None if named is None else particles[named].to_numpy(dtype=str)


def _visible_tilts(path: Path, particles: pd.DataFrame) -> list[NDArray[np.bool_]] | None:
    if VISIBLE_TILTS not in particles:
        return None
    texts = particles[VISIBLE_TILTS].astype(str)
    try:
        return [np.array([int(word) for word in text.strip("[]").split(",")]) > 0 for text in texts]
    except ValueError as error:
        raise SpisonetError(f"{path} holds a {VISIBLE_TILTS} that is no list of 0 and 1.") from error


def _particle_tables(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the table of particles and that of optics groups (without rows before RELION 3.1)."""
    import pandas as pd  # noqa: PLC0415 - slow to import

    tables = StarFile(path, TOMOGRAM_COLUMNS).tables
    if not tables:
        raise SpisonetError(f"{path} is not a particle STAR file: it holds no table.")
    optics = tables.get("optics", pd.DataFrame())
    orienting = {ANGLES[1], SUBTOMOGRAM_ANGLES[1]}
    with_angles = [table for table in tables.values() if not orienting.isdisjoint(table.columns)]
    particles = tables["particles"] if "particles" in tables else next(iter(with_angles), None)
    if particles is None:
        raise SpisonetError(
            f"{path} has no column {ANGLES[1]}; give a particle STAR file of a 3D refinement."
        )
    return particles, optics


def _numbers(path: Path, table: pd.DataFrame, column: str) -> NDArray[np.float64]:
    if column not in table:
        raise SpisonetError(f"{path} has no column {column}; give a particle STAR file of a 3D refinement.")
    try:
        values: NDArray[np.float64] = table[column].to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SpisonetError(f"{path} holds something other than numbers in column {column}.") from error
    if not np.isfinite(values).all():
        raise SpisonetError(f"{path} has missing or infinite values in column {column}.")
    return values


def _relion_pixel_sizes(
    path: Path, particles: pd.DataFrame, optics: pd.DataFrame
) -> Iterable[float] | NDArray[np.float64]:
    for table in (optics, particles):
        if "rlnImagePixelSize" in table:
            return _numbers(path, table, "rlnImagePixelSize")
    if {"rlnDetectorPixelSize", "rlnMagnification"} <= set(particles.columns):
        micrometres = _numbers(path, particles, "rlnDetectorPixelSize")
        with np.errstate(divide="ignore", invalid="ignore"):
            return micrometres * 1e4 / _numbers(path, particles, "rlnMagnification")
    return ()


def _read_cryosparc(path: Path) -> ParticleOrientations:
    try:
        table = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise SpisonetError(f"{path} is not a readable cryoSPARC file: {str(error).rstrip('.')}.") from error
    fields = getattr(table, "dtype", np.dtype(float)).names or ()
    if POSE not in fields:
        raise SpisonetError(f"{path} has no field {POSE}; give the particles of a 3D refinement.")
    if len(table) == 0:
        raise SpisonetError(f"{path} holds no particles.")
    poses = np.asarray(table[POSE], dtype=np.float64)
    if poses.shape[1:] != (3,) or not np.isfinite(poses).all():
        raise SpisonetError(f"{path} has unreadable rotation vectors in field {POSE}.")
    shape = _common(table["blob/shape"].ravel()) if "blob/shape" in fields else None
    return ParticleOrientations(
        # A cryoSPARC pose turns the image into the map; the same reading as pyem's csparc2star.
        rotations=rotation_vector_matrices(poses).transpose(0, 2, 1),
        pixel_size_angstrom=_common(table["blob/psize_A"]) if "blob/psize_A" in fields else None,
        box=None if shape is None else round(shape),
        random_subset=table["alignments3D/split"].astype(np.int64) + 1
        if "alignments3D/split" in fields
        else None,
    )


def _common(values: Iterable[float] | NDArray[np.generic]) -> float | None:
    """Return the value that all share, or None."""
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.size == 0 or not np.isfinite(numbers).all() or numbers.min() <= 0:
        return None
    spread = float(numbers.max() - numbers.min())
    return None if spread > RELATIVE_PIXEL_SIZE_TOLERANCE * numbers.max() else float(numbers[0])
