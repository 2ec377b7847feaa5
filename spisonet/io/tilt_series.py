"""Projection directions of tilt series, from the tomogram tables of RELION and Warp."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.geometry.tilts import projection_directions
from spisonet.io.star import StarFile

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

PROJECTION_ROW = "rlnTomoProjZ"  # third row of the matrix from the tomogram to the tilt image
TILT_ANGLES = ("rlnTomoXTilt", "rlnTomoYTilt")
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


def read_projection_directions(path: Path) -> dict[str, NDArray[np.float64]]:
    """Read the projection directions of the tilt images of each tomogram.

    Parameters
    ----------
    path : Path
        ``tomograms.star`` of RELION 4 or Warp (a block of projection matrices for each tomogram) or of
        RELION 5 (a tilt-series STAR file for each tomogram).

    Returns
    -------
    dict
        ``(n_tilts, 3)`` unit vectors ``(x, y, z)`` in the frame of the tomogram, by its name.

    Raises
    ------
    SpisonetError
        If the file, or a file that it lists, is missing or contains no projection directions, or lists a
        tomogram twice.
    """
    star = StarFile(path, (NAME, SERIES_FILE))
    found = {
        name: _from_matrices(path, table) for name, table in star.tables.items() if PROJECTION_ROW in table
    }
    tables = [table for table in star.tables.values() if {NAME, SERIES_FILE} <= set(table)]
    require_unique_names(path, [*found, *(name for table in tables for name in table[NAME])])
    for table in tables:
        for name, series in zip(table[NAME], table[SERIES_FILE], strict=True):
            found[str(name)] = _from_series(listed_file(path, SERIES_FILE, str(series)))
    if not found:
        raise SpisonetError(
            f"{path} contains no projection directions; give tomograms.star of RELION or Warp."
        )
    return found


def _from_matrices(path: Path, table: pd.DataFrame) -> NDArray[np.float64]:
    try:
        rows = [
            [float(word) for word in str(row).strip("[]").split(",")[:3]] for row in table[PROJECTION_ROW]
        ]
        directions = np.array(rows).reshape(-1, 3)
        lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    except ValueError as error:
        raise SpisonetError(
            f"{path} contains an invalid {PROJECTION_ROW} (not a row of a matrix)."
        ) from error
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise SpisonetError(f"{path} contains an invalid {PROJECTION_ROW} (not a direction).")
    return np.asarray(directions / lengths)


def _from_series(path: Path) -> NDArray[np.float64]:
    for table in StarFile(path).tables.values():
        if set(TILT_ANGLES) <= set(table):
            try:
                x, y = (np.asarray(table[column], float) for column in TILT_ANGLES)
            except (TypeError, ValueError) as error:
                raise SpisonetError(f"{path} contains a tilt angle that is not a valid number.") from error
            return projection_directions(y, x)
    raise SpisonetError(f"{path} has no columns {', '.join(TILT_ANGLES)}.")


def require_unique_names(path: Path, names: Iterable[object]) -> None:
    """Refuse a table with two tilt series of one name, as from two sessions, or from two versions of RELION.

    Raises
    ------
    SpisonetError
        If a name is listed twice.
    """
    name, number = next(iter(Counter(map(str, names)).most_common(1)), ("", 0))
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
    folders = (type(path)(), *path.parents, *path.resolve().parents)
    for folder in folders:
        if (folder / given).is_file():
            return folder / given
    raise SpisonetError(
        f"{name}, listed as {label} in {path}, does not exist; run the command in the project folder, or "
        "correct the path.",
        code="file_not_found",
    )
