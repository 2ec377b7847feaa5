"""Coordinates in a tomogram: text and models of IMOD, STAR files of RELION and pytom-match-pick, Dynamo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.io.dynamo import TABLE, read_table_positions
from spisonet.io.imod import read_contours_on
from spisonet.io.particles import TOMOGRAM_COLUMNS, numbers
from spisonet.io.series_names import series_name
from spisonet.io.star import StarFile

if TYPE_CHECKING:
    from collections.abc import Sequence

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
BINNINGS = (2, 4, 6, 8, 10, 12, 16)
UNSUPPORTED = {
    ".em": "an EM file; write its coordinates to a text file with x, y and z in each line",
    ".cs": "a cryoSPARC file; write its coordinates to a text file with x, y and z in each line",
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
    kind = UNSUPPORTED.get(suffix)
    if kind is not None:
        raise SpisonetError(f"{path} is {kind}.")
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
                f"all are inside if divided by {binning}, so they are probably in pixels before binning, or "
                f"in Å: {what}"
            )
    raise SpisonetError(
        f"{path} has {n_outside} of {len(points)} coordinates outside of {tomogram}, which has "
        f"{size[0]} x {size[1]} x {size[2]} voxels; {remedy}."
    )


def _are_inside(points: NDArray[np.float64], size: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.asarray(((points >= 0) & (points < size)).all(axis=1))


def _read_star(
    path: Path, shape: tuple[int, int, int], voxel_size_angstrom: float, series: Sequence[str]
) -> NDArray[np.float64]:
    tables = StarFile(path, TOMOGRAM_COLUMNS).tables
    for columns in (CENTRED_ANGSTROM, PIXELS):
        table = next((table for table in tables.values() if set(columns) <= set(table.columns)), None)
        if table is not None:
            break
    if table is None:
        raise SpisonetError(f"{path} has no columns {', '.join(PIXELS)} or {', '.join(CENTRED_ANGSTROM)}.")
    rows = _rows_of(path, table, series)
    points = np.stack([numbers(path, rows, column) for column in columns], axis=1)
    if columns == CENTRED_ANGSTROM:
        return np.asarray(points / voxel_size_angstrom + np.array(shape[::-1]) / 2)
    return points * _pixel_sizes(path, rows, tables.get("optics"))[:, None] / voxel_size_angstrom


def _rows_of(path: Path, table: pd.DataFrame, series: Sequence[str]) -> pd.DataFrame:
    """Select the rows of a tomogram; a file without names lists one tomogram."""
    column = next((column for column in TOMOGRAM_COLUMNS if column in table), None)
    if column is None:
        return table
    names = [series_name(Path(str(name))) for name in table[column]]
    own = {series_name(Path(name)) for name in series}
    rows = table[[name in own for name in names]]
    different = list(dict.fromkeys(names))
    if len(different) == 1 and rows.empty:
        return table  # the file is of this tomogram, whatever it calls it
    if rows.empty:
        raise SpisonetError(f"{path} lists coordinates of other tomograms: {', '.join(different[:5])}.")
    return rows


def _pixel_sizes(path: Path, rows: pd.DataFrame, optics: pd.DataFrame | None) -> NDArray[np.float64]:
    """Return for each row the size in Å of the pixels in which its coordinates are given."""
    if optics is not None and OPTICS_GROUP in rows and OPTICS_GROUP in optics:
        extra = [OPTICS_GROUP, *(column for column in PIXEL_SIZES if column in optics and column not in rows)]
        rows, optics = (table.astype({OPTICS_GROUP: str}) for table in (rows, optics))  # may be a name
        rows = rows.merge(optics[extra], on=OPTICS_GROUP, how="left")
    column = next((column for column in PIXEL_SIZES if column in rows), None)
    if column is None:
        raise SpisonetError(
            f"{path} does not give the size of the pixels of {PIXELS[0]}; add a column "
            f"rlnDetectorPixelSize with it in Å."
        )
    sizes = numbers(path, rows, column)
    if column == "rlnDetectorPixelSize" and MAGNIFICATION in rows:
        sizes = sizes * 1e4 / numbers(path, rows, MAGNIFICATION)  # µm on the detector, before RELION 3.1
    return sizes
