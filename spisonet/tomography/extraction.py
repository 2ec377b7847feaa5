"""Extraction of subtomograms, on which IsoNet 0.2 trains (``extract``), and their rows in the table."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.io.mrc import Volume, write_volume
from spisonet.io.paths import real_path
from spisonet.io.tomogram_table import SUBTOMOGRAM, TomogramTable
from spisonet.io.tomograms import DEFAULT_VOXEL_SIZE, SUFFIXES, open_tomogram, stem_of
from spisonet.tomography.chunks import Chunk, read_mirrored
from spisonet.tomography.shared_config import PIXEL_SIZE_OPTION

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from spisonet.io.tomogram_table import TomogramRow
    from spisonet.tomography.tomogram import Tomogram

log = logging.getLogger("spisonet")

CROP_TO_CUBE = 1.5  # edge of subtomograms relative to training subvolumes
CUBE_MULTIPLE = 16


def extract_subtomograms(
    row: TomogramRow,
    tomogram: Tomogram,
    centres: NDArray[np.int16],
    cube_size: int,
    crop_size: int,
    folder: Path,
) -> list[dict[str, str]]:
    """Write subtomograms of one tomogram and return their rows in the table.

    Parameters
    ----------
    row : TomogramRow
        Row of the tomogram.
    tomogram : Tomogram
        The tomogram.
    centres : ndarray
        ``(n, 3)`` voxel coordinates ``(x, y, z)`` of the centres.
    cube_size : int
        Edge of training subvolumes in voxels.
    crop_size : int
        Edge of subtomograms in voxels.
    folder : Path
        Folder for the subtomograms.

    Returns
    -------
    list of dict
        For each subtomogram, values by column, without index.

    Raises
    ------
    SpisonetError
        If the tomogram cannot be read, or a subtomogram cannot be written.
    """
    source = tomogram.volumes[0]
    lowest, highest = tomogram.tilt_range_degrees
    listed = []
    for number, (x, y, z) in enumerate(centres.tolist()):
        first_z, first_y, first_x = (centre - crop_size // 2 for centre in (z, y, x))
        chunk = Chunk.around(
            (
                slice(first_z, first_z + crop_size),
                slice(first_y, first_y + crop_size),
                slice(first_x, first_x + crop_size),
            ),
            0,
        )
        # Tomograms in different folders may have the same name.
        path = folder / f"{row.number + 1:03d}_{stem_of(source.path)}_{number:06d}.mrc"
        subtomogram = Volume(read_mirrored(source, chunk), source.voxel_size_angstrom, name=str(path))
        write_volume(path, subtomogram, "spisonet: subtomogram", durable=False)
        listed.append(
            subtomogram_row(path, cube_size, crop_size, source.voxel_size_angstrom)
            | {"rlnTiltMin": f"{lowest:g}", "rlnTiltMax": f"{highest:g}"}
        )
    return listed


def find_subtomograms(
    folder: Path, voxel_size_angstrom: float | None, cube_size: int | None
) -> list[dict[str, str]]:
    """Return the rows in the table of the subtomograms of a folder.

    Parameters
    ----------
    folder : Path
        Folder of subtomograms.
    voxel_size_angstrom : float or None
        Voxel size in Å; None for those of the headers.
    cube_size : int or None
        Edge of training subvolumes in voxels; None for two thirds of the edge of the subtomograms.

    Raises
    ------
    SpisonetError
        If the folder contains no subtomograms, or one is damaged or too small.
    """
    if not folder.is_dir():
        raise SpisonetError(f"{folder} is not a folder.")
    files = sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )
    if not files:
        raise SpisonetError(f"{folder} contains no subtomograms ({', '.join(SUFFIXES)}).")
    listed = []
    for path in files:
        subtomogram = open_tomogram(path, voxel_size_angstrom, PIXEL_SIZE_OPTION)
        crop_size = min(subtomogram.shape)
        edge = cube_size or int(crop_size / CROP_TO_CUBE + 1) // CUBE_MULTIPLE * CUBE_MULTIPLE
        if not 0 < edge <= crop_size:
            raise SpisonetError(
                f"{path} has {crop_size} voxels, too few for subvolumes of {edge or CUBE_MULTIPLE} voxels.",
                field="cube_size",
            )
        if voxel_size_angstrom is None and subtomogram.voxel_size_angstrom == DEFAULT_VOXEL_SIZE:
            log.warning(
                "%s has a voxel size of exactly 1 Å, which programs write that do not know it; give "
                "--pixel_size.",
                path,
            )
        listed.append(subtomogram_row(path, edge, crop_size, subtomogram.voxel_size_angstrom))
    return listed


def subtomogram_row(path: Path, cube_size: int, crop_size: int, voxel_size_angstrom: float) -> dict[str, str]:
    """Return values by column of a subtomogram; see `extract_subtomograms` for the parameters."""
    return {
        SUBTOMOGRAM: str(path),
        "rlnCubeSize": str(cube_size),
        "rlnCropSize": str(crop_size),
        "rlnPixelSize": f"{voxel_size_angstrom:.6g}",
    }


def with_indices(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return rows with ``rlnSubtomoIndex``, counted from 1."""
    return [{"rlnSubtomoIndex": str(number)} | row for number, row in enumerate(rows, start=1)]


def earlier_subtomograms(folder: Path, star_file: Path) -> list[Path]:
    """Return the files of an earlier extraction, which an extraction into the same folder replaces.

    Parameters
    ----------
    folder : Path
        Folder of subtomograms.
    star_file : Path
        Table that the earlier extraction has written.

    Raises
    ------
    SpisonetError
        If the folder contains a file that the table does not list.
    """
    listed: set[Path] = set()
    if star_file.is_file():
        table = TomogramTable.read(star_file)
        paths = (row.path(SUBTOMOGRAM) for row in table.rows if table.lists_subtomograms)
        listed = {real_path(path) for path in paths if path is not None}
    contents = list(folder.iterdir()) if folder.is_dir() else []
    visible = [path for path in contents if not path.name.startswith(".")]
    if any(real_path(path) not in listed for path in visible):
        raise SpisonetError(
            f"{folder} contains files that {star_file} does not list: empty it, or give another "
            "--subtomo_folder.",
            field="subtomo_folder",
        )
    return visible
