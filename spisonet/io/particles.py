"""Particle orientations from RELION STAR files and cryoSPARC ``.cs`` and ``.csg`` files."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.geometry.rotations import relion_rotation_matrices, rotation_vector_matrices
from spisonet.io.cryosparc_tables import GROUP_SUFFIX, TABLE_SUFFIX, read_cryosparc_fields
from spisonet.io.numbers import require_range
from spisonet.io.star import StarFile

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
SUBTOMOGRAM_ANGLES = ("rlnTomoSubtomogramRot", "rlnTomoSubtomogramTilt", "rlnTomoSubtomogramPsi")
# Columns that only subtomograms have.
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
WARP_SUFFIX = ".tomostar"
TOMOGRAM_COLUMNS = ("rlnTomoName", "rlnMicrographName")
DIMENSIONALITY_COLUMN = "rlnImageDimensionality"
VISIBLE_TILTS_COLUMN = "rlnTomoVisibleFrames"
HELICAL_OPTION = "--helix"
HELICAL_LABELS = ("rlnDoHelicalRefine", "rlnHelicalSymmetryLocalRefinement")
CRYOSPARC_POSE_FIELD, SPLIT_FIELD = "alignments3D/pose", "alignments3D/split"
SHAPE_FIELD = "blob/shape"
LARGEST_ROTATION = 1000.0  # radians
PIXEL_SIZE, RELION30_PIXEL_SIZE = "rlnImagePixelSize", ("rlnDetectorPixelSize", "rlnMagnification")
OPTICS_GROUP = "rlnOpticsGroup"
CRYOSPARC_PIXEL_SIZE = "blob/psize_A"
RELATIVE_PIXEL_SIZE_TOLERANCE = 1e-3
MAX_SHOWN = 5


@dataclass(frozen=True)
class PixelSizes:
    """Pixel sizes that a particle file gives, of its optics groups or particles.

    Attributes
    ----------
    column : str or None
        Column or field that they are from; None if there is none.
    values_angstrom : tuple of float
        The sizes that differ by more than a thousandth, in ascending order.
    """

    column: str | None = None
    values_angstrom: tuple[float, ...] = ()

    @classmethod
    def of(cls, column: str, values_angstrom: Iterable[float] | NDArray[np.generic]) -> PixelSizes:
        """Return the sizes in a column; only an invalid one if there are any."""
        values = np.unique(np.asarray(values_angstrom, dtype=np.float64))
        invalid = values[~(np.isfinite(values) & (values > 0))]
        different: list[float] = []
        for value in invalid[:1] if invalid.size else values:
            if not different or value - different[-1] > RELATIVE_PIXEL_SIZE_TOLERANCE * value:
                different.append(float(value))
        return cls(column, tuple(different)) if different else cls()

    @property
    def common_angstrom(self) -> float | None:
        """The size that all share; None if it is unknown, invalid or not equal for all."""
        if len(self.values_angstrom) != 1 or not 0 < self.values_angstrom[0] < np.inf:
            return None
        return self.values_angstrom[0]

    def require_common(self, path: Path, remedy: str) -> float:
        """Return the size that all share.

        Parameters
        ----------
        path : Path
            File of the particles, for the message.
        remedy : str
            What to do otherwise.

        Raises
        ------
        SpisonetError
            If it is unknown, invalid or not equal for all.
        """
        common = self.common_angstrom
        if common is not None:
            return common
        if self.column is None:
            raise SpisonetError(f"{path} gives no pixel size (it has no column {PIXEL_SIZE}); {remedy}.")
        shown = ", ".join(f"{value:g}" for value in self.values_angstrom[:MAX_SHOWN])
        fault = "several pixel sizes" if len(self.values_angstrom) > 1 else "an invalid pixel size"
        raise SpisonetError(f"{path} has {fault} in column {self.column} ({shown} Å); {remedy}.")


@dataclass(frozen=True)
class ParticleOrientations:
    """Orientations of a particle set, with the size and origin of its images.

    Attributes
    ----------
    rotations : ndarray
        ``(n, 3, 3)`` matrices from the map to the frame of the particle's image, acting on column
        vectors ``(x, y, z)``. The z axis of the image frame is the direction of projection.
    pixel_sizes : PixelSizes
        Pixel sizes of the images.
    box : int or None
        Edge of the images in pixels; None if unknown or not equal for all.
    random_subset : ndarray or None
        ``(n,)`` half set of each particle, 1 or 2; None if unknown.
    class_number : ndarray or None
        ``(n,)`` class of each particle, from 1; None if unknown.
    is_subtomogram : bool
        Whether the particles are subtomograms, volumes or tilt series of one particle each. Their
        sampling depends on the tilts, and `rotations` lead to the frame of the tomogram.
    tomograms : ndarray or None
        ``(n,)`` name of the tomogram of each particle; None if unknown.
    visible_tilts : list of ndarray or None
        Boolean array for each particle: tilts of its tomogram in which it is visible; None if all.
    """

    rotations: NDArray[np.float64]
    pixel_sizes: PixelSizes = PixelSizes()
    box: int | None = None
    random_subset: NDArray[np.int64] | None = None
    class_number: NDArray[np.int64] | None = None
    is_subtomogram: bool = False
    tomograms: NDArray[np.str_] | None = None
    visible_tilts: list[NDArray[np.bool_]] | None = None

    def __len__(self) -> int:
        return len(self.rotations)

    @property
    def pixel_size_angstrom(self) -> float | None:
        """Pixel size of all images; None if unknown or not equal for all."""
        return self.pixel_sizes.common_angstrom


def read_particle_orientations(path: Path) -> ParticleOrientations:
    """Read the orientations of a particle set.

    Parameters
    ----------
    path : Path
        A particle STAR file of RELION 3.0 to 5, or a cryoSPARC ``.cs`` or ``.csg`` file.

    Raises
    ------
    SpisonetError
        If the file is missing or unreadable, or contains no particles or no orientations.
    """
    if not path.is_file():
        raise SpisonetError(f"{path} does not exist.")
    is_of_cryosparc = path.suffix.lower() in (TABLE_SUFFIX, GROUP_SUFFIX)
    return _read_cryosparc(path) if is_of_cryosparc else _read_relion(path)


def _read_relion(path: Path) -> ParticleOrientations:
    particles, optics = particle_tables(path)
    if particles.empty:
        raise SpisonetError(f"{path} contains no particles.")
    has_subtomogram_angles = set(SUBTOMOGRAM_ANGLES) <= set(particles.columns)
    if has_subtomogram_angles and set(ANGLES).isdisjoint(particles.columns):
        matrices = np.broadcast_to(np.eye(3), (len(particles), 3, 3))  # not yet refined
    else:
        matrices = relion_rotation_matrices(*(numbers(path, particles, column) for column in ANGLES))
    if has_subtomogram_angles:
        # In RELION the particle matrix leads to the box, the subtomogram matrix from the box to the tomogram.
        angles = (numbers(path, particles, column) for column in SUBTOMOGRAM_ANGLES)
        matrices = relion_rotation_matrices(*angles) @ matrices
    subset, class_number = (
        numbers(path, particles, column).astype(np.int64) if column in particles else None
        for column in ("rlnRandomSubset", "rlnClassNumber")
    )
    box = _common(numbers(path, optics, "rlnImageSize")) if "rlnImageSize" in optics else None
    return ParticleOrientations(
        rotations=matrices,
        pixel_sizes=relion_pixel_sizes(path, particles, optics),
        box=None if box is None else round(box),
        random_subset=subset,
        class_number=class_number,
        is_subtomogram=_are_volumes(path, optics) or not SUBTOMOGRAM_COLUMNS.isdisjoint(particles.columns),
        tomograms=_tomograms(particles),
        visible_tilts=_visible_tilts(path, particles),
    )


def _are_volumes(path: Path, optics: pd.DataFrame) -> bool:
    return DIMENSIONALITY_COLUMN in optics and bool((numbers(path, optics, DIMENSIONALITY_COLUMN) == 3).any())


def _tomograms(particles: pd.DataFrame) -> NDArray[np.str_] | None:
    column = next((name for name in TOMOGRAM_COLUMNS if name in particles), None)
    return None if column is None else np.array([tomogram_name(name) for name in particles[column]])


def tomogram_name(name: object) -> str:
    """Return the name of a tomogram as in all tables of a project: Warp adds ``.tomostar`` to some."""
    return str(name).removesuffix(WARP_SUFFIX)


def _visible_tilts(path: Path, particles: pd.DataFrame) -> list[NDArray[np.bool_]] | None:
    if VISIBLE_TILTS_COLUMN not in particles:
        return None
    texts = [str(value) for value in particles[VISIBLE_TILTS_COLUMN]]
    try:
        return [np.array([float(word) for word in text.strip("[]").split(",")]) > 0 for text in texts]
    except ValueError as error:
        raise SpisonetError(
            f"{path} has an invalid value in column {VISIBLE_TILTS_COLUMN}: expected a list of 0 and 1."
        ) from error


def is_helical_refinement(path: Path) -> bool:
    """Return whether a particle STAR file was written by a helical refinement of RELION.

    Its optimiser file, ``run_optimiser.star`` beside ``run_data.star``, has the label of helical refinements
    or the option ``--helix`` in its header.
    """
    optimiser = path.with_name(f"{path.stem.removesuffix('data')}optimiser.star")
    if optimiser == path or not optimiser.is_file():
        return False
    with optimiser.open(encoding="utf-8", errors="replace") as file:
        header = itertools.takewhile(lambda line: line.startswith("#") or not line.strip(), file)
        words = " ".join(header).split()
    star = StarFile(optimiser)
    return HELICAL_OPTION in words or any(str(star.value(label, 0)) == "1" for label in HELICAL_LABELS)


def particle_tables(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables of particles and of optics groups; the latter is empty before RELION 3.1."""
    import pandas as pd  # noqa: PLC0415 - slow to import

    tables = StarFile(path, TOMOGRAM_COLUMNS).tables
    if not tables:
        raise SpisonetError(f"{path} is not a particle STAR file: it contains no table.")
    optics = tables.get("optics", pd.DataFrame())
    tilt_columns = {ANGLES[1], SUBTOMOGRAM_ANGLES[1]}
    with_angles = [table for table in tables.values() if not tilt_columns.isdisjoint(table.columns)]
    particles = tables["particles"] if "particles" in tables else next(iter(with_angles), None)
    if particles is None:
        raise SpisonetError(
            f"{path} has no column {ANGLES[1]}; give a particle STAR file of a 3D refinement."
        )
    return particles, optics


def numbers(path: Path, table: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """Return a column of numbers.

    Raises
    ------
    SpisonetError
        If the column is missing, or a value is not a finite number in the range of the column.
    """
    if column not in table:
        raise SpisonetError(f"{path} has no column {column}; give a particle STAR file of a 3D refinement.")
    try:
        values: NDArray[np.float64] = table[column].to_numpy(dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise SpisonetError(f"{path} has a value in column {column} that is not a number.") from error
    require_range(path, column, values)
    return values


def relion_pixel_sizes(path: Path, particles: pd.DataFrame, optics: pd.DataFrame) -> PixelSizes:
    """Return the pixel sizes that a STAR file gives, of optics groups or particles."""
    if {PIXEL_SIZE, OPTICS_GROUP} <= set(optics) and OPTICS_GROUP in particles:
        optics = optics[optics[OPTICS_GROUP].isin(particles[OPTICS_GROUP])]  # others may be left from a join
    for table in (optics, particles):
        if PIXEL_SIZE in table:
            return PixelSizes.of(PIXEL_SIZE, numbers(path, table, PIXEL_SIZE))
    detector, magnification = RELION30_PIXEL_SIZE
    if {detector, magnification} <= set(particles.columns):
        pixel_size_micrometre = numbers(path, particles, detector)
        with np.errstate(divide="ignore", invalid="ignore"):
            sizes = pixel_size_micrometre * 1e4 / numbers(path, particles, magnification)
        return PixelSizes.of(detector, sizes)
    return PixelSizes()


def _read_cryosparc(path: Path) -> ParticleOrientations:
    fields = read_cryosparc_fields(path)
    if CRYOSPARC_POSE_FIELD not in fields:
        raise SpisonetError(
            f"{path} has no field {CRYOSPARC_POSE_FIELD}; give the particles of a 3D refinement."
        )
    if len(fields[CRYOSPARC_POSE_FIELD]) == 0:
        raise SpisonetError(f"{path} contains no particles.")
    for name in (CRYOSPARC_POSE_FIELD, SHAPE_FIELD, CRYOSPARC_PIXEL_SIZE, SPLIT_FIELD):
        if name in fields and fields[name].dtype.kind not in "fiu":
            raise SpisonetError(f"{path} has a field {name} that does not contain numbers.")
    poses = np.asarray(fields[CRYOSPARC_POSE_FIELD], dtype=np.float64)
    if poses.shape[1:] != (3,) or not (np.abs(poses) <= LARGEST_ROTATION).all():
        raise SpisonetError(f"{path} has unreadable rotation vectors in field {CRYOSPARC_POSE_FIELD}.")
    split = fields[SPLIT_FIELD] if SPLIT_FIELD in fields else None
    if split is not None and (split.ndim != 1 or not np.isin(split, (0, 1)).all()):
        raise SpisonetError(f"{path} has half sets in field {SPLIT_FIELD} that are not 0 or 1.")
    shape = _common(fields[SHAPE_FIELD].ravel()) if SHAPE_FIELD in fields else None
    return ParticleOrientations(
        # A cryoSPARC pose rotates the image frame to the map (as interpreted by pyem's csparc2star).
        rotations=rotation_vector_matrices(poses).transpose(0, 2, 1),
        pixel_sizes=PixelSizes.of(CRYOSPARC_PIXEL_SIZE, fields[CRYOSPARC_PIXEL_SIZE])
        if CRYOSPARC_PIXEL_SIZE in fields
        else PixelSizes(),
        box=None if shape is None else round(shape),
        random_subset=None if split is None else split.astype(np.int64) + 1,
    )


def _common(values: NDArray[np.generic]) -> float | None:
    """Return the positive number that all elements equal; None if they differ."""
    different = np.unique(np.asarray(values, dtype=np.float64))
    return float(different[0]) if len(different) == 1 and 0 < different[0] < np.inf else None
