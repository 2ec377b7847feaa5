"""``prepare_star`` and ``check``: list tomograms and their tilt ranges in a STAR file, and check a table."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from spisonet.commands.check import run_check
from spisonet.io.numbers import counted
from spisonet.io.tomogram_table import TomogramTable
from spisonet.tomography.inputs import read_tomograms
from spisonet.tomography.table_preparation import plan_table, write_table
from spisonet.tomography.wedge_check import check_wedges

if TYPE_CHECKING:
    from spisonet.tomography.check_config import TomogramCheckConfig
    from spisonet.tomography.table_config import PrepareStarConfig
    from spisonet.tomography.table_preparation import PlannedTomogram, TablePlan

log = logging.getLogger("spisonet")


def run_prepare_star(config: PrepareStarConfig) -> None:
    """List the tomograms of some folders in a STAR file, and print what was found, assumed and left out.

    Raises
    ------
    SpisonetError
        If a folder contains no tomograms, halves do not match, a tilt range is invalid, or a file cannot be
        written.
    """
    plan = plan_table(config)
    _print_plan(plan)
    if config.dry_run:
        log.info("%s was not written (--dry_run).", config.output_star)
        return
    write_table(plan, config.output_star)


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
    tomograms = (read_tomograms([row], row.halves is not None, [None], with_masks=False)[0] for row in rows)
    check_wedges(tomograms, refuse=True)


def _print_plan(plan: TablePlan) -> None:
    for tomogram in plan.tomograms:
        log.info("%s", _description(tomogram))
    for sentence in plan.assumptions:
        log.warning("Assumed: %s", sentence)
    for what in plan.not_found:
        log.warning("Not found: %s.", what)
    for item in plan.left_out:
        log.info("Left out: %s (%s)", item.path, item.reason)


def _description(tomogram: PlannedTomogram) -> str:
    """Describe a tomogram by its files, size and tilt range."""
    paths, tilts = tomogram.paths, tomogram.tilts
    z, y, x = tomogram.shape
    files = {
        "full": paths.full,
        "even": paths.even,
        "odd": paths.odd,
        "mask": tomogram.mask,
        f"{counted(tomogram.n_coordinates, 'subvolume centre')} in": tomogram.coordinates,
    }
    listed = ", ".join(f"{kind} {path}" for kind, path in files.items() if path is not None)
    return (
        f"{tomogram.name}: {listed}; {x} x {y} x {z} voxels of {tomogram.voxel_size_angstrom:g} Å; "
        f"tilts {tilts.lowest_degrees:g} to {tilts.highest_degrees:g}° ({tilts.origin})"
    )
