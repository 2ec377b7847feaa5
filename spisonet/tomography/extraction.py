"""``extract`` and ``prepare_subtomo_star``: lists of subtomograms, as IsoNet 0.2 trains on them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.io.atomic import prepare_output_file, prepare_output_folder, remove_partials
from spisonet.io.mrc import Volume, write_volume
from spisonet.io.tomogram_table import SUBTOMOGRAM, TomogramTable
from spisonet.io.tomograms import SUFFIXES, open_tomogram, stem_of
from spisonet.tomography.blocks import Block, read_mirrored
from spisonet.tomography.specimens import crop_centres, input_column, read_specimens, require_thickness

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.tomography.config import ExtractConfig, SubtomogramStarConfig

log = logging.getLogger("spisonet")

CROP_TO_CUBE = 1.5
CUBE_MULTIPLE = 16


def run_extract(config: ExtractConfig) -> None:
    """Cut random subtomograms out of the tomograms of a table, inside their masks, and list them.

    Raises
    ------
    SpisonetError
        If files are missing or damaged, a mask is empty, or something cannot be written.
    """
    table = TomogramTable.read(config.star_file)
    rows = table.chosen(config.tomo_idx)
    specimens = read_specimens(
        rows,
        use_halves=False,
        columns=[input_column(row, config.input_column, config.use_deconv_tomo) for row in rows],
    )
    crop = config.crop_size or int(config.cube_size * CROP_TO_CUBE)
    if crop < config.cube_size:
        raise SpisonetError(f"--crop_size {crop} is smaller than --cube_size {config.cube_size}.")
    require_thickness(specimens, config.cube_size, pad=False)
    old = _of_an_earlier_extraction(config)
    prepare_output_file(config.subtomo_star, config.star_file)
    rng = np.random.default_rng(config.seed)
    places = [crop_centres(specimen, config.cube_size, rng) for specimen in specimens]
    prepare_output_folder(config.subtomo_folder)
    remove_partials(config.subtomo_folder)
    for path in old:
        path.unlink()
    listed: list[dict[str, str]] = []
    for row, specimen, centres in zip(rows, specimens, places, strict=True):
        volume = specimen.volumes[0]
        chosen = rng.choice(len(centres), specimen.n_crops, replace=len(centres) < specimen.n_crops)
        for number, (x, y, z) in enumerate(centres[chosen].tolist()):
            first_z, first_y, first_x = (centre - crop // 2 for centre in (z, y, x))
            block = Block.around(
                (
                    slice(first_z, first_z + crop),
                    slice(first_y, first_y + crop),
                    slice(first_x, first_x + crop),
                ),
                0,
            )
            # Two tomograms may have the same name in different folders.
            path = config.subtomo_folder / f"{row.number + 1:03d}_{stem_of(volume.path)}_{number:06d}.mrc"
            cut = Volume(read_mirrored(volume, block), volume.voxel_size_angstrom, name=str(path))
            write_volume(path, cut, "spisonet: subtomogram")
            listed.append(
                _row(len(listed) + 1, path, config.cube_size, crop, volume.voxel_size_angstrom)
                | {
                    "rlnTiltMin": f"{specimen.tilt_range_degrees[0]:g}",
                    "rlnTiltMax": f"{specimen.tilt_range_degrees[1]:g}",
                }
            )
        log.info("%s: %d subtomograms of %d voxels.", specimen.name, specimen.n_crops, crop)
    TomogramTable.new(config.subtomo_star, listed).write()
    log.info("Wrote %s: %d subtomograms.", config.subtomo_star, len(listed))


def _of_an_earlier_extraction(config: ExtractConfig) -> list[Path]:
    """Find the files that will be replaced: those that the table to be replaced lists.

    Raises
    ------
    SpisonetError
        If the folder holds others.
    """
    listed: set[Path] = set()
    if config.subtomo_star.is_file():
        table = TomogramTable.read(config.subtomo_star)
        paths = (row.path(SUBTOMOGRAM) for row in table.rows if table.lists_subtomograms)
        listed = {path.resolve() for path in paths if path is not None}
    there = list(config.subtomo_folder.iterdir()) if config.subtomo_folder.is_dir() else []
    visible = [path for path in there if not path.name.startswith(".")]
    if any(path.resolve() not in listed for path in visible):
        raise SpisonetError(
            f"{config.subtomo_folder} holds other files than {config.subtomo_star} lists: empty it, or give "
            "another --subtomo_folder."
        )
    return visible


def run_prepare_subtomo_star(config: SubtomogramStarConfig) -> None:
    """List the subtomograms of a folder.

    Raises
    ------
    SpisonetError
        If the folder holds none, one is damaged, or the cubes do not fit into them.
    """
    if not config.folder_name.is_dir():
        raise SpisonetError(f"{config.folder_name} is not a folder.")
    files = sorted(
        path for path in config.folder_name.iterdir() if path.is_file() and path.suffix in SUFFIXES
    )
    if not files:
        raise SpisonetError(f"{config.folder_name} holds no subtomograms ({', '.join(SUFFIXES)}).")
    listed: list[dict[str, str]] = []
    for path in files:
        crop = min(open_tomogram(path, config.pixel_size).shape)
        cube_size = config.cube_size or int(crop / CROP_TO_CUBE + 1) // CUBE_MULTIPLE * CUBE_MULTIPLE
        if not 0 < cube_size <= crop:
            raise SpisonetError(
                f"{path} of {crop} voxels is too small for cubes of {cube_size or CUBE_MULTIPLE}."
            )
        listed.append(_row(len(listed) + 1, path, cube_size, crop, config.pixel_size))
    prepare_output_file(config.output_star)
    TomogramTable.new(config.output_star, listed).write()
    log.info("Wrote %s: %d subtomograms.", config.output_star, len(listed))


def _row(number: int, path: Path, cube_size: int, crop_size: int, voxel_size: float) -> dict[str, str]:
    return {
        "rlnSubtomoIndex": str(number),
        SUBTOMOGRAM: str(path),
        "rlnCubeSize": str(cube_size),
        "rlnCropSize": str(crop_size),
        "rlnPixelSize": f"{voxel_size:.6g}",
    }
