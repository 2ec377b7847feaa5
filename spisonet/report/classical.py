"""Report section: comparison with the map deconvolved without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spisonet.figures import captions
from spisonet.figures.slices import draw_slices
from spisonet.report.page import paragraph, table
from spisonet.report.section import Section, beside
from spisonet.validation.classical import compare_with_deconvolution, maps_to_compare

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.validation.finished_run import FinishedRun

METHOD = (
    "The same half map, filtered by a directional Wiener filter and deconvolved with mask and positivity "
    "constraints, without a network."
)
ROWS = {
    "power_ratio_unmeasured": "power in the unmeasured relative to the measured region",
    "fsc_measured": "FSC with the learned map, measured region",
    "fsc_unmeasured": "FSC with the learned map, unmeasured region",
}


def classical_section(run: FinishedRun, page: Path) -> Section | None:
    """Compare input, learned and deconvolved map; None if the run wrote no deconvolved map."""
    maps = maps_to_compare(run)
    if maps is None or run.data_weight_rfft is None:
        return None
    numbers = compare_with_deconvolution(maps, run.data_weight_rfft, run.limit_angstrom).numbers
    section = Section("Comparison without a network", numbers)
    rows = [[title, *(f"{numbers[key][name]:.2f}" for name in maps)] for key, title in ROWS.items()]
    section.parts += [paragraph(METHOD), table(["", *maps], rows)]
    section.add_figure(beside(page, "classical"), captions.DECONVOLVED, draw_slices(maps, run.limit_angstrom))
    return section
