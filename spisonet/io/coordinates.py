"""Coordinates in a tomogram: text and models of IMOD, STAR files of RELION and pytom-match-pick, Dynamo."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.io.dynamo import TABLE, TABLE_MAP, read_table_positions, tomograms_of_table
from spisonet.io.imod import read_contours_on
from spisonet.io.particles import TOMOGRAM_COLUMNS, numbers
from spisonet.io.paths import version_of
from spisonet.io.series_names import series_name
from spisonet.io.star import StarFile
from spisonet.io.tomograms import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

PIXELS = ("rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ")
CENTRED_ANGSTROM = tuple(f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ")  # of RELION 5
# Columns with the size in Å of the pixels in which coordinates are given.
PIXEL_SIZES = (
    *("rlnTomoTiltSeriesPixelSize", "rlnMicrographOriginalPixelSize", "rlnMicrographPixelSize"),
    *("rlnPixelSize", "rlnDetectorPixelSize"),
)
MAGNIFICATION, OPTICS_GROUP = "rlnMagnification", "rlnOpticsGroup"
STAR = ".star"
BINNINGS = range(2, 17)
AS_TEXT = "write its coordinates to a text file with x, y and z in each line"
# Files that contain no coordinates, or none that can be read, by their suffixes.
UNSUPPORTED = {
    ".em": f"an EM file; {AS_TEXT}",
    **dict.fromkeys((".cs", ".csg"), f"a cryoSPARC file; {AS_TEXT}"),
    ".xml": f"an XML file; {AS_TEXT}",
    ".json": f"a JSON file; {AS_TEXT}",
    **dict.fromkeys((".hdf", ".h5"), f"an HDF5 file; {AS_TEXT}"),
    **dict.fromkeys((*SUFFIXES, ".mrcs"), "an image file, not one of coordinates"),
    **dict.fromkeys((".tlt", ".rawtlt", ".aln", ".mdoc", ".xf"), "a file of a tilt series"),
    ".tomostar": "a tilt series of Warp, not a file of its particles",
    TABLE_MAP: f"a table map of Dynamo, which is read with its {TABLE} file",
}


def read_coordinates(
    path: Path, shape: tuple[int, int, int], voxel_size_angstrom: float, series: Sequence[str]
) -> NDArray[np.float64]:
    """Read coordinates in voxels of a tomogram, all of which are inside of it.

    Parameters
    ----------
    path : Path
        Text with x, y and z in each line, with or without the numbers of object and contour before them, in
        voxels of the tomogram; a binary ``.mod`` file, drawn on the tomogram or on a binned one; or a STAR
        file: ``rlnCoordinateX`` in pixels whose size the file gives, or ``rlnCenteredCoordinateXAngst`` in Å
        from the centre; or a Dynamo table in voxels of the tomogram.
    shape : tuple of int
        ``(z, y, x)`` of the tomogram.
    voxel_size_angstrom : float
        Voxel size of the tomogram in Å.
    series : sequence of str
        Names of the tomogram, which select its rows of a file that lists several tomograms. Messages have the
        first.

    Returns
    -------
    ndarray
        ``(n, 3)`` voxel coordinates ``(x, y, z)``.

    Raises
    ------
    SpisonetError
        If the file is of another kind, is damaged, contains no coordinates of the tomogram, or some that are
        outside of it.
    """
    suffix = path.suffix.lower()
    require_supported(path)
    if suffix == STAR:
        points = _read_star(path, shape, voxel_size_angstrom, series)
    elif suffix == TABLE:
        points = read_table_positions(path, series)
    else:
        contours = read_contours_on(path, shape, series[0])
        points = np.concatenate([np.empty((0, 3)), *contours]).astype(np.float64)
    if not len(points):
        raise SpisonetError(f"{path} contains no coordinates.")
    _require_inside(path, points, shape, series[0])
    return points


def require_supported(path: Path) -> None:
    """Check that a file is not of a kind without coordinates that can be read.

    Raises
    ------
    SpisonetError
        If it is.
    """
    kind = UNSUPPORTED.get(path.suffix.lower())
    if kind is not None:
        raise SpisonetError(f"{path} is {kind}.")


def _require_inside(
    path: Path, points: NDArray[np.float64], shape: tuple[int, int, int], tomogram: str
) -> None:
    size = np.array(shape[::-1])
    n_outside = int((~_are_inside(points, size)).sum())
    if not n_outside:
        return
    remedy = "correct or remove them"
    if 2 * n_outside >= len(points):
        binning = next((factor for factor in BINNINGS if _are_inside(points / factor, size).all()), None)
        if binning is not None:
            is_star = path.suffix.lower() == STAR
            what = "correct the pixel size in the file" if is_star else "divide them by the binning factor"
            remedy = (
                f"all are inside if divided by a number such as {binning}, so they are probably in pixels "
                f"before binning, or in Å: {what}"
            )
    raise SpisonetError(
        f"{path} has {n_outside} of {len(points)} coordinates outside of {tomogram}, which has "
        f"{size[0]} x {size[1]} x {size[2]} voxels; {remedy}."
    )


def _are_inside(points: NDArray[np.float64], size: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.asarray(((points >= 0) & (points < size)).all(axis=1))


def stated_tomograms(path: Path) -> list[str] | None:
    """Return the names of the tilt series of which a file says that it has coordinates.

    Parameters
    ----------
    path : Path
        A file that `read_coordinates` can read.

    Returns
    -------
    list of str or None
        Names as by `series_name`; none if the file does not say, as text and models. None for a STAR file
        without coordinates.

    Raises
    ------
    SpisonetError
        If a STAR file or a table of Dynamo is damaged, or the latter has no list of its tomograms.
    """
    suffix = path.suffix.lower()
    if suffix == TABLE:
        return [series_name(tomogram) for tomogram in tomograms_of_table(path)]
    if suffix != STAR:
        return []
    parsed = _parsed(path, version_of(path))
    return None if parsed.table is None else list(parsed.rows_by_series)


@dataclass(frozen=True)
class _ParsedStar:
    """A STAR file, its table with coordinates and their columns, and the rows of each tilt series.

    There are no rows by tilt series if the file has no names.
    """

    star: StarFile
    table: pd.DataFrame | None
    columns: tuple[str, ...]
    rows_by_series: Mapping[str, NDArray[np.int64]]


@lru_cache(maxsize=1)  # a file may list hundreds of tomograms, for each of which it is read
def _parsed(path: Path, _: str) -> _ParsedStar:
    star = StarFile(path, TOMOGRAM_COLUMNS)
    table, columns = _coordinate_table(star)
    return _ParsedStar(star, table, columns, {} if table is None else _rows_by_series(table))


def _coordinate_table(star: StarFile) -> tuple[pd.DataFrame | None, tuple[str, ...]]:
    """Return the table with coordinates, and their columns."""
    for columns in (CENTRED_ANGSTROM, PIXELS):
        for table in star.tables.values():
            if set(columns) <= set(table.columns):
                return table, columns
    return None, ()


def _rows_by_series(table: pd.DataFrame) -> dict[str, NDArray[np.int64]]:
    """Return the numbers of the rows of each tilt series, in the order of the file."""
    column = next((column for column in TOMOGRAM_COLUMNS if column in table), None)
    if column is None:
        return {}
    series = {name: series_name(Path(str(name))) for name in table[column].unique()}
    names = table[column].map(series)
    rows = names.groupby(names).indices
    return {name: np.asarray(rows[name]) for name in dict.fromkeys(series.values())}


def _read_star(
    path: Path, shape: tuple[int, int, int], voxel_size_angstrom: float, series: Sequence[str]
) -> NDArray[np.float64]:
    parsed = _parsed(path, version_of(path))
    table, columns = parsed.table, parsed.columns
    if table is None:
        raise SpisonetError(f"{path} has no columns {', '.join(PIXELS)} or {', '.join(CENTRED_ANGSTROM)}.")
    rows = _rows_of(path, table, parsed.rows_by_series, series)
    points = np.stack([numbers(path, rows, column) for column in columns], axis=1)
    if columns == CENTRED_ANGSTROM:
        return np.asarray(points / voxel_size_angstrom + np.array(shape[::-1]) / 2)
    sizes = _pixel_sizes(path, rows, parsed.star.tables.get("optics"))
    if sizes is not None:
        return points * sizes[:, None] / voxel_size_angstrom
    if ((points >= 0) & (points <= 1)).all():  # fractions, as Warp's template matching writes them
        return np.asarray(np.minimum(points * shape[::-1], np.array(shape[::-1]) - 1))
    raise SpisonetError(
        f"{path} does not give the size of the pixels of {PIXELS[0]}; add a column rlnDetectorPixelSize with "
        "it in Å."
    )


def _rows_of(
    path: Path, table: pd.DataFrame, rows_by_series: Mapping[str, NDArray[np.int64]], series: Sequence[str]
) -> pd.DataFrame:
    """Select the rows of a tomogram; a file without names lists one tomogram."""
    own = [rows_by_series[name] for name in {series_name(Path(name)) for name in series} & {*rows_by_series}]
    if own:
        return table.iloc[np.sort(np.concatenate(own))]
    if len(rows_by_series) <= 1:
        return table  # the file is of this tomogram, whatever it calls it
    raise SpisonetError(f"{path} lists coordinates of other tomograms: {', '.join([*rows_by_series][:5])}.")


def _pixel_sizes(path: Path, rows: pd.DataFrame, optics: pd.DataFrame | None) -> NDArray[np.float64] | None:
    """Return for each row the size in Å of the pixels of its coordinates; None if the file has none."""
    if optics is not None and OPTICS_GROUP in rows and OPTICS_GROUP in optics:
        extra = [OPTICS_GROUP, *(column for column in PIXEL_SIZES if column in optics and column not in rows)]
        rows, optics = (table.astype({OPTICS_GROUP: str}) for table in (rows, optics))  # may be a name
        rows = rows.merge(optics[extra], on=OPTICS_GROUP, how="left")
    column = next((column for column in PIXEL_SIZES if column in rows), None)
    if column is None:
        return None
    sizes = numbers(path, rows, column)
    if column == "rlnDetectorPixelSize" and MAGNIFICATION in rows:
        sizes = sizes * 1e4 / numbers(path, rows, MAGNIFICATION)  # µm on the detector, before RELION 3.1
    return sizes
