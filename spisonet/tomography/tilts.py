"""Tilt ranges, from the files that microscopes, IMOD, RELION and Warp leave beside tomograms."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.io.star import StarFile

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SUFFIXES = (".tlt", ".rawtlt", ".mdoc", ".mrc.mdoc", ".st.mdoc", ".star")
# Refined angles first.
TILT_COLUMNS = ("rlnTomoYTilt", "rlnTomoNominalStageTiltAngle", "wrpAxisAngle", "rlnTomoTiltAngle")
MDOC_TILT = re.compile(r"^\s*TiltAngle\s*=\s*([-+.\deE]+)", re.MULTILINE)
STEEPEST = 90.0
# What programs add to a tilt series' name: halves, "rec", binning, voxel size.
ADDITIONS = re.compile(
    r"(_(even|odd|evn|half[12]|vol|rec|full|ali|aligned|corrected|deconv|bin\d+|b\d+|[\d.]+apx))+$",
    re.IGNORECASE,
)
PREFIX = re.compile(r"^(rec_)", re.IGNORECASE)


def core_name(path: Path) -> str:
    """Name of the tilt series that a tomogram is of: its file's without what programs add to it."""
    stem = path.name
    for suffix in (".gz", ".bz2", path.suffix if path.suffix not in (".gz", ".bz2") else "", ".mrc", ".rec"):
        stem = stem.removesuffix(suffix) if suffix else stem
    return PREFIX.sub("", ADDITIONS.sub("", stem)) or stem


def find_tilt_file(tomogram: Path, folders: Iterable[Path] = ()) -> Path | None:
    """Find a file of tilt angles that belongs to a tomogram, beside it or in other folders."""
    names = dict.fromkeys((tomogram.name.rsplit(".", 1)[0], core_name(tomogram)))
    for folder in (tomogram.parent, *folders):
        for name in names:
            for suffix in SUFFIXES:
                if (found := folder / f"{name}{suffix}").is_file():
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
    if path.suffix == ".star":
        angles = _of_star(StarFile(path))
    else:
        text = path.read_text(encoding="utf-8", errors="replace")
        words = MDOC_TILT.findall(text) if path.suffix == ".mdoc" else text.split()
        try:
            angles = [float(word) for word in words]
        except ValueError as error:
            raise SpisonetError(f"{path} should hold one tilt angle a line.") from error
    if len(angles) < 2:
        raise SpisonetError(f"{path} holds no tilt angles.")
    if max(map(abs, angles)) > STEEPEST:
        raise SpisonetError(f"{path} holds a tilt angle of {max(angles, key=abs):g} degrees.")
    return min(angles), max(angles)


def _of_star(star: StarFile) -> list[float]:
    for table in star.tables.values():
        for column in TILT_COLUMNS:
            if column in table:
                return [float(angle) for angle in table[column]]
    return []
