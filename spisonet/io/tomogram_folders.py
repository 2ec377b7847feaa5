"""Tomograms in folders: full, even and odd tomograms paired by the name of their tilt series."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.io.tilt_angles import core_name
from spisonet.io.tomograms import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterable

# Names of halves in one folder, by AreTomo and other programs.
EVEN, ODD = re.compile(r"_(EVN|even|half1)(?=[_.])"), re.compile(r"_(ODD|odd|half2)(?=[_.])")


@dataclass(frozen=True)
class TomogramPaths:
    """Tomograms of one tilt series.

    Attributes
    ----------
    full : Path or None
        Tomogram from all tilts.
    even, odd : Path or None
        Tomograms from even and odd tilts or frames: both or neither.
    """

    full: Path | None = None
    even: Path | None = None
    odd: Path | None = None

    @property
    def first(self) -> Path:
        """The even or else the full tomogram."""
        path = self.even or self.full
        if path is None:
            raise ValueError("A tilt series without tomograms")
        return path

    @property
    def existing(self) -> list[Path]:
        """All files that exist."""
        return [path for path in (self.full, self.even, self.odd) if path is not None and path.is_file()]


def find_tomograms(
    mixed: Path | None, full: Path | None, even: Path | None, odd: Path | None
) -> dict[str, TomogramPaths]:
    """Pair the tomograms of some folders.

    Parameters
    ----------
    mixed : Path or None
        Folder of full tomograms, in which even and odd tomograms may be as well.
    full, even, odd : Path or None
        Folders of tomograms of one kind.

    Returns
    -------
    dict
        Tomograms by name of the tilt series, sorted.

    Raises
    ------
    SpisonetError
        If a folder contains no tomograms, two files belong to the same tomogram, or a half is missing.
    """
    files = [
        (kind, path)
        for kind, folder in (("full", full), ("even", even), ("odd", odd))
        if folder is not None
        for path in _tomograms(folder)
    ]
    if mixed is not None:
        together = _tomograms(mixed)
        files += [(_kind_among(path, together), path) for path in together]
    found: dict[str, dict[str, Path]] = {}
    for kind, path in files:
        series = found.setdefault(core_name(path), {})
        if kind in series:
            raise SpisonetError(
                f"{series[kind]} and {path} appear to belong to the same tilt series; rename one of them."
            )
        series[kind] = path
    paths = {name: TomogramPaths(**series) for name, series in sorted(found.items())}
    single = [str(p.even or p.odd) for p in paths.values() if (p.even is None) != (p.odd is None)]
    if single:
        raise SpisonetError(f"The other half is missing for {', '.join(single)}.")
    return paths


def files_of_series(folder: Path, names: Iterable[str]) -> dict[str, Path]:
    """Return the files of a folder, such as masks, by the name of their tilt series.

    Raises
    ------
    SpisonetError
        If the folder contains no file of any of the tilt series.
    """
    if not folder.is_dir():
        raise SpisonetError(f"{folder} is not a folder.")
    found = {core_name(Path(path.name.replace("_mask", ""))): path for path in sorted(folder.iterdir())}
    if not set(found) & set(names):
        raise SpisonetError(f"{folder} contains no file that is named after a tomogram.")
    return found


def _kind_among(path: Path, others: list[Path]) -> str:
    """Recognise a half by its name and its counterpart; without counterpart it is a full tomogram."""
    for kind, own, counterpart in (("even", EVEN, ODD), ("odd", ODD, EVEN)):
        if own.search(path.name) and any(
            counterpart.search(other.name) and core_name(other) == core_name(path) for other in others
        ):
            return kind
    return "full"


def _tomograms(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise SpisonetError(f"{folder} is not a folder.")
    found = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix in SUFFIXES)
    if not found:
        raise SpisonetError(f"{folder} contains no tomograms ({', '.join(SUFFIXES)}).")
    return found
