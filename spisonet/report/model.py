"""Report section: comparison with an atomic model."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from spisonet.analysis.fsc_metrics import NOT_REACHED
from spisonet.errors import SpisonetError
from spisonet.figures import captions
from spisonet.figures.fsc3d import draw_comparison
from spisonet.figures.model import draw_q_scores
from spisonet.report.page import paragraph, table, warning
from spisonet.report.section import Section, beside
from spisonet.validation.model import write_scored_model
from spisonet.validation.model_comparison import AFTER, BEFORE, compare_run_with_model

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.validation.finished_run import FinishedRun

log = logging.getLogger("spisonet")

ROWS = {
    "fsc_05_angstrom": "map-to-model FSC 0.5 / Å",
    "mean_fsc": "mean map-to-model FSC to the resolution limit",
    "best_direction_05_angstrom": "best direction at FSC 0.5 / Å",
    "worst_direction_05_angstrom": "worst direction at FSC 0.5 / Å",
    "mean_q_score": "mean Q-score",
}
CAUTION = (
    "A model that was built or refined in one of these maps agrees with it for that reason. Only a model "
    "from independent data tests the correction."
)


def _cell(value: float | None) -> str:
    return NOT_REACHED if value is None else f"{value:.2f}"


def model_section(run: FinishedRun, page: Path) -> Section | None:
    """Compare the maps with the model of the run's options; None without a model, or if it is unusable."""
    try:
        found = compare_run_with_model(run)
    except SpisonetError as error:
        log.warning("The report does not include the atomic model: %s", error)
        return None
    if found is None:
        return None
    numbers = {name: agreement.numbers for name, agreement in found.agreements.items()}
    section = Section("Comparison with an atomic model", numbers)
    rows = [[title, *(_cell(column[key]) for column in numbers.values())] for key, title in ROWS.items()]
    section.parts += [
        paragraph(str(found.model.path)), table(["half map 1", *numbers], rows), warning(CAUTION)
    ]  # fmt: skip
    pair = {name: found.agreements[name] for name in (BEFORE, AFTER)}
    section.add_figure(
        beside(page, "model_fsc"),
        captions.MODEL_FSC,
        draw_comparison({name: (agreement.fsc, agreement.metrics) for name, agreement in pair.items()}),
    )
    scored = page.with_name(f"{page.stem}_model_q.cif")
    write_scored_model(scored, found.model, found.agreements[AFTER].q_scores)
    section.add_figure(
        beside(page, "model_q"),
        captions.MODEL_Q_SCORES.format(file=scored.name),
        draw_q_scores(found.q_scores_by_residue(BEFORE), found.q_scores_by_residue(AFTER)),
    )
    return section
