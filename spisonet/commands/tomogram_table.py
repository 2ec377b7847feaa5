"""``prepare_star``: list tomograms, their halves and their tilt ranges."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.io.atomic import prepare_output_file, prepare_output_folder
from spisonet.io.tilt_angles import DEFAULT_TILT_RANGE, core_name, find_tilt_file, read_tilt_range
from spisonet.io.tomogram_table import FULL_ISONET1, FULL_ISONET2, HALVES, INDEX, TomogramTable
from spisonet.io.tomograms import SUFFIXES, open_tomogram, written_tomogram
from spisonet.tomography.chunks import slabs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spisonet.tomography.table_config import PrepareStarConfig

log = logging.getLogger("spisonet")

# In one folder, AreTomo's and others' names of halves.
EVEN, ODD = re.compile(r"_(EVN|even|half1)(?=[_.])"), re.compile(r"_(ODD|odd|half2)(?=[_.])")
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
    size = None if config.pixel_size == "auto" else _positive(config.pixel_size)
    defocus = _defocus(config.defocus, len(series))
    others = {
        column: _by_core_name(folder, series) if folder else {}
        for column, folder in (("rlnMaskName", config.mask_folder), ("rlnBoxFile", config.coordinate_folder))
    }
    prepare_output_file(config.output_star)
    averages = _plan_averages(config, series) if config.create_average else {}
    rows = []
    for number, (name, files) in enumerate(series.items()):
        beside = {column: str(found.get(name)) for column, found in others.items()}
        rows.append({INDEX: str(number + 1)} | _row(config, name, files, size, defocus[number]) | beside)
    for path, files in averages.items():
        _write_average(path, files, size)
    TomogramTable.new(config.output_star, rows).write()
    log.info("Wrote %s: %d tomograms.", config.output_star, len(rows))


def _series(config: PrepareStarConfig) -> dict[str, dict[str, Path]]:
    """Pair the files: those of ``full``, ``even`` and ``odd`` by the name of the tilt series."""
    if (config.even is None) != (config.odd is None):
        raise SpisonetError("Give both --even and --odd, or neither.")
    folders = {"full": config.full, "even": config.even, "odd": config.odd}
    mixed: list[Path] = []
    if config.folder_name is not None:
        if config.full is not None:
            raise SpisonetError("The folder of tomograms is given twice: as FOLDER_NAME and as --full.")
        mixed = _tomograms(config.folder_name)
    elif not any(folders.values()):
        raise SpisonetError("prepare_star needs a folder of tomograms, or --even and --odd.")
    kinds = [(kind, path) for kind, folder in folders.items() if folder for path in _tomograms(folder)]
    kinds += [(_kind_among(path, mixed), path) for path in mixed]
    found: dict[str, dict[str, Path]] = {}
    for kind, path in kinds:
        files = found.setdefault(core_name(path), {})
        if kind in files:
            raise SpisonetError(f"{files[kind]} and {path} seem to be of the same tilt series; rename one.")
        files[kind] = path
    lonely = [str(f.get("even") or f.get("odd")) for f in found.values() if ("even" in f) != ("odd" in f)]
    if lonely:
        raise SpisonetError(f"The other half is missing of {', '.join(lonely)}.")
    return dict(sorted(found.items()))


def _kind_among(path: Path, others: list[Path]) -> str:
    """Tell a half in a folder of everything by its partner; without one it counts as a whole tomogram."""
    for kind, own, partner in (("even", EVEN, ODD), ("odd", ODD, EVEN)):
        if own.search(path.name) and any(
            partner.search(other.name) and core_name(other) == core_name(path) for other in others
        ):
            return kind
    return "full"


def _tomograms(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise SpisonetError(f"{folder} is not a folder.")
    found = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix in SUFFIXES)
    if not found:
        raise SpisonetError(f"{folder} holds no tomograms ({', '.join(SUFFIXES)}).")
    return found


def _by_core_name(folder: Path, series: Iterable[str]) -> dict[str, Path]:
    """Find the files of a folder that belong to tilt series."""
    if not folder.is_dir():
        raise SpisonetError(f"{folder} is not a folder.")
    found = {core_name(Path(path.name.replace("_mask", ""))): path for path in sorted(folder.iterdir())}
    if not set(found) & set(series):
        raise SpisonetError(f"{folder} holds no file with the name of a tomogram.")
    return found


def _defocus(text: str, n_tomograms: int) -> list[float]:
    try:
        values = [float(word) for word in text.strip("[]() ").split(",")]
    except ValueError:
        values = [-1.0]
    if min(values) < 0 or len(values) not in (1, n_tomograms):
        raise SpisonetError(
            f"--defocus {text} is neither one defocus in Å nor one for each of {n_tomograms} tomograms."
        )
    return values * n_tomograms if len(values) == 1 else values


def _row(
    config: PrepareStarConfig, name: str, files: dict[str, Path], size: float | None, defocus: float
) -> dict[str, str]:
    first = files.get("even") or files["full"]
    tomogram = open_tomogram(first, size)
    for path in files.values():
        # The sum of halves is not there yet.
        if path.is_file() and (other := open_tomogram(path, size)).shape != tomogram.shape:
            raise SpisonetError(f"{path} is of shape {other.shape}, but {first} of {tomogram.shape}.")
    low, high = _tilt_range(config, first)
    row = {}
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
        "rlnDefocus": f"{defocus:g}",
        "rlnVoltage": f"{config.voltage:g}",
        "rlnSphericalAberration": f"{config.cs:g}",
        "rlnAmplitudeContrast": f"{config.ac:g}",
        "rlnNumberSubtomo": config.number_subtomos,
        "rlnMaskBoundary": "None",
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


def _plan_averages(
    config: PrepareStarConfig, series: dict[str, dict[str, Path]]
) -> dict[Path, dict[str, Path]]:
    """Name the sums that are to be written, and enter them as the full tomograms."""
    folder = config.output_star.parent / AVERAGE_FOLDER
    planned = {}
    for name, files in series.items():
        if "even" in files and "full" not in files:
            files["full"] = folder / f"{name}_full.mrc"
            planned[files["full"]] = files
    return planned


def _write_average(path: Path, files: dict[str, Path], size: float | None) -> None:
    prepare_output_folder(path.parent)
    even, odd = (open_tomogram(files[kind], size) for kind in ("even", "odd"))
    with written_tomogram(path, even, "spisonet: sum of even and odd") as total:
        for slab in slabs(even.shape):
            total[slab] = even.read(slab) + odd.read(slab)
    log.info("Wrote %s", path)
