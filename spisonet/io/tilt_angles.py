"""Tilt ranges from the tilt files of SerialEM, IMOD, AreTomo, RELION and Warp."""

from __future__ import annotations

import logging
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.io.paths import real_path
from spisonet.io.series_names import series_names
from spisonet.io.star import StarFile

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from pathlib import Path

log = logging.getLogger("spisonet")

# Endings of tilt files behind the name of the tilt series, in lower case. Refined angles take precedence over
# nominal ones: IMOD and AreTomo before SerialEM.
TILT_ENDINGS = (
    *(".tlt", "_st.tlt", ".aln", ".st.aln", ".mrc.aln", "_tlt.txt", ".rawtlt", ".mrc.rawtlt"),
    *(".mdoc", ".mrc.mdoc", ".st.mdoc", ".tomostar", ".star"),
)
IMOD_FOLDER = "_imod"  # AreTomo's files for IMOD are in a folder of this ending
WARP_FOLDERS = ("tiltstack", "tomostar")  # beside or above the folder of Warp's reconstructions
WARP_DEPTH = 3  # folders from a half to the project: even, reconstruction, warp_tiltseries
TILT_COLUMNS = ("rlnTomoYTilt", "rlnTomoNominalStageTiltAngle", "wrpAngleTilt", "rlnTomoTiltAngle")
STAR_SUFFIXES = (".star", ".tomostar")
MDOC_TILT = re.compile(r"^\s*TiltAngle\s*=\s*([^\r\n]*?)\s*$", re.MULTILINE)
MDOC_IMAGE_OF_SERIES = re.compile(r"^\s*\[\s*(ZValue|MontSection)\s*=", re.MULTILINE)
ALN_HEADER, ALN_LOCAL, ALN_TILT = "# SEC", "# Local Alignment", "TILT"
MAX_TILT, DEFAULT_TILT_RANGE = 90.0, (-60.0, 60.0)  # degrees
MIN_TILT_RANGE = 10.0  # degrees; of fewer the angles are those of one image or of something else
LARGEST_UNTILTED = 3.0  # degrees; a tilt series contains an image that is tilted less, or both signs
ASSUMED = "assumed_no_tilt_file_found"  # instead of the name of the tilt file in a table
TILT_SOURCE = "rlnTiltRangeSource"


@dataclass(frozen=True)
class TiltRange:
    """Range of tilt angles of a tomogram.

    Attributes
    ----------
    lowest_degrees, highest_degrees : float
        Minimum and maximum tilt.
    source : Path or None
        The tilt file, or None.
    is_assumed : bool
        Whether a limit is the default, since neither the user nor a tilt file gives it.
    """

    lowest_degrees: float
    highest_degrees: float
    source: Path | None = None
    is_assumed: bool = False

    @property
    def degrees(self) -> tuple[float, float]:
        """Minimum and maximum tilt in degrees."""
        return self.lowest_degrees, self.highest_degrees

    @property
    def origin(self) -> str:
        """Where the range comes from, as the end of a sentence."""
        if self.is_assumed:
            return "assumed, no tilt file found"
        return "given" if self.source is None else f"from {self.source}"


def find_tilt_file(tomograms: Collection[Path], folders: Iterable[Path] = ()) -> Path | None:
    """Find the file with the tilt angles of a tilt series.

    Some folders are searched, then those of the tomograms, those that contain the latter, and those of a Warp
    project (``tiltstack``, ``tomostar``). Folders in them that are named after the tilt series are searched
    as well, and ``<tilt series>_Imod`` with AreTomo's files for IMOD.

    Parameters
    ----------
    tomograms : collection of Path
        Tomograms of the tilt series: full, even, odd or processed.
    folders : iterable of Path
        Folders to search first.
    """
    names = list(dict.fromkeys(name for path in tomograms for name in series_names(path)))
    beside = [path.parent for path in tomograms]
    above = [path for folder in dict.fromkeys(beside) for path in real_path(folder).parents[:WARP_DEPTH]]
    of_warp = [path / name for path in above for name in WARP_FOLDERS]
    for folder in dict.fromkeys((*folders, *beside, *(path.parent for path in beside), *of_warp)):
        found = _tilt_file_in(folder, names)
        if found is not None:
            return found
    return None


def _tilt_file_in(folder: Path, names: list[str]) -> Path | None:
    """Find the file with the tilt angles of a tilt series, which may have several names, in a folder."""
    if not folder.is_dir():
        return None
    entries = {path.name.lower(): path for path in sorted(folder.iterdir())}
    for name in names:
        for inner in (entries.get(name.lower()), entries.get(f"{name}{IMOD_FOLDER}".lower())):
            if inner is not None and inner.is_dir():
                entries |= {path.name.lower(): path for path in sorted(inner.iterdir())}
    for name in names:
        for ending in TILT_ENDINGS:
            found = entries.get(f"{name}{ending}".lower())
            if found is None or not found.is_file():
                continue
            if ending != ".star" or _tilt_column(StarFile(found)) is not None:
                return found
    return None


def read_tilt_range(path: Path) -> tuple[float, float]:
    """Read the minimum and maximum tilt angle in degrees.

    Parameters
    ----------
    path : Path
        ``.tlt``, ``.rawtlt`` or ``_TLT.txt`` (an angle per line, in the first column), ``.aln`` of AreTomo,
        ``.mdoc`` of SerialEM, or a tilt-series STAR file.

    Raises
    ------
    SpisonetError
        If the file contains no tilt angles or invalid ones, or their range is too small for a tilt series.
    """
    if not path.is_file():
        raise SpisonetError(f"{path} is not a file.")
    text, hint = "", ""
    if path.suffix.lower() in STAR_SUFFIXES:
        column = _tilt_column(StarFile(path))
        words = [] if column is None else [str(angle) for angle in column]
    else:
        text = _decoded(path)
        words = _words(path, text)
    try:
        angles = [float(word) for word in words]
    except ValueError as error:
        raise SpisonetError(f"{path} contains a tilt angle that is not a valid number.") from error
    if len(angles) < 2 or not all(map(math.isfinite, angles)):
        raise SpisonetError(f"{path} contains no tilt angles.")
    if max(map(abs, angles)) > MAX_TILT:
        raise SpisonetError(
            f"{path} contains a tilt angle of {max(angles, key=abs):g} degrees, beyond +-{MAX_TILT:g}."
        )
    if max(angles) - min(angles) < MIN_TILT_RANGE:
        if path.suffix.lower() == ".mdoc" and not MDOC_IMAGE_OF_SERIES.search(text):
            hint = ", since it describes the frames of one image (FrameSet)"
        raise SpisonetError(
            f"{path} contains tilts from {min(angles):g} to {max(angles):g} degrees, too small a range for a "
            f"tilt series{hint}; give --tilt_min and --tilt_max, or remove the file."
        )
    is_numbered = min(angles) in (0, 1) and sorted(angles) == [min(angles) + i for i in range(len(angles))]
    if is_numbered or min(angles) > LARGEST_UNTILTED or max(angles) < -LARGEST_UNTILTED:
        named = {**dict.fromkeys(STAR_SUFFIXES, "tilt"), ".mdoc": "TiltAngle", ".aln": ALN_TILT}
        column = named.get(path.suffix.lower(), "first")
        raise SpisonetError(
            f"The {column} column of {path} contains values from {min(angles):g} to {max(angles):g}, which "
            "appear to be numbers of images or doses, not tilt angles; correct the file, or give --tilt_min "
            "and --tilt_max."
        )
    return min(angles), max(angles)


def complete_tilt_range(
    name: str, lowest: float | None, highest: float | None, find_source: Callable[[], Path | None]
) -> TiltRange:
    """Return a tilt range; missing limits come from a tilt file or else are assumed to be -60 and 60.

    Parameters
    ----------
    name : str
        Name of the tomogram in messages.
    lowest, highest : float or None
        Minimum and maximum tilt in degrees, as far as they are known.
    find_source : callable
        Returns the tilt file or None; called if a limit is missing.

    Raises
    ------
    SpisonetError
        If the tilt file is not readable, or the range is invalid.
    """
    source, is_assumed = None, False
    if lowest is None or highest is None:
        source = find_source()
        found = DEFAULT_TILT_RANGE if source is None else read_tilt_range(source)
        is_assumed = source is None
        lowest = found[0] if lowest is None else lowest
        highest = found[1] if highest is None else highest
    require_tilt_range(name, lowest, highest)
    return TiltRange(lowest, highest, source, is_assumed)


def require_tilt_range(name: str, lowest: float, highest: float) -> None:
    """Check a tilt range in degrees; `name` is that of the tomogram in messages.

    Raises
    ------
    SpisonetError
        If the minimum is not below the maximum, or a limit is not a number within +-90.
    """
    if not -MAX_TILT <= lowest < highest <= MAX_TILT:
        raise SpisonetError(
            f"{name}: invalid tilt range {lowest:g} to {highest:g} degrees (the minimum must be below the "
            f"maximum, within +-{MAX_TILT:g})."
        )


def _decoded(path: Path) -> str:
    """Read a text file with or without a byte order mark."""
    content = path.read_bytes()
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    return content.decode(encoding, errors="replace")


def _words(path: Path, text: str) -> list[str]:
    """Return the tilt angles of a text file as words."""
    if path.suffix.lower() == ".mdoc":
        return MDOC_TILT.findall(text)
    lines = [line.strip() for line in text.splitlines()]
    column = 0
    if path.suffix.lower() == ".aln":
        header = next((line for line in lines if line.startswith(ALN_HEADER)), f"# {ALN_TILT}")
        labels = header.lstrip("# ").split()
        column = labels.index(ALN_TILT) if ALN_TILT in labels else -1
        if ALN_LOCAL in lines:
            lines = lines[: lines.index(ALN_LOCAL)]
    rows = [re.split(r"[\s,;]+", line.strip(",; ")) for line in lines if line and not line.startswith("#")]
    if len(rows) == 1 and column == 0:  # all angles in one line
        return rows[0]
    try:
        return [row[column] for row in rows]
    except IndexError as error:
        raise SpisonetError(f"{path} has a line without a tilt angle.") from error


def _tilt_column(star: StarFile) -> Iterable[object] | None:
    for table in star.tables.values():
        for column in TILT_COLUMNS:
            if column in table:
                return list(table[column])
    return None
