"""Dynamo's volume lists (``.vll``), and tables of particles (``.tbl``) with the lists of their tomograms."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.geometry.tilts import rotation_to_convention
from spisonet.io.numbers import SIZE, TILT, number_or_nan
from spisonet.io.paths import version_of
from spisonet.io.series_names import series_name
from spisonet.io.tilt_angles import MIN_TILT_RANGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

log = logging.getLogger("spisonet")

VOLUME_LIST, TABLE, TABLE_MAP = ".vll", ".tbl", ".doc"
# Columns of a table, counted from 0: shifts, whether a missing wedge is given, its range, tomogram, position.
SHIFTS, SAMPLING, TILTS, TOMOGRAM, POSITION = slice(3, 6), 12, slice(13, 15), 19, slice(23, 26)
NO_TABLE_MAP = "no_table_map"  # code of the error
FEWEST_COLUMNS = 26
SINGLE_TILT = 1  # value of SAMPLING
# Entries of a volume list, in lower case.
CROPPED_FILE, PIXEL_SIZE, TILT_RANGE, OTHER_TILT_RANGES = "cropfromfile", "apix", "ytilt", ("xtilt", "ztilt")


@dataclass(frozen=True)
class ListedTomogram:
    """A tomogram of a list.

    Attributes
    ----------
    path : Path
        The tomogram.
    voxel_size_angstrom : float or None
        Voxel size, if the list gives it.
    tilts_degrees : tuple of float or None
        Minimum and maximum tilt, if the list gives them.
    """

    path: Path
    voxel_size_angstrom: float | None = None
    tilts_degrees: tuple[float, float] | None = None


def read_listed_tomograms(path: Path) -> list[ListedTomogram]:
    """Read the tomograms that a volume list or the list beside a table names.

    Of a volume that is displayed but not cropped from, such as a deconvolved one, the file that is cropped
    from (``cropFromFile``) is taken.

    Parameters
    ----------
    path : Path
        A ``.vll`` file, or a ``.tbl`` file.

    Raises
    ------
    SpisonetError
        If the file is missing or damaged, or lists no tomograms, or a table has no list of its tomograms.
    """
    if not path.is_file():
        raise SpisonetError(f"{path} does not exist.", code="file_not_found")
    if path.suffix.lower() == VOLUME_LIST:
        found = _read_volume_list(path)
    else:
        found = _tomograms_of_table(path)
    if not found:
        raise SpisonetError(f"{path} lists no tomograms.")
    return found


def read_table_positions(path: Path, series: Sequence[str]) -> NDArray[np.float64]:
    """Read the positions of the particles of one tomogram in a table.

    Parameters
    ----------
    path : Path
        A ``.tbl`` file. If it lists several tomograms, the ``.doc`` file beside it tells which is which.
    series : sequence of str
        Names of the tomogram.

    Returns
    -------
    ndarray
        ``(n, 3)`` positions ``(x, y, z)`` with their shifts, in voxels of the tomogram.

    Raises
    ------
    SpisonetError
        If the file is damaged, or has no particles of the tomogram.
    """
    table = _read_table(path)
    numbers = table[:, TOMOGRAM]
    if len(np.unique(numbers)) > 1:
        own = {series_name(Path(name)) for name in series}
        listed = [number for number, file in _read_table_map(path).items() if series_name(file) in own]
        table = table[np.isin(numbers, listed)]
    if not len(table):
        raise SpisonetError(f"{path} lists no particles of {series[0]}.")
    return np.asarray(table[:, POSITION] + table[:, SHIFTS])


def tomograms_of_table(path: Path) -> list[Path]:
    """Return the tomograms of the particles in a table, as far as its ``.doc`` file lists them.

    A table of one tomogram needs no list, and only one that is named after it tells which tomogram it is.

    Raises
    ------
    SpisonetError
        If a file is damaged, or a table of several tomograms has no list.
    """
    numbers = np.unique(_read_table(path)[:, TOMOGRAM])
    if len(numbers) == 1 and not _lists_named_after(path):
        return []
    files = _read_table_map(path)
    return [files[number] for number in numbers.tolist() if number in files]


def _read_volume_list(path: Path) -> list[ListedTomogram]:
    found: list[ListedTomogram] = []
    for line in _lines(path):
        if not line.startswith("*"):
            found.append(ListedTomogram(_located(path, line)))
            continue
        name, _, value = (part.strip() for part in line.lstrip("* ").partition("="))
        if not found or not value:
            continue
        if name.lower() == CROPPED_FILE:
            found[-1] = replace(found[-1], path=_located(path, value))
        elif name.lower() == PIXEL_SIZE:
            found[-1] = replace(found[-1], voxel_size_angstrom=_pixel_size(path, value))
        elif name.lower() == TILT_RANGE:
            found[-1] = replace(found[-1], tilts_degrees=_tilt_range(path, name, value))
        elif name.lower() in OTHER_TILT_RANGES:
            tilts = _tilt_range(path, name, value)
            if tilts is None or tilts[1] - tilts[0] < MIN_TILT_RANGE:
                continue
            raise SpisonetError(
                f"{path} has {name} = {value} for {found[-1].path}, which are tilts about {name[0].lower()}; "
                f"{rotation_to_convention(name[0].lower())}, and list the rotated one with {TILT_RANGE}."
            )
    return found


def _tilt_range(path: Path, name: str, text: str) -> tuple[float, float] | None:
    """Return the minimum and maximum tilt of an entry; None if they are equal or the entry is no range."""
    values = [number_or_nan(word) for word in text.replace(",", " ").strip("[] ").split()]
    if len(values) != 2 or not all(map(math.isfinite, values)):
        log.warning(
            "%s has %s = %s, which is not a minimum and a maximum tilt, as in -60 60; the line is ignored.",
            *(path, name, text),
        )
        return None
    if not all(map(TILT.holds, values)) or values[0] > values[1]:
        raise SpisonetError(
            f"{path} has {name} = {text}, which is not a minimum and a maximum tilt in degrees, as in -60 60."
        )
    low, high = values
    return (low, high) if low < high else None


def _pixel_size(path: Path, text: str) -> float:
    value = number_or_nan(text)
    if not SIZE.holds(value):
        raise SpisonetError(f"{path} has apix = {text}, which is not a voxel size in Å.")
    return value


def _tomograms_of_table(path: Path) -> list[ListedTomogram]:
    table, files = _read_table(path), _read_table_map(path)
    found = []
    for number in np.unique(table[:, TOMOGRAM]):
        if number not in files:
            raise SpisonetError(f"{path} has particles of tomogram {number:g}, which its .doc does not list.")
        rows = table[table[:, TOMOGRAM] == number]
        low, high = (float(tilt) for tilt in rows[0, TILTS])
        has_tilts = (rows[:, SAMPLING] == SINGLE_TILT).all() and (rows[:, TILTS] == (low, high)).all()
        found.append(ListedTomogram(files[number], None, (low, high) if has_tilts and low < high else None))
    return found


def _read_table(path: Path) -> NDArray[np.float64]:
    """Read the columns up to the position; others may hold anything."""
    return _parsed_table(path, version_of(path))


@lru_cache(maxsize=1)  # a table may list hundreds of tomograms, for each of which it is read
def _parsed_table(path: Path, _: str) -> NDArray[np.float64]:
    rows = []
    for number, line in enumerate(_lines(path), start=1):
        words = line.split()[:FEWEST_COLUMNS]
        try:
            rows.append([float(word) for word in words])
        except ValueError:
            rows.append([])
        if len(rows[-1]) < FEWEST_COLUMNS:
            raise SpisonetError(
                f"{path} is not a Dynamo table: line {number} has no {FEWEST_COLUMNS} numbers."
            )
    if not rows:
        raise SpisonetError(f"{path} lists no particles.")
    table = np.array(rows)
    used = np.hstack([table[:, SHIFTS], table[:, TILTS], table[:, [SAMPLING, TOMOGRAM]], table[:, POSITION]])
    if not np.isfinite(used).all():
        raise SpisonetError(f"{path} contains NaN or infinite values in the columns of its positions.")
    return table


def _read_table_map(path: Path) -> dict[float, Path]:
    """Return the files of the tomograms by their number, from the ``.doc`` file beside a table."""
    named_after = _lists_named_after(path) or sorted(path.parent.glob(f"*{TABLE_MAP}"))
    if len(named_after) != 1:
        which = "several .doc files" if named_after else "no .doc file"
        raise SpisonetError(
            f"{path} has {which} beside it; put the table map, which lists number and file of each tomogram, "
            f"there as {path.stem}{TABLE_MAP}.",
            code=NO_TABLE_MAP,
        )
    (file,) = named_after
    found = {}
    for line in _lines(file):
        number, _, name = line.partition(" ")
        if not number.isdecimal() or not name.strip():
            raise SpisonetError(
                f"{file} is not a table map of Dynamo: '{line[:60]}' is not a number and a file."
            )
        found[float(number)] = _located(file, name.strip())
    return found


def _lists_named_after(path: Path) -> list[Path]:
    lists = sorted(path.parent.glob(f"*{TABLE_MAP}"))
    return [file for file in lists if file.stem.startswith(path.stem)]


def _located(path: Path, name: str) -> Path:
    """Return a file relative to the working folder, or else beside the list that names it."""
    given = Path(name)
    beside = path.parent / given
    return beside if not given.exists() and beside.exists() else given


def _lines(path: Path) -> list[str]:
    """Return the lines of a text file without those that are empty or comments."""
    text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    lines = [line.strip().replace("\t", " ") for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith(("#", "%", ">"))]
