"""Report section: comparison with the map deconvolved without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spisonet.figures import captions
from spisonet.figures.slices import draw_slices
from spisonet.report.page import paragraph, table
from spisonet.report.section import Section, beside
from spisonet.validation.classical import (
    POORLY_MEASURED,
    WELL_MEASURED,
    compare_with_deconvolution,
    maps_to_compare,
)
from spisonet.validation.records import read_validation

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.validation.finished_run import FinishedRun

METHOD = (
    "The same half map, filtered by a directional Wiener filter and deconvolved with mask and positivity "
    "constraints, without a network."
)
ROWS = {
    "power_ratio_poorly_measured": "power per coefficient, poorly relative to well measured region",
    "fsc_of_optimal_power": "FSC with the true map for which this power is optimal",
    "fsc_well_measured": "FSC with the learned map, well measured region",
    "fsc_poorly_measured": "FSC with the learned map, poorly measured region",
}
REGIONS = f"Well measured: data weight {WELL_MEASURED} or more; poorly measured: below {POORLY_MEASURED}."
EXPECTED_POWER = (
    "Less power than in the well measured region is expected, and no loss: where a map correlates with the "
    "true map by an FSC of c, its error is smallest at the fraction c² of the true power. Power beyond that "
    "is not signal; that of the input is noise and leakage. The true power is assumed equal in both regions."
)


def classical_section(run: FinishedRun, page: Path) -> Section | None:
    """Compare input, learned and deconvolved map; None if the run wrote no deconvolved map."""
    maps = maps_to_compare(run)
    if maps is None or run.data_weight_rfft is None:
        return None
    numbers = compare_with_deconvolution(maps, run.data_weight_rfft, run.limit_angstrom).numbers
    section = Section("Comparison without a network", numbers)
    rows = [[title, *(f"{numbers[key][name]:.2f}" for name in maps)] for key, title in ROWS.items()]
    section.parts += [paragraph(METHOD), table(["", *maps], rows)]
    expected = EXPECTED_POWER
    if (validation := read_validation(run)) is not None:
        recovery = max(float(validation["recovery"]), 0.0)
        numbers["optimal_power_ratio_by_validation"] = recovery**2
        expected += (
            f" The held-out validation found a correlation of {recovery:.2f}, for which a power of "
            f"{recovery**2:.2f} is optimal."
        )
    section.parts.append(paragraph(f"{REGIONS} {expected}"))
    section.add_figure(beside(page, "classical"), captions.DECONVOLVED, draw_slices(maps, run.limit_angstrom))
    return section
