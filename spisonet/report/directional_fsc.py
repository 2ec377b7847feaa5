"""Report section: FSC of the half maps by direction, before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spisonet.figures import captions
from spisonet.figures.fsc3d import draw_comparison
from spisonet.report.independence import label_of_halves
from spisonet.report.page import table, warning
from spisonet.report.section import Section, beside
from spisonet.validation.directional_fsc import directional_fsc_of_run

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.validation.finished_run import FinishedRun

ROWS = {
    "resolution_0143_angstrom": "FSC 0.143, all directions / Å",
    "best_direction_0143_angstrom": "best direction / Å",
    "worst_direction_0143_angstrom": "worst direction / Å",
    "sphericity": "sphericity",
    "cfar": "cFAR",
}


def directional_fsc_section(run: FinishedRun, page: Path) -> Section | None:
    """Report the directional FSC of the half maps before and after; None for a single map."""
    found = directional_fsc_of_run(run)
    if found is None:
        return None
    numbers = {when: fsc.numbers for when, fsc in found.items()}
    label = label_of_halves(run)
    section = Section("FSC by direction", numbers, [_table(numbers)])
    section.parts.append(warning(f"After the correction: {label}."))
    titles = {"before": "before", "after": f"after ({label})"}
    section.add_figure(
        beside(page, "directional_fsc"),
        captions.DIRECTIONAL_FSC.format(label=label),
        draw_comparison({titles[when]: (fsc.fsc3d, fsc.metrics) for when, fsc in found.items()}),
    )
    return section


def _table(numbers: dict[str, dict[str, Any]]) -> str:
    rows = [[title, *(f"{column[key]:.2f}" for column in numbers.values())] for key, title in ROWS.items()]
    return table(["FSC by direction", *numbers], rows)
