"""Table of the tomograms in some folders (``prepare_star``)."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.io.atomic import prepare_output_file, prepare_output_folder
from spisonet.io.coordinate_files import match_coordinates
from spisonet.io.coordinates import read_coordinates
from spisonet.io.mrc_file import open_mrc
from spisonet.io.numbers import counted, parse_number
from spisonet.io.paths import real_path
from spisonet.io.series_names import POSSIBLE_HALF, half_candidates
from spisonet.io.tilt_angles import (
    TILT_SOURCE,
    TiltRange,
    complete_tilt_range,
    find_tilt_file,
    require_tilt_range,
)
from spisonet.io.tomogram_sources import (
    LeftOut,
    MatchedFiles,
    TomogramPaths,
    find_tomograms,
    match_files,
)
from spisonet.io.tomogram_table import (
    AUTOMATIC,
    FULL_ISONET1,
    FULL_ISONET2,
    HALVES,
    INDEX,
    TomogramTable,
)
from spisonet.io.tomograms import DEFAULT_VOXEL_SIZE, SUFFIXES, open_tomogram, stem_of, written_tomogram
from spisonet.tomography.chunks import slabs
from spisonet.tomography.shared_config import PIXEL_SIZE_OPTION, parse_voxel_size
from spisonet.tomography.table_config import parse_defocus

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.tomography.table_config import PrepareStarConfig

log = logging.getLogger("spisonet")

AVERAGE_FOLDER = "sum_even_odd_tomograms"
NO_FILES = MatchedFiles({})


@dataclass(frozen=True)
class PlannedTomogram:
    """What a table will list of one tilt series.

    Attributes
    ----------
    name : str
        Name of the tilt series.
    paths : TomogramPaths
        Its tomograms.
    shape : tuple of int
        ``(z, y, x)`` in voxels.
    voxel_size_angstrom : float
        Voxel size in Å.
    tilts : TiltRange
        Tilt range, and where it comes from.
    mask, coordinates : Path or None
        Mask and file of subvolume centres.
    n_coordinates : int
        Number of subvolume centres in the file.
    """

    name: str
    paths: TomogramPaths
    shape: tuple[int, int, int]
    voxel_size_angstrom: float
    tilts: TiltRange
    mask: Path | None = None
    coordinates: Path | None = None
    n_coordinates: int = 0


@dataclass(frozen=True)
class TablePlan:
    """Content of a table, what was assumed for it, and what was left out.

    Attributes
    ----------
    tomograms : tuple of PlannedTomogram
        Tomograms in the order of the rows.
    rows : list of dict
        Text by column.
    sums : list of TomogramPaths
        Tomograms whose full one is to be written as the sum of even and odd.
    voxel_size_angstrom : float or None
        Voxel size in Å that overrides those of the headers.
    assumptions : tuple of str
        Sentences about what no file and no option says.
    not_found : tuple of str
        Masks and subvolume centres that the given folders do not contain.
    left_out : tuple of LeftOut
        Files and folders that are not used.
    """

    tomograms: tuple[PlannedTomogram, ...]
    rows: list[dict[str, str]]
    sums: list[TomogramPaths]
    voxel_size_angstrom: float | None
    assumptions: tuple[str, ...]
    not_found: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


def plan_table(config: PrepareStarConfig) -> TablePlan:
    """Find the tomograms of some folders and collect their rows; nothing is written.

    Raises
    ------
    SpisonetError
        If an option is invalid, a folder contains no tomograms, halves do not match, or a tilt range is
        invalid.
    """
    config.check_options()
    if config.tilt_folder is not None and not config.tilt_folder.is_dir():
        raise SpisonetError(f"{config.tilt_folder} is not a folder.", field="tilt_folder")
    found = find_tomograms(config.folder_name, config.full, config.even, config.odd)
    voxel_size = parse_voxel_size(config.pixel_size)
    masks = match_files(config.mask_folder, found.series, SUFFIXES) if config.mask_folder else NO_FILES
    coordinates = (
        match_coordinates(config.coordinate_folder, found.series) if config.coordinate_folder else NO_FILES
    )
    left_out = [*found.left_out, *masks.left_out, *coordinates.left_out]
    listed_in = found.listed_in
    if listed_in is not None and listed_in.has_coordinates and not config.coordinate_folder:
        coordinates = MatchedFiles(dict.fromkeys(found.series, listed_in.path))
    not_found = [f"mask of {name}" for name in masks.without]
    not_found += [f"subvolume centres of {name}" for name in coordinates.without]
    tomograms, sums = [], []
    for name, paths in found.series.items():
        if paths.even is not None and paths.odd is not None and real_path(paths.even) == real_path(paths.odd):
            raise SpisonetError(
                f"{name}: even and odd are the same file: {paths.odd} is {paths.even}; give two independent "
                "halves."
            )
        listed = None if listed_in is None else listed_in.tomograms[name]
        size = listed.voxel_size_angstrom if voxel_size is None and listed is not None else voxel_size
        tomogram, unused = _planned(config, name, paths, size)
        left_out += unused
        if tomogram is None:
            continue
        if listed is not None and listed_in is not None and listed.tilts_degrees is not None:
            tomogram = _with_listed_tilts(config, tomogram, listed.tilts_degrees, listed_in.path)
        if config.create_average and tomogram.paths.even is not None and tomogram.paths.full is None:
            full = config.output_star.parent / AVERAGE_FOLDER / f"{name}_full.mrc"
            tomogram = replace(tomogram, paths=replace(paths, full=full))
            sums.append(tomogram.paths)
        if name in masks.by_series:
            _require_shape_of_mask(masks.by_series[name], tomogram)
            tomogram = replace(tomogram, mask=masks.by_series[name])
        if name in coordinates.by_series:
            path = coordinates.by_series[name]
            names = [str(tomogram.paths.first), name]
            points = read_coordinates(path, tomogram.shape, tomogram.voxel_size_angstrom, names)
            tomogram = replace(tomogram, coordinates=path, n_coordinates=len(points))
        tomograms.append(tomogram)
    if not tomograms:
        raise SpisonetError(f"There are no tomograms: {left_out[-1].path} {left_out[-1].reason}.")
    rows = [
        {INDEX: str(number)} | _row(config, tomogram, defocus_angstrom)
        for number, (tomogram, defocus_angstrom) in enumerate(
            zip(tomograms, _defocus_values(config.defocus, len(tomograms)), strict=True), start=1
        )
    ]
    assumptions = [
        sentence
        for tomogram in tomograms
        for sentence in _assumptions(tomogram, voxel_size, config.tilt_folder)
    ]
    return TablePlan(
        tuple(tomograms), rows, sums, voxel_size, tuple(assumptions), tuple(not_found), tuple(left_out)
    )


def _assumptions(tomogram: PlannedTomogram, voxel_size: float | None, tilt_folder: Path | None) -> list[str]:
    """Return sentences about what no file and no option says of a tomogram."""
    name, paths, tilts = tomogram.name, tomogram.paths, tomogram.tilts
    found = []
    if tilts.is_assumed:
        remedy = "give --tilt_folder, or --tilt_min and --tilt_max"
        if tilt_folder is not None:
            named = f"name its file in {tilt_folder} after it, such as {name}.tlt"
            remedy = f"{named}, or give --tilt_min and --tilt_max"
        found.append(
            f"{name}: the tilt range {tilts.lowest_degrees:g} to {tilts.highest_degrees:g} degrees is "
            f"{tilts.origin}; {remedy}."
        )
    if paths.by_order:
        found.append(
            f"{name}: {paths.even} and {paths.odd} are paired by the order of their names, which differ."
        )
    if paths.even is None and paths.full is not None and half_candidates(paths.full):
        found.append(f"{name}: {paths.full} is listed as a full tomogram, since it has no counterpart.")
    elif paths.even is None and paths.full is not None and POSSIBLE_HALF.search(stem_of(paths.full)):
        found.append(
            f"{name}: {paths.full} is listed as a full tomogram; if it is a half, call the halves even and "
            "odd."
        )
    if voxel_size is None and tomogram.voxel_size_angstrom == DEFAULT_VOXEL_SIZE:
        found.append(
            f"{name}: the voxel size of {paths.first} is exactly 1 Å, which programs write that do not know "
            "it; give --pixel_size."
        )
    return found


def write_table(plan: TablePlan, output_star: Path) -> None:
    """Write a planned table, and the sums of even and odd tomograms that it lists.

    Raises
    ------
    SpisonetError
        If a tomogram cannot be read, or a file cannot be written.
    """
    prepare_output_file(output_star)
    if plan.sums:
        prepare_output_folder(output_star.parent / AVERAGE_FOLDER)
    for paths in plan.sums:
        write_sum(paths, plan.voxel_size_angstrom)
        log.info("Wrote %s", paths.full)
    TomogramTable.new(output_star, plan.rows).write()
    log.info("Wrote %s: %s.", output_star, counted(len(plan.rows), "tomogram"))


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


def _defocus_values(text: str, n_tomograms: int) -> list[float]:
    values = parse_defocus(text)
    if len(values) not in (1, n_tomograms):
        raise SpisonetError(
            f"--defocus {text} is neither one defocus in Å nor one for each of {n_tomograms} tomograms.",
            field="defocus",
        )
    return values * n_tomograms if len(values) == 1 else values


def _number_of_subtomograms(text: str) -> str:
    """Return the entry of the table: ``auto``, or a number in the range of its column."""
    if text != AUTOMATIC:
        parse_number(text, "rlnNumberSubtomo", f"--number_subtomos {text}")
    return text


def _planned(
    config: PrepareStarConfig, name: str, paths: TomogramPaths, voxel_size: float | None
) -> tuple[PlannedTomogram | None, list[LeftOut]]:
    """Open the tomograms of a tilt series and read its tilt range.

    Stacks of tilt images are left out, and None is returned if there is nothing else. A full tomogram of
    another shape than the halves is left out as well.
    """
    given = (config.tilt_folder, config.folder_name, config.full, config.even, config.odd)
    folders = [folder for folder in given if folder is not None]
    # The names of halves may not tell that of the series.
    named_after = [*paths.existing, paths.first.with_name(name)]
    tilts = complete_tilt_range(
        str(paths.first), config.tilt_min, config.tilt_max, lambda: find_tilt_file(named_after, folders)
    )
    volumes, left_out = _without_stacks(paths, tilts)
    if volumes is None:
        return None, left_out
    paths, first = volumes, volumes.first
    tomogram = open_tomogram(first, voxel_size, remedy=PIXEL_SIZE_OPTION)
    for path in paths.existing:
        other = open_tomogram(path, voxel_size, remedy=PIXEL_SIZE_OPTION)
        if other.shape != tomogram.shape and path == paths.full:
            reason = f"its shape {other.shape} is not that of the halves, {tomogram.shape}"
            left_out.append(LeftOut(path, reason))
            paths = replace(paths, full=None)
        elif other.shape != tomogram.shape:
            raise SpisonetError(f"{path} has the shape {other.shape}, but {first} has {tomogram.shape}.")
    return PlannedTomogram(name, paths, tomogram.shape, tomogram.voxel_size_angstrom, tilts), left_out


def _without_stacks(paths: TomogramPaths, tilts: TiltRange) -> tuple[TomogramPaths | None, list[LeftOut]]:
    """Leave out files with as many sections as there are tilts, unless their header says volume."""
    if tilts.source is None or tilts.n_tilts is None:
        return paths, []
    headers = {path: open_mrc(path) for path in paths.existing}
    stacks = [p for p, header in headers.items() if header.shape[0] == tilts.n_tilts and not header.is_volume]
    reason = (
        f"appears to be a stack of tilt images: it has {tilts.n_tilts} sections, as many as there are tilts "
        f"in {tilts.source}; if it is a tomogram, set ispg to 1 in its header, or give --tilt_min and "
        "--tilt_max"
    )
    left_out = [LeftOut(path, reason) for path in stacks]
    halves = (None, None) if {paths.even, paths.odd} & set(stacks) else (paths.even, paths.odd)
    full = None if paths.full in stacks else paths.full
    if full is None and halves == (None, None):
        return None, left_out
    return replace(paths, full=full, even=halves[0], odd=halves[1]), left_out


def _require_shape_of_mask(path: Path, tomogram: PlannedTomogram) -> None:
    """Check that a mask has the shape of its tomogram.

    Raises
    ------
    SpisonetError
        If it has not, or cannot be read.
    """
    shape = open_tomogram(path, tomogram.voxel_size_angstrom).shape
    if shape != tomogram.shape:
        raise SpisonetError(
            f"{path} has the shape {shape}, but {tomogram.paths.first} has {tomogram.shape}; give a mask of "
            "the same binning.",
            field="mask_folder",
        )


def _with_listed_tilts(
    config: PrepareStarConfig, tomogram: PlannedTomogram, degrees: tuple[float, float], source: Path
) -> PlannedTomogram:
    """Use the tilt range of a list where neither an option nor a tilt file gives it."""
    if not tomogram.tilts.is_assumed:
        return tomogram
    low, high = (
        listed if given is None else given
        for listed, given in zip(degrees, (config.tilt_min, config.tilt_max), strict=True)
    )
    require_tilt_range(f"{source}: {tomogram.name}", low, high)
    return replace(tomogram, tilts=TiltRange(low, high, source))


def _row(config: PrepareStarConfig, tomogram: PlannedTomogram, defocus_angstrom: float) -> dict[str, str]:
    paths, tilts = tomogram.paths, tomogram.tilts
    if config.folder_name is not None and paths.even is None:
        row = {FULL_ISONET1: str(paths.first)}  # the column of IsoNet 0.2
    else:
        row = {FULL_ISONET2: str(paths.full or tomogram.name)}
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
        "rlnNumberSubtomo": _number_of_subtomograms(config.number_subtomos),
        "rlnMaskBoundary": "None",
        "rlnTiltMin": f"{tilts.lowest_degrees:g}",
        "rlnTiltMax": f"{tilts.highest_degrees:g}",
        "rlnTiltStep": f"{config.tilt_step:g}",
        TILT_SOURCE: tilts.table_entry,
        "rlnMaskName": str(tomogram.mask),
        "rlnBoxFile": str(tomogram.coordinates),
    }
