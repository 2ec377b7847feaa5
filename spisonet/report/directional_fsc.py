"""Report section: FSC of the half maps by direction, before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spisonet.analysis.fsc_metrics import DIRECTION_CONE_DEGREES, RESOLUTION_RULE
from spisonet.figures import captions
from spisonet.figures.fsc3d import draw_comparison
from spisonet.report.independence import label_of_halves
from spisonet.report.page import paragraph, table, warning
from spisonet.report.section import Section, beside
from spisonet.validation.directional_fsc import directional_fsc_of_run

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.validation.directional_fsc import SummarisedFsc
    from spisonet.validation.finished_run import FinishedRun

DEFINITIONS = (
    f"By direction: in cones with a half-angle of {DIRECTION_CONE_DEGREES:g}°, in the mask and corrected for "
    f"it. {RESOLUTION_RULE} Sphericity: of the surface at which the FSC by direction falls below 0.5. cFAR: "
    "smallest over largest area under the FSC by direction."
)


def directional_fsc_section(run: FinishedRun, page: Path) -> Section | None:
    """Report the directional FSC of the half maps before and after; None for a single map."""
    found = directional_fsc_of_run(run)
    if found is None:
        return None
    numbers = {when: fsc.numbers for when, fsc in found.items()}
    label = label_of_halves(run)
    section = Section("FSC by direction", numbers, [fsc_table(found), paragraph(DEFINITIONS)])
    section.parts.append(warning(f"After the correction: {label}."))
    titles = {"before": "before", "after": f"after ({label})"}
    section.add_figure(
        beside(page, "directional_fsc"),
        captions.DIRECTIONAL_FSC.format(label=label),
        draw_comparison({titles[when]: (fsc.fsc, fsc.metrics) for when, fsc in found.items()}),
    )
    return section


def fsc_table(found: dict[str, SummarisedFsc]) -> str:
    """Return the summary of several pairs of half maps, a column each."""
    columns = [fsc.metrics for fsc in found.values()]
    rows = [
        ["resolution at FSC 0.143, all directions", *(str(column.resolution_0143) for column in columns)],
        [
            "the same, not corrected for the mask",
            *(str(column.resolution_0143_uncorrected) for column in columns),
        ],
        ["best direction", *(str(column.directional_0143.best) for column in columns)],
        ["worst direction", *(str(column.directional_0143.worst) for column in columns)],
        ["sphericity", *(f"{column.sphericity:.2f}" for column in columns)],
        ["cFAR", *(f"{column.cfar:.2f}" for column in columns)],
    ]
    if columns[0].resolution_0143_uncorrected is None:
        del rows[1]
    return table(["FSC by direction", *found], rows)
