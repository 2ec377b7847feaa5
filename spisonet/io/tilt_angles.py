"""Tilt ranges from the tilt files of SerialEM, IMOD, RELION and Warp."""

from __future__ import annotations

import logging
import math
import re
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.io.star import StarFile
from spisonet.io.tomograms import stem_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

log = logging.getLogger("spisonet")

TILT_SUFFIXES = (".tlt", ".rawtlt", ".mdoc", ".mrc.mdoc", ".st.mdoc", ".tomostar", ".star")
# Refined angles take precedence over nominal ones.
TILT_COLUMNS = ("rlnTomoYTilt", "rlnTomoNominalStageTiltAngle", "wrpAngleTilt", "rlnTomoTiltAngle")
MDOC_TILT = re.compile(r"^\s*TiltAngle\s*=\s*([-+.\deE]+)", re.MULTILINE)
MAX_TILT, DEFAULT_TILT_RANGE = 90.0, (-60.0, 60.0)  # degrees
# Endings that programs append to the name of a tilt series: halves, "rec", binning, voxel size.
ENDINGS = re.compile(
    r"(_(even|odd|evn|half[12]|vol|rec|full|ali|aligned|corrected|deconv|bin\d+|[\d.]+apx))+$",
    re.IGNORECASE,
)
PREFIX = re.compile(r"^(rec_)", re.IGNORECASE)


def core_name(path: Path) -> str:
    """Return the name of the tilt series of a tomogram: its file name without endings of programs."""
    stem = stem_of(path)
    return PREFIX.sub("", ENDINGS.sub("", stem)) or stem


def find_tilt_file(tomogram: Path, folders: Iterable[Path] = ()) -> Path | None:
    """Find the file with the tilt angles of a tomogram, in some folders or beside the tomogram."""
    names = dict.fromkeys((stem_of(tomogram), core_name(tomogram)))
    for folder in (*folders, tomogram.parent):
        for name in names:
            for suffix in TILT_SUFFIXES:
                found = folder / f"{name}{suffix}"
                if found.is_file() and (suffix != ".star" or _tilt_column(StarFile(found)) is not None):
                    return found
    return None


def read_tilt_range(path: Path) -> tuple[float, float]:
    """Read the minimum and maximum tilt angle in degrees.

    Parameters
    ----------
    path : Path
        ``.tlt`` or ``.rawtlt`` (one angle per line), ``.mdoc`` of SerialEM, or a tilt-series STAR file.

    Raises
    ------
    SpisonetError
        If the file contains no tilt angles, or invalid ones.
    """
    if path.suffix in (".star", ".tomostar"):
        column = _tilt_column(StarFile(path))
        words = [] if column is None else [str(angle) for angle in column]
    else:
        text = path.read_text(encoding="utf-8", errors="replace")
        words = MDOC_TILT.findall(text) if path.suffix == ".mdoc" else text.split()
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
    return min(angles), max(angles)


def complete_tilt_range(
    name: str, lowest: float | None, highest: float | None, find_source: Callable[[], Path | None]
) -> tuple[float, float]:
    """Return a tilt range in degrees; missing limits come from a tilt file or else are -60 and 60.

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
    if lowest is None or highest is None:
        source = find_source()
        found = DEFAULT_TILT_RANGE if source is None else read_tilt_range(source)
        origin = "default" if source is None else f"from {source}"
        log.info("%s: tilt range %g to %g degrees (%s).", name, *found, origin)
        lowest = found[0] if lowest is None else lowest
        highest = found[1] if highest is None else highest
    if not -MAX_TILT <= lowest < highest <= MAX_TILT:
        raise SpisonetError(
            f"{name}: invalid tilt range {lowest:g} to {highest:g} degrees (the minimum must be below the "
            f"maximum, within +-{MAX_TILT:g})."
        )
    return lowest, highest


def _tilt_column(star: StarFile) -> Iterable[object] | None:
    for table in star.tables.values():
        for column in TILT_COLUMNS:
            if column in table:
                return list(table[column])
    return None
