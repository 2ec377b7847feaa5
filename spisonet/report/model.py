"""The report's section on the agreement with a model."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from spisonet.errors import SpisonetError
from spisonet.figures.fsc3d import draw_comparison
from spisonet.io.mrc import read_volume
from spisonet.report.page import paragraph, table, warning
from spisonet.report.section import Section, beside
from spisonet.validation.model import compare_with_model, model_density, read_model, write_scored_model

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from spisonet.validation.finished_run import FinishedRun

log = logging.getLogger("spisonet")

TITLES = {
    "fsc_05_angstrom": "map-to-model FSC 0.5 / Å",
    "mean_fsc": "mean map-to-model FSC up to the limit",
    "best_direction_05_angstrom": "best direction at FSC 0.5 / Å",
    "worst_direction_05_angstrom": "worst direction at FSC 0.5 / Å",
    "mean_q_score": "mean Q-score",
}
CAUTION = (
    "A model that was built or refined into one of these maps agrees with it for that reason; only a model "
    "from elsewhere tests them."
)


def model_section(run: FinishedRun, page: Path) -> Section | None:
    """Compare the half maps before and after with the user's model; None without one, or if it is gone."""
    if run.config.model is None:
        return None
    try:
        model = read_model(run.config.model)
    except SpisonetError as error:
        log.warning("The report leaves out the model: %s", error)
        return None
    maps = {"before": run.before.half1, "after": run.after.half1}
    classical = run.outcome.get("classical_maps", [])
    if classical and (run.folder / classical[0]).is_file():
        maps["classical baseline"] = read_volume(run.folder / classical[0], run.config.apix)
    mask = None if run.before.mask is None else run.before.mask.data
    density = model_density(model, run.before.half1)
    found = {
        name: compare_with_model(volume, model, density, mask, run.limit_angstrom, run.workers)
        for name, volume in maps.items()
    }
    section = Section("HeldOutStatistics with a model", {name: a.numbers for name, a in found.items()})
    rows = [
        [title, *(f"{agreement.numbers[key]:.2f}" for agreement in found.values())]
        for key, title in TITLES.items()
    ]
    section.parts += [paragraph(str(model.path)), table(["half map 1", *found], rows), warning(CAUTION)]
    section.add_figure(
        beside(page, "model_fsc"),
        "FSC of half map 1 and the model, over all directions and along each, before and after.",
        draw_comparison({when: (found[when].fsc3d, found[when].metrics) for when in ("before", "after")}),
    )
    by_residue = {name: model.by_residue(agreement.q_scores) for name, agreement in found.items()}
    scored = page.with_name(f"{page.stem}_model_q.cif")
    write_scored_model(scored, model, found["after"].q_scores)
    section.add_figure(
        beside(page, "model_q"),
        f"Mean Q-score of every residue, before and after; {scored.name} has those after as B factors "
        "(ChimeraX: color bfactor).",
        _draw_residues(by_residue["before"], by_residue["after"]),
    )
    return section


def _draw_residues(before: NDArray[np.float64], after: NDArray[np.float64]) -> Figure:
    figure = Figure(figsize=(4.8, 4.6), layout="constrained")
    axis = figure.subplots()
    low = float(min(before.min(), after.min(), 0)) - 0.05
    high = float(max(before.max(), after.max())) + 0.05
    axis.plot([low, high], [low, high], color="0.6", lw=0.8)
    axis.plot(before, after, "o", ms=2, color="#1f5f99", alpha=0.5, mew=0)
    axis.plot(np.mean(before), np.mean(after), "+", ms=12, color="black", label="mean")
    axis.set(
        xlim=(low, high), ylim=(low, high), xlabel="Q-score before", ylabel="Q-score after", aspect="equal"
    )
    axis.legend(fontsize=8, frameon=False)
    return figure
