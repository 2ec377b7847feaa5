"""``prepare_star``: list tomograms, their halves and their tilt ranges in a STAR file."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from spisonet.io.atomic import prepare_output_file, prepare_output_folder
from spisonet.io.tomogram_table import TomogramTable
from spisonet.tomography.table_preparation import AVERAGE_FOLDER, prepare_table, write_sum

if TYPE_CHECKING:
    from spisonet.tomography.table_config import PrepareStarConfig

log = logging.getLogger("spisonet")


def run_prepare_star(config: PrepareStarConfig) -> None:
    """List the tomograms of some folders in a STAR file.

    Raises
    ------
    SpisonetError
        If a folder contains no tomograms, halves do not match, a tilt range is invalid, or a file cannot be
        written.
    """
    prepared = prepare_table(config)
    prepare_output_file(config.output_star)
    if prepared.sums:
        prepare_output_folder(config.output_star.parent / AVERAGE_FOLDER)
    for paths in prepared.sums:
        write_sum(paths, prepared.voxel_size_angstrom)
        log.info("Wrote %s", paths.full)
    TomogramTable.new(config.output_star, prepared.rows).write()
    log.info("Wrote %s: %d tomograms.", config.output_star, len(prepared.rows))
