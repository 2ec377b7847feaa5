"""Tilt ranges, from the files that microscopes, IMOD, RELION and Warp leave beside tomograms."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.io.star import StarFile
from spisonet.io.tomograms import stem_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SUFFIXES = (".tlt", ".rawtlt", ".mdoc", ".mrc.mdoc", ".st.mdoc", ".tomostar", ".star")
# Refined angles first.
TILT_COLUMNS = ("rlnTomoYTilt", "rlnTomoNominalStageTiltAngle", "wrpAngleTilt", "rlnTomoTiltAngle")
MDOC_TILT = re.compile(r"^\s*TiltAngle\s*=\s*([-+.\deE]+)", re.MULTILINE)
STEEPEST, DEFAULT_TILT_RANGE = 90.0, (-60.0, 60.0)  # degrees
# What programs add to a tilt series' name: halves, "rec", binning, voxel size.
ADDITIONS = re.compile(
    r"(_(even|odd|evn|half[12]|vol|rec|full|ali|aligned|corrected|deconv|bin\d+|[\d.]+apx))+$",
    re.IGNORECASE,
)
PREFIX = re.compile(r"^(rec_)", re.IGNORECASE)


def core_name(path: Path) -> str:
    """Name of the tilt series that a tomogram is of: its file's without what programs add to it."""
    stem = stem_of(path)
    return PREFIX.sub("", ADDITIONS.sub("", stem)) or stem


def find_tilt_file(tomogram: Path, folders: Iterable[Path] = ()) -> Path | None:
    """Find a file of tilt angles that belongs to a tomogram, in given folders or beside it."""
    names = dict.fromkeys((stem_of(tomogram), core_name(tomogram)))
    for folder in (*folders, tomogram.parent):
        for name in names:
            for suffix in SUFFIXES:
                found = folder / f"{name}{suffix}"
                if found.is_file() and (suffix != ".star" or _tilt_column(StarFile(found)) is not None):
                    return found
    return None


def read_tilt_range(path: Path) -> tuple[float, float]:
    """Read the smallest and the largest tilt angle in degrees.

    Parameters
    ----------
    path : Path
        ``.tlt`` or ``.rawtlt`` (an angle a line), ``.mdoc`` of SerialEM, or a tilt-series STAR file.

    Raises
    ------
    SpisonetError
        If the file holds no tilt angles, or angles that are none.
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
        raise SpisonetError(f"{path} holds a tilt angle that is no number.") from error
    if len(angles) < 2 or not all(map(math.isfinite, angles)):
        raise SpisonetError(f"{path} holds no tilt angles.")
    if max(map(abs, angles)) > STEEPEST:
        raise SpisonetError(f"{path} holds a tilt angle of {max(angles, key=abs):g} degrees.")
    return min(angles), max(angles)


def _tilt_column(star: StarFile) -> Iterable[object] | None:
    for table in star.tables.values():
        for column in TILT_COLUMNS:
            if column in table:
                return list(table[column])
    return None
