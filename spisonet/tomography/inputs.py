"""The tomograms that a table lists: choice of input files, tilt ranges, masks and coordinates."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.io.tilt_angles import (
    TILT_SOURCE,
    TiltRange,
    complete_tilt_range,
    find_tilt_file,
    is_still_assumed,
)
from spisonet.io.tomogram_table import AUTOMATIC, DECONVOLVED, RELION5_SERIES, SUBTOMOGRAM
from spisonet.io.tomograms import DEFAULT_VOXEL_SIZE, open_tomogram
from spisonet.tomography.tomogram import Tomogram

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.io.tomogram_table import TomogramRow
    from spisonet.io.tomograms import TomogramFile

log = logging.getLogger("spisonet")

DEFAULT_SUBVOLUMES, SUBVOLUMES_PER_SUBTOMOGRAM = 100, 6  # of IsoNet 0.2


def input_column(row: TomogramRow, requested: str | None, use_deconvolved: bool) -> str | None:
    """Return the column of the single input tomogram; None for the full tomogram.

    Parameters
    ----------
    row : TomogramRow
        Row of the table.
    requested : str or None
        Column that the user chose.
    use_deconvolved : bool
        Prefer the deconvolved tomogram, if the row lists one.
    """
    if requested is not None:
        return requested
    return DECONVOLVED if use_deconvolved and row.path(DECONVOLVED) is not None else None


def input_file(row: TomogramRow, column: str | None) -> Path | None:
    """Return the single input tomogram; see `input_column`."""
    return row.full if column is None else row.path(column)


def read_tomograms(
    rows: list[TomogramRow], use_halves: bool, columns: list[str | None], with_masks: bool = True
) -> list[Tomogram]:
    """Open the tomograms of a table; all missing files are named in one error.

    Parameters
    ----------
    rows : list of TomogramRow
        Rows of the table.
    use_halves : bool
        Use even and odd tomograms instead of single ones.
    columns : list of (str or None)
        For each row, the column of the single tomogram; see `input_column`.
    with_masks : bool
        Also open masks and coordinate files.

    Raises
    ------
    SpisonetError
        If a file is missing or damaged, halves or masks differ in shape, or a tilt range is invalid.
    """
    files = [_files(row, use_halves, column) for row, column in zip(rows, columns, strict=True)]
    masks = [row.path("rlnMaskName") if with_masks else None for row in rows]
    coordinates = [row.path("rlnBoxFile") if with_masks else None for row in rows]
    unlisted = [row.shown for row, paths in zip(rows, files, strict=True) if not paths]
    if unlisted:
        kind = "even and odd tomograms" if use_halves else "tomogram file"
        raise SpisonetError(f"The table lists no {kind} for {', '.join(unlisted)}.")
    required = [*(path for paths in files for path in paths), *masks, *coordinates]
    missing = [str(path) for path in required if path is not None and not path.is_file()]
    if missing:
        raise SpisonetError(f"Missing files: {', '.join(missing)}.")
    tomograms = []
    for row, paths, mask_path, points in zip(rows, files, masks, coordinates, strict=True):
        volumes = tuple(open_tomogram(path, row.voxel_size_angstrom) for path in paths)
        mask = None if mask_path is None else open_tomogram(mask_path, volumes[0].voxel_size_angstrom)
        for other in (*volumes[1:], *([mask] if mask else [])):
            if other.shape != volumes[0].shape:
                raise SpisonetError(
                    f"{other.path} has the shape {other.shape}, but {volumes[0].path} has {volumes[0].shape}."
                )
        if mask is not None:
            _warn_of_other_origin(mask, volumes[0])
        if row.voxel_size_angstrom is None and volumes[0].voxel_size_angstrom == DEFAULT_VOXEL_SIZE:
            log.warning(
                "%s: the voxel size of %s is exactly 1 Å, which programs write that do not know it; "
                "enter it as rlnPixelSize in the table.",
                row.shown,
                volumes[0].path,
            )
        tilts = _tilt_range(row, paths)
        tomograms.append(
            Tomogram(
                row.shown,
                volumes,
                tilts.degrees,
                mask,
                points,
                _n_subvolumes(row),
                tilt_range_is_assumed=tilts.is_assumed,
            )
        )
    return tomograms


def _warn_of_other_origin(mask: TomogramFile, tomogram: TomogramFile) -> None:
    """Warn of a mask whose header places it elsewhere; masks without any origin are common."""
    places = [file.corner_angstrom for file in (mask, tomogram)]
    distance = max(abs(a - b) for a, b in zip(*places, strict=True))
    if any(places[0]) and distance > tomogram.voxel_size_angstrom / 2:
        log.warning(
            "%s has another origin than %s (by up to %.0f Å); it is used voxel by voxel.",
            mask.path,
            tomogram.path,
            distance,
        )


def _files(row: TomogramRow, use_halves: bool, column: str | None) -> tuple[Path, ...]:
    if use_halves:
        return row.halves or ()
    path = input_file(row, column)
    return () if path is None else (path,)


def _tilt_range(row: TomogramRow, paths: tuple[Path, ...]) -> TiltRange:
    def find_source() -> Path | None:
        series = row.path(RELION5_SERIES)
        if series is not None and series.is_file():
            return series
        # Deconvolved tomograms are in a folder without tilt files.
        beside = [*paths, *(row.halves or ()), *([row.full] if row.full else [])]
        return find_tilt_file(beside)

    tilts = complete_tilt_range(
        row.shown, row.number_of("rlnTiltMin"), row.number_of("rlnTiltMax"), find_source
    )
    if is_still_assumed(row.text(TILT_SOURCE), tilts.degrees):
        tilts = replace(tilts, is_assumed=True)
    if tilts.is_assumed:
        log.warning(
            "%s: the tilt range %g to %g degrees is %s; correct rlnTiltMin and rlnTiltMax in the table.",
            row.shown,
            *tilts.degrees,
            tilts.origin,
        )
    elif tilts.source is not None:
        log.info("%s: tilt range %g to %g degrees (%s).", row.shown, *tilts.degrees, tilts.origin)
    return tilts


def _n_subvolumes(row: TomogramRow) -> int:
    if row.text("rlnNumberSubtomo") in (None, AUTOMATIC):
        return DEFAULT_SUBVOLUMES if row.text(SUBTOMOGRAM) is None else SUBVOLUMES_PER_SUBTOMOGRAM
    number = row.number_of("rlnNumberSubtomo")
    if number is None or number != int(number):
        raise SpisonetError(
            f"{row.shown}: rlnNumberSubtomo is {row.text('rlnNumberSubtomo')}, not a positive whole number."
        )
    return int(number)


def require_thickness(tomograms: list[Tomogram], cube_size: int, pad: bool) -> None:
    """Check that training subvolumes fit into the tomograms.

    Raises
    ------
    SpisonetError
        If a tomogram is thinner, unless `pad` allows mirroring at its borders.
    """
    for tomogram in tomograms:
        if min(tomogram.shape) < cube_size and not pad:
            raise SpisonetError(
                f"{tomogram.volumes[0].path} is {min(tomogram.shape)} voxels thick, less than --cube_size "
                f"{cube_size}: give a smaller --cube_size, or --pad to mirror it at its borders.",
                field="cube_size",
            )
