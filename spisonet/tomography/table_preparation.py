"""Table of the tomograms in some folders (``prepare_star``)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.io.tilt_angles import complete_tilt_range, find_tilt_file
from spisonet.io.tomogram_folders import TomogramPaths, files_of_series, find_tomograms
from spisonet.io.tomogram_table import FULL_ISONET1, FULL_ISONET2, HALVES, INDEX
from spisonet.io.tomograms import open_tomogram, written_tomogram
from spisonet.tomography.chunks import slabs

if TYPE_CHECKING:
    from spisonet.tomography.table_config import PrepareStarConfig

AVERAGE_FOLDER = "sum_even_odd_tomograms"


@dataclass(frozen=True)
class PreparedTable:
    """Content of a table, and the sums of halves that it lists.

    Attributes
    ----------
    rows : list of dict
        Text by column.
    sums : list of TomogramPaths
        Tomograms whose full one is to be written as the sum of even and odd.
    voxel_size_angstrom : float or None
        Voxel size in Å that overrides those of the headers.
    """

    rows: list[dict[str, str]]
    sums: list[TomogramPaths]
    voxel_size_angstrom: float | None


def prepare_table(config: PrepareStarConfig) -> PreparedTable:
    """Find the tomograms of some folders and collect their rows; nothing is written.

    Raises
    ------
    SpisonetError
        If an option is invalid, a folder contains no tomograms, halves do not match, or a tilt range is
        invalid.
    """
    _check_options(config)
    series = find_tomograms(config.folder_name, config.full, config.even, config.odd)
    voxel_size = None if config.pixel_size == "auto" else _voxel_size(config.pixel_size)
    defocus = _defocus_values(config.defocus, len(series))
    masks = files_of_series(config.mask_folder, series) if config.mask_folder else {}
    coordinates = files_of_series(config.coordinate_folder, series) if config.coordinate_folder else {}
    sums = []
    if config.create_average:
        folder = config.output_star.parent / AVERAGE_FOLDER
        for name, paths in series.items():
            if paths.even is not None and paths.full is None:
                series[name] = replace(paths, full=folder / f"{name}_full.mrc")
                sums.append(series[name])
    rows = [
        {INDEX: str(number)}
        | _row(config, name, paths, voxel_size, defocus_angstrom)
        | {"rlnMaskName": str(masks.get(name)), "rlnBoxFile": str(coordinates.get(name))}
        for number, ((name, paths), defocus_angstrom) in enumerate(
            zip(series.items(), defocus, strict=True), start=1
        )
    ]
    return PreparedTable(rows, sums, voxel_size)


def write_sum(paths: TomogramPaths, voxel_size_angstrom: float | None) -> None:
    """Write the sum of an even and an odd tomogram as the full one.

    Raises
    ------
    SpisonetError
        If a tomogram cannot be read or written.
    """
    if paths.full is None or paths.even is None or paths.odd is None:
        raise ValueError("A sum requires full, even and odd file names")
    even, odd = (open_tomogram(path, voxel_size_angstrom) for path in (paths.even, paths.odd))
    with written_tomogram(paths.full, even, "spisonet: sum of even and odd") as total:
        for slab in slabs(even.shape):
            total[slab] = even.read(slab) + odd.read(slab)


def _check_options(config: PrepareStarConfig) -> None:
    if config.tilt_min is not None and config.tilt_max is not None and config.tilt_min >= config.tilt_max:
        raise SpisonetError(
            f"--tilt_min {config.tilt_min:g} is not below --tilt_max {config.tilt_max:g}.", field="tilt_min"
        )
    if (config.even is None) != (config.odd is None):
        raise SpisonetError("Give both --even and --odd, or neither.", field="even")
    if config.folder_name is not None and config.full is not None:
        raise SpisonetError(
            "The folder of tomograms is given twice, as FOLDER_NAME and as --full.", field="full"
        )
    if not (config.folder_name or config.full or config.even):
        raise SpisonetError(
            "prepare_star needs a folder of tomograms, or --even and --odd.", field="folder_name"
        )


def _defocus_values(text: str, n_tomograms: int) -> list[float]:
    try:
        values = [float(word) for word in text.strip("[]() ").split(",")]
    except ValueError:
        values = [-1.0]
    if not min(values) >= 0 or len(values) not in (1, n_tomograms):
        raise SpisonetError(
            f"--defocus {text} is neither one defocus in Å nor one for each of {n_tomograms} tomograms.",
            field="defocus",
        )
    return values * n_tomograms if len(values) == 1 else values


def _voxel_size(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise SpisonetError(f"--pixel_size {text} is neither a voxel size in Å nor auto.", field="pixel_size")
    return value


def _row(
    config: PrepareStarConfig,
    name: str,
    paths: TomogramPaths,
    voxel_size: float | None,
    defocus_angstrom: float,
) -> dict[str, str]:
    first = paths.first
    tomogram = open_tomogram(first, voxel_size)
    for path in paths.existing:  # a sum of halves is not written yet
        if (other := open_tomogram(path, voxel_size)).shape != tomogram.shape:
            raise SpisonetError(f"{path} has the shape {other.shape}, but {first} has {tomogram.shape}.")
    tilt_folders = [config.tilt_folder] if config.tilt_folder else []
    lowest, highest = complete_tilt_range(
        str(first), config.tilt_min, config.tilt_max, lambda: find_tilt_file(first, tilt_folders)
    )
    if config.folder_name is not None and paths.even is None:
        row = {FULL_ISONET1: str(first)}  # the column of IsoNet 0.2
    else:
        row = {FULL_ISONET2: str(paths.full or name)}
    row |= {
        column: str(path)
        for column, path in zip(HALVES, (paths.even, paths.odd), strict=True)
        if path is not None
    }
    return row | {
        "rlnPixelSize": f"{tomogram.voxel_size_angstrom:.6g}",
        "rlnDefocus": f"{defocus_angstrom:g}",
        "rlnVoltage": f"{config.voltage:g}",
        "rlnSphericalAberration": f"{config.cs:g}",
        "rlnAmplitudeContrast": f"{config.ac:g}",
        "rlnNumberSubtomo": config.number_subtomos,
        "rlnMaskBoundary": "None",
        "rlnTiltMin": f"{lowest:g}",
        "rlnTiltMax": f"{highest:g}",
        "rlnTiltStep": f"{config.tilt_step:g}",
    }
