"""Report section: how much of the corrected map is inferred."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spisonet.anisotropy.run_inputs import UNMEASURED_DEFINITION
from spisonet.figures import captions
from spisonet.figures.directional_fraction import draw_directional_fraction
from spisonet.io.mrc import write_volume
from spisonet.report.page import paragraph
from spisonet.report.section import Section, beside
from spisonet.validation.inferred import inferred_fraction_of_run

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.validation.finished_run import FinishedRun

INFERRED_FILE = "inferred_fraction.mrc"
CHIMERAX = "In ChimeraX: color sample #1 map #2 palette 0,blue:0.5,white:1,red."


def inferred_section(run: FinishedRun, page: Path) -> Section | None:
    """Report the inferred fraction by direction, resolution and place, and write its map.

    None if the run wrote no data weight.
    """
    found = inferred_fraction_of_run(run)
    if found is None:
        return None
    before, limit = run.input_maps.half1, run.limit_angstrom
    box_angstrom = before.box * before.voxel_size_angstrom
    label = "spisonet: local fraction of the power that is inferred"
    write_volume(run.folder / INFERRED_FILE, before.with_data(found.local), label)
    unmeasured = run.record["unmeasured_fraction"]
    numbers = {
        "inferred_power_fraction": found.whole,
        "unmeasured_fraction": unmeasured,
        "by_resolution": found.by_direction.numbers(box_angstrom),
        "map": INFERRED_FILE,
    }
    section = Section("Measured and inferred", numbers)
    section.parts.append(
        paragraph(
            f"{100 * found.whole:.0f} % of the power of the corrected map to {limit:.2f} Å is inferred; the "
            f"rest is measured. {100 * unmeasured:.0f} % of Fourier space to {limit:.2f} Å is unmeasured "
            f"({UNMEASURED_DEFINITION}); the data weight is in data_weight.mrc. "
            f"{INFERRED_FILE} contains the inferred fraction around every voxel. {CHIMERAX}"
        )
    )
    figure = draw_directional_fraction(found.by_direction, box_angstrom, "inferred fraction")
    section.add_figure(beside(page, "inferred"), captions.INFERRED, figure)
    return section
