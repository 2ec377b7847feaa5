"""Projection directions of tilt series, from the tomogram tables of RELION and Warp."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.geometry.tilts import projection_directions, tilt_series_directions
from spisonet.io.particles import numbers, tomogram_name
from spisonet.io.paths import real_path
from spisonet.io.star import StarFile
from spisonet.io.tilt_angles import require_tilt_range

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

PROJECTION_ROW = "rlnTomoProjZ"  # third row of the matrix from the tomogram to the tilt image
TILT_ANGLES = ("rlnTomoXTilt", "rlnTomoYTilt")
TILT_RANGE, RANGE_STEP_DEGREES = ("rlnTiltMin", "rlnTiltMax"), 3.0  # in tables of isonet.py
SERIES_FILE, NAME = "rlnTomoTiltSeriesStarFile", "rlnTomoName"
PARTICLES_FILE, TOMOGRAMS_FILE = "rlnTomoParticlesFile", "rlnTomoTomogramsFile"


def read_optimisation_set(path: Path, tomograms: Path | None = None) -> tuple[Path, Path] | None:
    """Return the particle and tomogram tables that a RELION ``optimisation_set.star`` lists.

    Parameters
    ----------
    path : Path
        STAR file.
    tomograms : Path, optional
        Tomogram table to use instead of the one that is listed.

    Returns
    -------
    tuple of Path or None
        None if the file is of another kind. Paths are relative to the project, or to the folder of the file.

    Raises
    ------
    SpisonetError
        If it is not a STAR file, or a file that it lists does not exist.
    """
    star = StarFile(path)
    listed = {label: star.value(label) for label in (PARTICLES_FILE, TOMOGRAMS_FILE)}
    if None in listed.values():
        return None
    particles = listed_file(path, PARTICLES_FILE, str(listed[PARTICLES_FILE]))
    return particles, tomograms or listed_file(path, TOMOGRAMS_FILE, str(listed[TOMOGRAMS_FILE]))


def find_tomograms(particles: Path) -> Path | None:
    """Return the tomogram table of a particle table, from the files of the job that wrote it.

    RELION lists both in ``run_optimisation_set.star`` beside ``run_data.star``, or in
    ``optimisation_set.star``. Otherwise ``tomograms.star`` in the same folder is taken; None without it.
    """
    beginning = particles.stem.removesuffix("data")
    for name in (f"{beginning}optimisation_set.star", "optimisation_set.star"):
        path = particles.with_name(name)
        if path.is_file() and (tomograms := StarFile(path).value(TOMOGRAMS_FILE)) is not None:
            return listed_file(path, TOMOGRAMS_FILE, str(tomograms))
    beside = particles.with_name("tomograms.star")
    return beside if beside.is_file() else None


def tilt_tables(star: StarFile) -> dict[str, tuple[Path, pd.DataFrame]]:
    """Return the table of the tilt images of each tomogram, with the file that contains it, by tomogram.

    Parameters
    ----------
    star : StarFile
        ``tomograms.star`` of RELION 4 or Warp (a block for each tomogram) or of RELION 5 (a tilt-series STAR
        file for each tomogram), read with `NAME` and `SERIES_FILE` as text.

    Raises
    ------
    SpisonetError
        If a listed file is missing or contains no table, or a tomogram is listed twice.
    """
    lists = [table for table in star.tables.values() if NAME in table]
    found = {
        tomogram_name(block): (star.path, table) for block, table in star.tables.items() if NAME not in table
    }
    for table in lists:
        names = [tomogram_name(name) for name in table[NAME]]
        if SERIES_FILE not in table:
            if not found.keys().isdisjoint(names):  # otherwise a list of particles, or of isonet.py
                require_unique_series(star.path, names)
            continue
        require_unique_series(star.path, [*names, *found])
        for name, series in zip(names, table[SERIES_FILE], strict=True):
            path = listed_file(star.path, SERIES_FILE, str(series))
            tables = list(StarFile(path).tables.values())
            if not tables:
                raise SpisonetError(f"{path} contains no table of tilt images.")
            found[name] = path, tables[0]
    return found


def read_projection_directions(path: Path) -> dict[str, NDArray[np.float64]]:
    """Read the projection directions of the tilt images of each tomogram.

    Parameters
    ----------
    path : Path
        Tomogram table, see `tilt_tables`; or a table of ``isonet.py``, whose tilt ranges are divided into
        steps of 3 degrees.

    Returns
    -------
    dict
        ``(n_tilts, 3)`` unit vectors ``(x, y, z)`` in the frame of the tomogram, by its `tomogram_name`.

    Raises
    ------
    SpisonetError
        If the file, or a file that it lists, is missing or contains no projection directions, or lists a
        tomogram twice.
    """
    star = StarFile(path, (NAME, SERIES_FILE))
    found: dict[str, NDArray[np.float64]] = {}
    for name, (file, table) in tilt_tables(star).items():
        if PROJECTION_ROW in table:
            found[name] = matrix_rows(file, table, (PROJECTION_ROW,))[:, 0]
        elif file != path or set(TILT_ANGLES) <= set(table):
            found[name] = _from_angles(file, table)
    if not found:
        found = _from_ranges(star)
    if not found:
        raise SpisonetError(
            f"{path} contains no projection directions; give tomograms.star of RELION or Warp."
        )
    return found


def matrix_rows(path: Path, table: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.float64]:
    """Return rows of the rotations in projection matrices, ``(n_tilts, n_columns, 3)`` unit vectors.

    Parameters
    ----------
    path : Path
        File of the table, for messages.
    table : DataFrame
        Tilt images of a tomogram.
    columns : sequence of str
        Columns of rows such as ``[0.5,0,0.87,-200]``, scaled by the binning.

    Raises
    ------
    SpisonetError
        If a value is not a row of a matrix.
    """
    try:
        rows = np.array(
            [
                [[float(word) for word in str(row).strip("[]").split(",")[:3]] for row in table[column]]
                for column in columns
            ]
        ).reshape(len(columns), -1, 3)
    except ValueError as error:
        raise SpisonetError(
            f"{path} contains an invalid value in {', '.join(columns)} (not a row of a matrix)."
        ) from error
    lengths = np.linalg.norm(rows, axis=2, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise SpisonetError(f"{path} contains an invalid value in {', '.join(columns)} (not a direction).")
    return np.asarray((rows / lengths).transpose(1, 0, 2))


def _from_angles(path: Path, table: pd.DataFrame) -> NDArray[np.float64]:
    if not set(TILT_ANGLES) <= set(table):
        raise SpisonetError(f"{path} has no columns {', '.join(TILT_ANGLES)}.")
    x, y = (numbers(path, table, column) for column in TILT_ANGLES)
    return projection_directions(y, x)


def _from_ranges(star: StarFile) -> dict[str, NDArray[np.float64]]:
    """Return evenly spaced tilts of the tilt ranges in a table of ``isonet.py``, by tomogram."""
    found = {}
    for table in star.tables.values():
        if not {NAME, *TILT_RANGE} <= set(table):
            continue
        names = [tomogram_name(star.path.with_name(str(name)).name) for name in table[NAME]]
        require_unique_series(star.path, names)
        for name, *ends in zip(names, *(table[column] for column in TILT_RANGE), strict=True):
            try:
                first, last = (float(end) for end in ends)
            except (TypeError, ValueError):
                first = last = math.nan
            require_tilt_range(f"{star.path}: {name}", first, last)
            directions = tilt_series_directions(first, last, RANGE_STEP_DEGREES)
            found[name] = directions
    return found


def require_unique_series(path: Path, names: Sequence[str]) -> None:
    """Refuse two tilt series of one name, as from two sessions, or from two versions of RELION.

    Raises
    ------
    SpisonetError
        If a name of a table is listed twice.
    """
    name, number = next(iter(Counter(names).most_common(1)), ("", 0))
    if number > 1:
        raise SpisonetError(
            f"{path} lists {number} tilt series of the name {name} in column {NAME}; rename one of them, "
            "also in the particle STAR file."
        )


def listed_file(path: Path, label: str, name: str) -> Path:
    """Return a file that another file lists, relative to the project (any folder above) or beside it.

    Raises
    ------
    SpisonetError
        If it does not exist.
    """
    given = type(path)(name)
    folders = (type(path)(), *path.parents, *real_path(path).parents)
    for folder in folders:
        if (folder / given).is_file():
            return folder / given
    raise SpisonetError(
        f"{name}, listed as {label} in {path}, does not exist; run the command in the project folder, or "
        "correct the path.",
        code="file_not_found",
    )
