"""Tilt ranges from the tilt files of SerialEM, IMOD, AreTomo, RELION and Warp."""

from __future__ import annotations

import logging
import math
import re
from dataclasses import dataclass, field
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
    *(".tlt", "_st.tlt", ".aln", ".st.aln", ".mrc.aln", "_tlt.txt", ".rawtlt", ".st.rawtlt", ".mrc.rawtlt"),
    *(".mdoc", ".mrc.mdoc", ".st.mdoc", ".tomostar", ".star"),
)
IMOD_FOLDER = "_imod"  # AreTomo's files for IMOD are in a folder of this ending
# Beside or above the folder of the tomograms: two of Warp, and one of RELION 5.
SERIES_FOLDERS = ("tiltstack", "tomostar", "tilt_series")
SERIES_DEPTH = 3  # folders from a half to Warp's project: even, reconstruction, warp_tiltseries
TILT_COLUMNS = ("rlnTomoYTilt", "rlnTomoNominalStageTiltAngle", "wrpAngleTilt", "rlnTomoTiltAngle")
STAR_SUFFIXES = (".star", ".tomostar")
MDOC_TILT = re.compile(r"^\s*TiltAngle\s*=\s*([^\r\n]*?)\s*$", re.MULTILINE)
MDOC_IMAGE_OF_SERIES = re.compile(r"^\s*\[\s*(ZValue|MontSection)\s*=", re.MULTILINE)
ALN_HEADER, ALN_LOCAL, ALN_TILT = "# SEC", "# Local Alignment", "TILT"
MAX_TILT, DEFAULT_TILT_RANGE = 90.0, (-60.0, 60.0)  # degrees
MIN_TILT_RANGE = 10.0  # degrees; of fewer the angles are those of one image or of something else
LARGEST_UNTILTED = 3.0  # degrees; a tilt series contains an image that is tilted less, or both signs
# Instead of the name of the tilt file in a table: both limits are assumed, or one that the user did not give.
ASSUMED, ASSUMED_IN_PART = "assumed_no_tilt_file_found", "assumed_in_part_no_tilt_file_found"
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
    n_tilts : int or None
        Number of tilts in the tilt file.
    """

    lowest_degrees: float
    highest_degrees: float
    source: Path | None = None
    is_assumed: bool = False
    n_tilts: int | None = field(default=None, compare=False)

    @property
    def degrees(self) -> tuple[float, float]:
        """Minimum and maximum tilt in degrees."""
        return self.lowest_degrees, self.highest_degrees

    @property
    def table_entry(self) -> str:
        """Entry of the column `TILT_SOURCE`."""
        if not self.is_assumed:
            return str(self.source)
        return ASSUMED if self.degrees == DEFAULT_TILT_RANGE else ASSUMED_IN_PART

    @property
    def origin(self) -> str:
        """Where the range comes from, as the end of a sentence."""
        if self.is_assumed:
            return "assumed, no tilt file found"
        return "given" if self.source is None else f"from {self.source}"


def find_tilt_file(tomograms: Collection[Path], folders: Iterable[Path] = ()) -> Path | None:
    """Find the file with the tilt angles of a tilt series.

    Some folders are searched, then those of the tomograms, those that contain the latter, and those of a Warp
    project (``tiltstack``, ``tomostar``) or of a job of RELION 5 (``tilt_series``). Folders in them that are
    named after the tilt series are searched as well, and ``<tilt series>_Imod`` with AreTomo's files for
    IMOD.

    Parameters
    ----------
    tomograms : collection of Path
        Tomograms of the tilt series: full, even, odd or processed.
    folders : iterable of Path
        Folders to search first.
    """
    names = list(dict.fromkeys(name for path in tomograms for name in series_names(path)))
    beside = [path.parent for path in tomograms]
    above = [path for folder in dict.fromkeys(beside) for path in real_path(folder).parents[:SERIES_DEPTH]]
    of_series = [path / name for path in above for name in SERIES_FOLDERS]
    for folder in dict.fromkeys((*folders, *beside, *(path.parent for path in beside), *of_series)):
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
    of_frames = None
    for name in names:
        for ending in TILT_ENDINGS:
            found = entries.get(f"{name}{ending}".lower())
            if found is None or not found.is_file():
                continue
            if ending.endswith(".mdoc") and not MDOC_IMAGE_OF_SERIES.search(_decoded(found)):
                of_frames = of_frames or found  # of the series or of a single image: others come first
            elif ending != ".star" or _tilt_column(StarFile(found)) is not None:
                return found
    return of_frames


def read_tilt_range(path: Path) -> tuple[float, float]:
    """Read the minimum and maximum tilt angle in degrees; see `read_tilts`."""
    angles = read_tilts(path)
    return min(angles), max(angles)


def read_tilts(path: Path) -> list[float]:
    """Read the tilt angles of a tilt series in degrees.

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
    text, suffix = "", path.suffix.lower()
    others: list[list[str]] = []
    if suffix in STAR_SUFFIXES:
        column = _tilt_column(StarFile(path))
        words = [] if column is None else [str(angle) for angle in column]
    else:
        text = _decoded(path)
        words, others = _columns(path, text)
    angles = _numbers(path, words)
    is_frame_set = suffix == ".mdoc" and not MDOC_IMAGE_OF_SERIES.search(text)
    hint = ", since it describes the frames of one image (FrameSet)" if is_frame_set else ""
    if len(angles) < 2 or not all(map(math.isfinite, angles)):
        raise SpisonetError(f"{path} contains no tilt angles of a tilt series{hint}.")
    lowest, highest = min(angles), max(angles)
    if highest - lowest < MIN_TILT_RANGE:
        raise SpisonetError(
            f"{path} contains tilts from {lowest:g} to {highest:g} degrees, too small a range for a "
            f"tilt series{hint}; give --tilt_min and --tilt_max, or remove the file."
        )
    named = {**dict.fromkeys(STAR_SUFFIXES, "tilt"), ".mdoc": "TiltAngle", ".aln": ALN_TILT}
    column_name = named.get(suffix, "first")
    numbered = sorted(angles) == [lowest + i for i in range(len(angles))] and lowest in (0, 1)
    # Tilts cross 0, but for those of some lamellae; lists of doses begin with 0.
    is_dose = lowest == 0 and suffix not in named
    if numbered or lowest > LARGEST_UNTILTED or highest < -LARGEST_UNTILTED or is_dose:
        raise SpisonetError(
            f"The {column_name} column of {path} contains values from {lowest:g} to {highest:g}, which "
            "appear to be numbers of images or doses, not tilt angles; correct the file, or give --tilt_min "
            "and --tilt_max."
        )
    better = next((number for number, values in enumerate(others, 2) if _crosses_zero(values)), None)
    if lowest > 0 and better is not None:
        raise SpisonetError(
            f"The {column_name} column of {path} contains values from {lowest:g} to {highest:g}, which "
            f"appear to be doses, and column {better} the tilt angles; leave only the tilt angles in it, or "
            "give --tilt_min and --tilt_max."
        )
    if max(map(abs, angles)) > MAX_TILT:
        raise SpisonetError(
            f"{path} contains a tilt angle of {max(angles, key=abs):g} degrees, beyond +-{MAX_TILT:g}."
        )
    return angles


def _crosses_zero(words: list[str]) -> bool:
    """Whether a column may be one of tilt angles: numbers of both signs within +-90, not all small."""
    try:
        values = [float(word) for word in words]
    except ValueError:
        return False
    lowest, highest = min(values), max(values)
    return -MAX_TILT <= lowest < 0 < highest <= MAX_TILT and highest - lowest >= MIN_TILT_RANGE


def _numbers(path: Path, words: list[str]) -> list[float]:
    angles = []
    for word in words:
        try:
            angles.append(float(word))
        except ValueError as error:
            raise SpisonetError(f"{path} contains {word!r} instead of a tilt angle.") from error
    return angles


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
    source, is_assumed, n_tilts = None, False, None
    if lowest is None or highest is None:
        source = find_source()
        is_assumed = source is None
        angles: Collection[float] = DEFAULT_TILT_RANGE
        if source is not None:
            angles = read_tilts(source)
            n_tilts = len(angles)
        lowest = min(angles) if lowest is None else lowest
        highest = max(angles) if highest is None else highest
    require_tilt_range(name, lowest, highest)
    return TiltRange(lowest, highest, source, is_assumed, n_tilts)


def is_still_assumed(table_entry: str | None, degrees: tuple[float, float]) -> bool:
    """Whether a tilt range of a table is that which `TiltRange.table_entry` calls assumed, not corrected."""
    unchanged = [a == b for a, b in zip(degrees, DEFAULT_TILT_RANGE, strict=True)]
    return (table_entry == ASSUMED and all(unchanged)) or (table_entry == ASSUMED_IN_PART and any(unchanged))


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


def _columns(path: Path, text: str) -> tuple[list[str], list[list[str]]]:
    """Return the tilt angles of a text file as words, and the columns behind them if there are any."""
    if path.suffix.lower() == ".mdoc":
        return MDOC_TILT.findall(text), []
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
        return rows[0], []
    try:
        angles = [row[column] for row in rows]
    except IndexError as error:
        raise SpisonetError(f"{path} has a line without a tilt angle.") from error
    n_columns = min(map(len, rows), default=0) if column == 0 else 0
    return angles, [[row[number] for row in rows] for number in range(1, n_columns)]


def _tilt_column(star: StarFile) -> Iterable[object] | None:
    for table in star.tables.values():
        for column in TILT_COLUMNS:
            if column in table:
                return list(table[column])
    return None
