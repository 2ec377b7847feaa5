"""Files of coordinates that belong to tomograms, by the names that they state or else by their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.io.coordinates import UNSUPPORTED, require_supported, stated_tomograms
from spisonet.io.dynamo import NO_TABLE_MAP
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
        tomograms in a file precede its own name. A file of one tomogram precedes one that lists several.
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
    candidates: dict[str, list[_Candidate]] = {}
    without_map: SpisonetError | None = None
    for file in files:
        try:
            own, n_listed, reason = _tomograms_of(file, names)
        except SpisonetError as error:
            if error.code != NO_TABLE_MAP:
                raise
            own, n_listed, reason = [], 0, "a table of several tomograms without a table map for it"
            without_map = without_map or error
        if not own:
            left_out.append(LeftOut(file, reason))
        for name in own:
            is_of_all = n_listed > 1 and series_name(file) != name
            candidates.setdefault(name, []).append(_Candidate(file, is_of_all))
    if without_map is not None and not candidates:
        raise without_map
    found = {name: _chosen(name, of_series) for name, of_series in candidates.items()}
    preceded: dict[Path, list[str]] = {}
    for name, of_series in candidates.items():
        for each in of_series:
            if each.file != found[name]:
                preceded.setdefault(each.file, []).append(name)
    left_out += [
        LeftOut(file, f"for {enumerated(of_others)}: a file of one tomogram precedes")
        for file, of_others in preceded.items()
    ]
    if not found:
        raise files_of_none(path, "coordinates of a tomogram", names, left_out)
    return MatchedFiles(found, tuple(left_out), tuple(name for name in names if name not in found))


@dataclass(frozen=True)
class _Candidate:
    """A file with coordinates of a tilt series; whether it lists several and is not named after this one."""

    file: Path
    is_of_all: bool


def _chosen(name: str, candidates: list[_Candidate]) -> Path:
    """Return the file to use for a tilt series: rather one that is named after it than one of several."""
    first, *others = [each for each in candidates if not each.is_of_all] or candidates
    if others:
        raise SpisonetError(
            f"{first.file} and {others[0].file} both contain coordinates of {name}; give one of them, or "
            "move it to another folder."
        )
    return first.file


def _tomograms_of(file: Path, names: list[str]) -> tuple[list[str], int, str]:
    """Return the tilt series of which a file has coordinates, how many it lists, and why it has none."""
    kind = UNSUPPORTED.get(file.suffix.lower())
    if kind is not None:
        return [], 0, kind
    stated = stated_tomograms(file)
    if stated is None:
        return [], 0, "a STAR file without coordinates"
    own = [name for name in names if name in stated] or [name for name in names if name == series_name(file)]
    if stated:
        return own, len(stated), f"its coordinates are of other tomograms: {enumerated(stated)}"
    return own, 0, "its name is that of no tomogram"
