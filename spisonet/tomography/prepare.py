"""``prepare_star``: list tomograms, their halves and their tilt ranges."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.io.atomic import prepare_output_file, prepare_output_folder
from spisonet.io.tomograms import SUFFIXES, open_tomogram, written_tomogram
from spisonet.tomography.blocks import slabs
from spisonet.tomography.table import FULL_ISONET1, FULL_ISONET2, HALVES, INDEX, TomogramTable
from spisonet.tomography.tilts import core_name, find_tilt_file, read_tilt_range

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.tomography.config import PrepareStarConfig

log = logging.getLogger("spisonet")

# In one folder, AreTomo's and others' names of halves.
EVEN, ODD = re.compile(r"_(EVN|even|half1)(?=[_.])"), re.compile(r"_(ODD|odd|half2)(?=[_.])")
DEFAULT_TILT_RANGE = (-60.0, 60.0)
AVERAGE_FOLDER = "sum_even_odd_tomograms"


def run_prepare_star(config: PrepareStarConfig) -> None:
    """List the tomograms of some folders in a STAR file.

    Raises
    ------
    SpisonetError
        If a folder holds no tomograms, halves do not pair, a tilt range is none, or the file cannot be
        written.
    """
    if config.tilt_min is not None and config.tilt_max is not None and config.tilt_min >= config.tilt_max:
        raise SpisonetError(f"--tilt_min {config.tilt_min:g} is not below --tilt_max {config.tilt_max:g}.")
    series = _series(config)
    prepare_output_file(config.output_star)
    if config.create_average:
        _write_averages(config, series)
    masks = _by_core_name(config.mask_folder) if config.mask_folder else {}
    rows = [
        _row(config, number, name, files, masks.get(name))
        for number, (name, files) in enumerate(series.items(), start=1)
    ]
    TomogramTable.new(config.output_star, rows).write()
    log.info("Wrote %s: %d tomograms.", config.output_star, len(rows))


def _series(config: PrepareStarConfig) -> dict[str, dict[str, Path]]:
    """Pair the files: those of ``full``, ``even`` and ``odd`` by the name of the tilt series."""
    if (config.even is None) != (config.odd is None):
        raise SpisonetError("Give both --even and --odd, or neither.")
    folders = {"full": config.full, "even": config.even, "odd": config.odd}
    if config.folder_name is not None:
        if config.full is not None:
            raise SpisonetError("The folder of tomograms is given twice: as FOLDER_NAME and as --full.")
        folders["full"] = config.folder_name
    if not any(folders.values()):
        raise SpisonetError("prepare_star needs a folder of tomograms, or --even and --odd.")
    found: dict[str, dict[str, Path]] = {}
    for kind, folder in folders.items():
        for path in _tomograms(folder) if folder is not None else []:
            own = kind
            if kind == "full" and config.even is None:
                own = "even" if EVEN.search(path.name) else "odd" if ODD.search(path.name) else "full"
            files = found.setdefault(core_name(path), {})
            if own in files:
                raise SpisonetError(
                    f"{files[own]} and {path} seem to be of the same tilt series; rename one."
                )
            files[own] = path
    lonely = [str(f.get("even") or f.get("odd")) for f in found.values() if ("even" in f) != ("odd" in f)]
    if lonely:
        raise SpisonetError(f"The other half is missing of {', '.join(lonely)}.")
    return dict(sorted(found.items()))


def _tomograms(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise SpisonetError(f"{folder} is not a folder.")
    found = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix in SUFFIXES)
    if not found:
        raise SpisonetError(f"{folder} holds no tomograms ({', '.join(SUFFIXES)}).")
    return found


def _by_core_name(folder: Path) -> dict[str, Path]:
    return {core_name(path).removesuffix("_mask"): path for path in _tomograms(folder)}


def _row(
    config: PrepareStarConfig, number: int, name: str, files: dict[str, Path], mask: Path | None
) -> dict[str, str]:
    first = files.get("full") or files["even"]
    size = None if config.pixel_size == "auto" else _positive(config.pixel_size)
    tomogram = open_tomogram(first, size)
    others = [open_tomogram(path, size) for path in files.values()]
    for other in others:
        if other.shape != tomogram.shape:
            raise SpisonetError(f"{other.path} is of shape {other.shape}, but {first} of {tomogram.shape}.")
    low, high = _tilt_range(config, first)
    row = {INDEX: str(number)}
    if config.folder_name is not None and "even" not in files:
        row[FULL_ISONET1] = str(first)  # as IsoNet 0.2 lists them
    else:
        row[FULL_ISONET2] = str(files.get("full", name))
    row |= {
        column: str(files[kind])
        for column, kind in zip(HALVES, ("even", "odd"), strict=True)
        if kind in files
    }
    return row | {
        "rlnPixelSize": f"{tomogram.voxel_size_angstrom:.6g}",
        "rlnDefocus": f"{config.defocus:g}",
        "rlnVoltage": f"{config.voltage:g}",
        "rlnSphericalAberration": f"{config.cs:g}",
        "rlnAmplitudeContrast": f"{config.ac:g}",
        "rlnNumberSubtomo": str(config.number_subtomos),
        "rlnMaskBoundary": "None",
        "rlnMaskName": str(mask),
        "rlnTiltMin": f"{low:g}",
        "rlnTiltMax": f"{high:g}",
        "rlnTiltStep": f"{config.tilt_step:g}",
    }


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if value <= 0:
        raise SpisonetError(f"--pixel_size {text} is neither a voxel size in Å nor auto.")
    return value


def _tilt_range(config: PrepareStarConfig, tomogram: Path) -> tuple[float, float]:
    low, high = config.tilt_min, config.tilt_max
    if low is None or high is None:
        source = find_tilt_file(tomogram, [config.tilt_folder] if config.tilt_folder else [])
        found = DEFAULT_TILT_RANGE if source is None else read_tilt_range(source)
        if source is not None:
            log.info("%s: tilts %g to %g degrees, from %s.", tomogram, *found, source)
        low, high = found[0] if low is None else low, found[1] if high is None else high
    if low >= high:
        raise SpisonetError(f"{tomogram}: the tilt range {low:g} to {high:g} degrees is none.")
    return low, high


def _write_averages(config: PrepareStarConfig, series: dict[str, dict[str, Path]]) -> None:
    folder = config.output_star.parent / AVERAGE_FOLDER
    prepare_output_folder(folder)
    for name, files in series.items():
        if "even" not in files or "full" in files:
            continue
        even, odd = (open_tomogram(files[kind]) for kind in ("even", "odd"))
        if even.shape != odd.shape:
            raise SpisonetError(f"{even.path} and {odd.path} are of different shapes.")
        path = folder / f"{name}_full.mrc"
        with written_tomogram(path, even, "spisonet: sum of even and odd") as total:
            for slab in slabs(even.shape):
                total[slab] = even.read(slab) + odd.read(slab)
        files["full"] = path
        log.info("Wrote %s", path)
