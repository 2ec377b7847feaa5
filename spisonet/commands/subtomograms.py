"""Commands that extract subtomograms and list them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.io.atomic import prepare_output_file, prepare_output_folder, remove_partials
from spisonet.io.mrc import Volume, write_volume
from spisonet.io.tomogram_table import TomogramTable
from spisonet.io.tomograms import SUFFIXES, open_tomogram, stem_of
from spisonet.tomography.chunks import Chunk, read_mirrored
from spisonet.tomography.extraction import CROP_TO_CUBE, CUBE_MULTIPLE, _of_an_earlier_extraction, _row, log
from spisonet.tomography.inputs import input_column, read_tomograms, require_thickness
from spisonet.tomography.subvolume_centres import subvolume_centres

if TYPE_CHECKING:
    from spisonet.tomography.subtomogram_config import ExtractConfig, SubtomogramStarConfig


def run_extract(config: ExtractConfig) -> None:
    """Cut random subtomograms out of the tomograms of a table, inside their masks, and list them.

    Raises
    ------
    SpisonetError
        If files are missing or damaged, a mask is empty, or something cannot be written.
    """
    table = TomogramTable.read(config.star_file)
    rows = table.chosen(config.tomo_idx)
    tomograms = read_tomograms(
        rows,
        use_halves=False,
        columns=[input_column(row, config.input_column, config.use_deconv_tomo) for row in rows],
    )
    crop = config.crop_size or int(config.cube_size * CROP_TO_CUBE)
    if crop < config.cube_size:
        raise SpisonetError(f"--crop_size {crop} is smaller than --cube_size {config.cube_size}.")
    require_thickness(tomograms, config.cube_size, pad=False)
    old = _of_an_earlier_extraction(config)
    prepare_output_file(config.subtomo_star, config.star_file)
    rng = np.random.default_rng(config.seed)
    places = [subvolume_centres(tomogram, config.cube_size, rng) for tomogram in tomograms]
    prepare_output_folder(config.subtomo_folder)
    remove_partials(config.subtomo_folder)
    for path in old:
        path.unlink()
    listed: list[dict[str, str]] = []
    for row, tomogram, centres in zip(rows, tomograms, places, strict=True):
        volume = tomogram.volumes[0]
        chosen = rng.choice(len(centres), tomogram.n_subvolumes, replace=len(centres) < tomogram.n_subvolumes)
        for number, (x, y, z) in enumerate(centres[chosen].tolist()):
            first_z, first_y, first_x = (centre - crop // 2 for centre in (z, y, x))
            block = Chunk.around(
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
                    "rlnTiltMin": f"{tomogram.tilt_range_degrees[0]:g}",
                    "rlnTiltMax": f"{tomogram.tilt_range_degrees[1]:g}",
                }
            )
        log.info("%s: %d subtomograms of %d voxels.", tomogram.name, tomogram.n_subvolumes, crop)
    TomogramTable.new(config.subtomo_star, listed).write()
    log.info("Wrote %s: %d subtomograms.", config.subtomo_star, len(listed))


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
