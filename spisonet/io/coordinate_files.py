"""Files of coordinates that belong to tomograms, by the names that they state or else by their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.io.coordinates import UNSUPPORTED, require_supported, stated_tomograms
from spisonet.io.series_names import series_name
from spisonet.io.tomogram_sources import LeftOut, MatchedFiles, enumerated, files_of_none

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def match_coordinates(path: Path, series: Iterable[str]) -> MatchedFiles:
    """Match files of coordinates with tilt series.

    Parameters
    ----------
    path : Path
        A folder of files, or a file. A STAR file or a table of Dynamo may list several tomograms. Names of
        tomograms in a file precede its own name.
    series : iterable of str
        Names of the tilt series.

    Raises
    ------
    SpisonetError
        If there are no coordinates of any of the tilt series, two files with coordinates of one, or a file is
        damaged.
    """
    if not path.exists():
        raise SpisonetError(f"{path} does not exist.", code="file_not_found")
    if path.is_file():
        require_supported(path)
    entries = sorted(path.iterdir()) if path.is_dir() else [path]
    files = [entry for entry in entries if entry.is_file() and not entry.name.startswith(".")]
    names, left_out = list(series), list[LeftOut]()
    found: dict[str, Path] = {}
    for file in files:
        own, reason = _tomograms_of(file, names)
        if not own:
            left_out.append(LeftOut(file, reason))
        for name in own:
            if name in found:
                raise SpisonetError(
                    f"{found[name]} and {file} both contain coordinates of {name}; give one of them, or move "
                    "it to another folder."
                )
            found[name] = file
    if not found:
        raise files_of_none(path, "coordinates of a tomogram", names, left_out)
    return MatchedFiles(found, tuple(left_out), tuple(name for name in names if name not in found))


def _tomograms_of(file: Path, names: list[str]) -> tuple[list[str], str]:
    """Return the tilt series of which a file has coordinates, or else why it has none."""
    kind = UNSUPPORTED.get(file.suffix.lower())
    if kind is not None:
        return [], kind
    stated = stated_tomograms(file)
    if stated is None:
        return [], "a STAR file without coordinates"
    own = [name for name in names if name in stated] or [name for name in names if name == series_name(file)]
    if stated:
        return own, f"its coordinates are of other tomograms: {enumerated(stated)}"
    return own, "its name is that of no tomogram"
