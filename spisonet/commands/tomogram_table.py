"""``prepare_star`` and ``check``: list tomograms and their tilt ranges in a STAR file, and check a table."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from spisonet.commands.check import run_check
from spisonet.io.atomic import prepare_output_file, prepare_output_folder
from spisonet.io.tomogram_table import TomogramTable
from spisonet.tomography.inputs import read_tomograms
from spisonet.tomography.table_preparation import AVERAGE_FOLDER, prepare_table, write_sum
from spisonet.tomography.wedge_check import check_wedge, log_verdict, require_agreement

if TYPE_CHECKING:
    from spisonet.tomography.check_config import TomogramCheckConfig
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


def run_tomogram_check(config: TomogramCheckConfig) -> None:
    """Measure the missing wedges of the tomograms of a table; without a table, check the devices.

    Raises
    ------
    SpisonetError
        If a tomogram cannot be read, or its power spectrum contradicts the table.
    """
    if config.star_file is None:
        run_check(config)
        return
    rows = TomogramTable.read(config.star_file).chosen(config.tomo_idx)
    checks = []
    for row in rows:
        (tomogram,) = read_tomograms([row], row.halves is not None, [None], with_masks=False)
        checks.append(check_wedge(tomogram))
        log_verdict(checks[-1])
    require_agreement(checks)
