"""Report section: isosurfaces, slices, Fourier slices and FSC before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spisonet.figures.captions import CORRECTION, SURFACES
from spisonet.figures.surfaces import draw_surfaces
from spisonet.report.section import Section, beside

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.validation.finished_run import FinishedRun

LOSS_FIGURE = "loss.png"


def before_after_section(run: FinishedRun, page: Path) -> Section:
    """Show half map 1 before and after, and the figures of the run."""
    section = Section("Before and after")
    before, after = run.input_maps.half1, run.corrected_maps.half1
    figure = draw_surfaces(before.data, after.data, run.mask, before.voxel_size_angstrom, run.limit_angstrom)
    section.add_figure(beside(page, "surfaces"), SURFACES, figure)
    for name in run.record["figures"]:
        if (run.folder / name).is_file() and name != LOSS_FIGURE:
            section.add_figure(run.folder / name, CORRECTION[name])
    return section


def training_section(run: FinishedRun, page: Path) -> Section | None:
    """Show the training loss; None if nothing was trained."""
    if LOSS_FIGURE not in run.record["figures"] or not (run.folder / LOSS_FIGURE).is_file():
        return None
    section = Section("Training", {"epoch_losses": run.record["epoch_losses"]})
    section.add_figure(run.folder / LOSS_FIGURE, CORRECTION[LOSS_FIGURE])
    return section
