"""Report sections: the full map and half map 1, as isosurfaces, slices, Fourier slices and FSC."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spisonet.figures.captions import FULL_MAP_SURFACES, correction_caption, surfaces_caption
from spisonet.figures.reconstruction import FULL_MAP_FIGURE
from spisonet.figures.surfaces import draw_surfaces
from spisonet.report.page import paragraph
from spisonet.report.section import Section, beside
from spisonet.validation.inferred import inferred_fraction_of_full_map

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from spisonet.io.mrc import Volume
    from spisonet.validation.finished_run import FinishedRun

LOSS_FIGURE = "loss.png"


def full_map_section(run: FinishedRun, page: Path) -> Section | None:
    """Show the corrected full map beside the average of the half maps; None if the run wrote no full map."""
    found = inferred_fraction_of_full_map(run)
    if found is None or run.average_map is None or run.full_map is None:
        return None
    record = run.record["full_map"]
    unmeasured = record["unmeasured_fraction"]
    section = Section("Full map", record | {"inferred_power_fraction": found.whole})
    section.parts.append(
        paragraph(
            f"{record['corrected']} is the map to build into. It is made of both half maps: their average, "
            "which has half the noise variance of one half map, is the data and the input of the prediction. "
            f"{100 * unmeasured:.0f} % of its Fourier coefficients to {run.limit_angstrom:.2f} Å are "
            f"unmeasured (half maps: {100 * run.record['unmeasured_fraction']:.0f} %); "
            f"{100 * found.whole:.0f} % of its power is inferred. Do not use it as a half map. "
            "The sections below are about the half maps."
        )
    )
    if record["sharpened"] is not None:
        b_factor = record["b_factor_square_angstrom"]
        section.parts.append(
            paragraph(
                f"{record['sharpened']} is the same map, sharpened with a B-factor of {b_factor:.0f} Å²."
            )
        )
    figure = _surfaces(run, run.average_map, run.full_map)
    section.add_figure(beside(page, "surfaces"), FULL_MAP_SURFACES, figure)
    path = run.folder / FULL_MAP_FIGURE
    if path.is_file():
        section.add_figure(path, correction_caption(FULL_MAP_FIGURE, single_map=False))
    return section


def before_after_section(run: FinishedRun, page: Path) -> Section:
    """Show half map 1 before and after, and the figures of the run."""
    section = Section("Half map 1 before and after" if run.full_map else "Before and after")
    single_map = run.config.i2 is None
    if run.full_map is None:
        before, after = run.input_maps.half1, run.corrected_maps.half1
        figure = _surfaces(run, before, after)
        section.add_figure(beside(page, "surfaces"), surfaces_caption(single_map), figure)
    for name in run.record["figures"]:
        if (run.folder / name).is_file() and name not in (LOSS_FIGURE, FULL_MAP_FIGURE):
            section.add_figure(run.folder / name, correction_caption(name, single_map))
    return section


def _surfaces(run: FinishedRun, before: Volume, after: Volume) -> Figure:
    return draw_surfaces(before.data, after.data, run.mask, before.voxel_size_angstrom, run.limit_angstrom)


def training_section(run: FinishedRun, page: Path) -> Section | None:
    """Show the training loss; None if nothing was trained."""
    if LOSS_FIGURE not in run.record["figures"] or not (run.folder / LOSS_FIGURE).is_file():
        return None
    section = Section("Training", {"epoch_losses": run.record["epoch_losses"]})
    section.add_figure(run.folder / LOSS_FIGURE, correction_caption(LOSS_FIGURE, run.config.i2 is None))
    return section
