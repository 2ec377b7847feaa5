"""``extract`` and ``prepare_subtomo_star``: extract subtomograms and list them."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.io.atomic import prepare_output_file, prepare_output_folder
from spisonet.io.numbers import counted
from spisonet.io.tomogram_table import TomogramTable
from spisonet.tomography.extraction import (
    CROP_TO_CUBE,
    earlier_subtomograms,
    extract_subtomograms,
    find_subtomograms,
    with_indices,
)
from spisonet.tomography.inputs import input_column, read_tomograms, require_thickness
from spisonet.tomography.shared_config import parse_voxel_size
from spisonet.tomography.subvolume_centres import subvolume_centres
from spisonet.tomography.wedge_check import check_wedges

if TYPE_CHECKING:
    from spisonet.tomography.subtomogram_config import ExtractConfig, SubtomogramStarConfig

log = logging.getLogger("spisonet")


def run_extract(config: ExtractConfig) -> None:
    """Extract random subtomograms from the masked regions of tomograms, and list them in a STAR file.

    Raises
    ------
    SpisonetError
        If files are missing or damaged, a power spectrum contradicts the table, a mask is empty, or an output
        cannot be written.
    """
    table = TomogramTable.read(config.star_file)
    rows = table.chosen(config.tomo_idx)
    columns = [input_column(row, config.input_column, config.use_deconv_tomo) for row in rows]
    tomograms = read_tomograms(rows, use_halves=False, columns=columns)
    crop_size = config.crop_size or int(config.cube_size * CROP_TO_CUBE)
    if crop_size < config.cube_size:
        raise SpisonetError(
            f"--crop_size {crop_size} is smaller than --cube_size {config.cube_size}.", field="crop_size"
        )
    require_thickness(tomograms, config.cube_size, pad=False)
    check_wedges(tomograms, refuse=not config.trust_table)
    old = earlier_subtomograms(config.subtomo_folder, config.subtomo_star)
    prepare_output_file(config.subtomo_star, config.star_file)
    rng = np.random.default_rng(config.seed)
    centres = [subvolume_centres(tomogram, config.cube_size, rng) for tomogram in tomograms]
    prepare_output_folder(config.subtomo_folder)
    for path in old:
        path.unlink()
    listed: list[dict[str, str]] = []
    for row, tomogram, possible in zip(rows, tomograms, centres, strict=True):
        n = tomogram.n_subvolumes
        chosen = possible[rng.choice(len(possible), n, replace=len(possible) < n)]
        listed += extract_subtomograms(
            row, tomogram, chosen, config.cube_size, crop_size, config.subtomo_folder
        )
        log.info("%s: %s of %d voxels.", tomogram.name, counted(n, "subtomogram"), crop_size)
    os.sync()  # all subtomograms at once, before the table that lists them
    TomogramTable.new(config.subtomo_star, with_indices(listed)).write()
    log.info("Wrote %s: %s.", config.subtomo_star, counted(len(listed), "subtomogram"))


def run_prepare_subtomo_star(config: SubtomogramStarConfig) -> None:
    """List the subtomograms of a folder in a STAR file.

    Raises
    ------
    SpisonetError
        If the folder contains no subtomograms, one is damaged or too small, or the file cannot be written.
    """
    voxel_size = parse_voxel_size(config.pixel_size)
    listed = find_subtomograms(config.folder_name, voxel_size, config.cube_size)
    prepare_output_file(config.output_star)
    TomogramTable.new(config.output_star, with_indices(listed)).write()
    log.info("Wrote %s: %s.", config.output_star, counted(len(listed), "subtomogram"))
