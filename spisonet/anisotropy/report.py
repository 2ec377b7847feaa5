"""The report of a correction: one self-contained HTML page."""

from __future__ import annotations

import logging
import os
from html import escape
from typing import TYPE_CHECKING, Any

from spisonet import __version__
from spisonet.anisotropy.config import ReconstructConfig
from spisonet.anisotropy.figures_fsc import write_comparison_figure
from spisonet.anisotropy.fsc3d import Fsc3d, Fsc3dMetrics, estimate_fsc3d, summarise_fsc3d
from spisonet.anisotropy.inputs import HalfMaps, is_of_both_halves, read_half_maps
from spisonet.errors import SpisonetError
from spisonet.io.atomic import prepare_output_file
from spisonet.io.config import read_job_record, write_json
from spisonet.io.pages import embedded_figure, facts_table, warning, write_page

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.anisotropy.config import ReportConfig

log = logging.getLogger("spisonet")

REPORT_FILE = "report.html"
CONE_DEGREES = 20.0
COUPLED = "halves coupled: not for resolution claims"
COMPARISON = "directional_fsc.png"
CAPTIONS = {
    COMPARISON: "Correlation of the half maps by direction, in cones of 20°, before and after.",
    "slices.png": "Central slices before and after the correction, in the same grey scale.",
    "fourier.png": "Central Fourier slices. Where the measurement weight is 1 the data are kept as measured; "
    "where it is 0 the amplitudes after the correction are inferred by the network.",
    "fsc.png": "Fourier shell correlations. Correlation between corrected halves is no measure of resolution "
    "unless each half was corrected alone, and even then both networks share one architecture.",
    "loss.png": "Training loss per epoch.",
}


def run_report(config: ReportConfig) -> None:
    """Sum up a finished run: an HTML page, its numbers as JSON, and a figure of the FSC by direction.

    Raises
    ------
    SpisonetError
        If the folder holds no finished run, or its maps are no longer there.
    """
    outcome = read_job_record(config.folder)
    if outcome.get("command") != ReconstructConfig.command or outcome.get("status") != "finished":
        raise SpisonetError(f"{config.folder} holds no finished run of {ReconstructConfig.command}.")
    run = ReconstructConfig.from_options(outcome["config"])
    page = config.o or config.folder / REPORT_FILE
    prepare_output_file(page, run.i1, run.i2, run.mask)
    figures = [config.folder / name for name in outcome["figures"]]
    numbers: dict[str, Any] = {}
    if run.i2 is not None:
        corrected = [config.folder / name for name in outcome["corrected_maps"]]
        pairs = {
            "before": read_half_maps(run.i1, run.i2, run.mask, run.apix),
            "after": read_half_maps(corrected[0], corrected[1], run.mask, run.apix),
        }
        workers = min(config.ncpus, os.cpu_count() or 1)
        limit = outcome["limit_resolution_angstrom"]
        curves = {name: _by_direction(pair, limit, workers) for name, pair in pairs.items()}
        numbers = {name: _numbers(metrics) for name, (_, metrics) in curves.items()}
        figures.insert(0, comparison_figure(page))
        write_comparison_figure(figures[0], curves)
    write_json(
        page.with_suffix(".json"),
        {
            "program": "spisonet",
            "version": __version__,
            "run": outcome,
            "halves": COUPLED if run.i2 is not None and not outcome["halves_independent"] else "",
            "fsc_by_direction": numbers,
        },
    )
    write_report(page, run, outcome, figures, numbers)
    log.info("Written: %s", page)


def comparison_figure(page: Path) -> Path:
    """Name the figure of the FSC by direction that belongs to a page."""
    return page.with_name(f"{page.stem}_{COMPARISON}")


def _by_direction(maps: HalfMaps, limit: float, workers: int) -> tuple[Fsc3d, Fsc3dMetrics]:
    assert maps.half2 is not None
    mask = None if maps.mask is None else maps.mask.data
    voxel_size = maps.half1.voxel_size_angstrom
    halves = maps.half1.data, maps.half2.data
    fsc3d = estimate_fsc3d(*halves, mask, voxel_size, limit, CONE_DEGREES, workers)
    return fsc3d, summarise_fsc3d(fsc3d)


def _numbers(metrics: Fsc3dMetrics) -> dict[str, float]:
    directional = metrics.directional_0143_angstrom
    return {
        "resolution_0143_angstrom": metrics.resolution_0143_angstrom,
        "best_direction_0143_angstrom": float(directional.min()),
        "worst_direction_0143_angstrom": float(directional.max()),
        "sphericity": metrics.sphericity,
        "cfar": metrics.cfar,
    }


def write_report(
    path: Path,
    config: ReconstructConfig,
    outcome: dict[str, Any],
    figures: list[Path] | None = None,
    numbers: dict[str, Any] | None = None,
) -> None:
    """Write the page with a run's facts and figures.

    Parameters
    ----------
    path : Path
        The page.
    config : ReconstructConfig
        What was asked for.
    outcome : dict
        What the run found, as in ``job.json``.
    figures : list of Path, optional
        What to show; by default the run's own figures.
    numbers : dict, optional
        Summary of the FSC by direction, before and after.
    """
    shown = figures or [config.output_dir / name for name in outcome["figures"]]
    facts, note = facts_of(config, outcome), note_on_independence(config, outcome)
    body = _table(numbers) if numbers else ""
    if numbers and not outcome["halves_independent"]:
        body += warning(f"After the correction: {COUPLED}.")
    pictures = [embedded_figure(figure, caption(figure)) for figure in shown if figure.is_file()]
    title = f"spisonet: {config.i1}"
    write_page(path, title, "Anisotropy correction", facts_table(facts), warning(note), body, *pictures)


def facts_of(config: ReconstructConfig, outcome: dict[str, Any]) -> dict[str, str]:
    """Return the lines that sum up a run; see `write_report` for the parameters."""
    return {
        "Half maps": ", ".join(str(path) for path in (config.i1, config.i2) if path),
        "Mask": str(config.mask or "none"),
        "Anisotropy": str(config.aniso_file or "3D FSC computed from the half maps (FSC3D.mrc)"),
        "Resolution limit": f"{outcome['limit_resolution_angstrom']:.2f} Å; what is finer is the input's",
        "Not measured": f"{100 * outcome['hidden_fraction']:.0f} % of Fourier space up to the limit",
        "Training": f"{config.objective}, {config.epochs} epochs of {config.n_subvolume} crops",
        "Corrected maps": ", ".join(outcome["corrected_maps"]),
        "Program": f"spisonet {__version__}, on {outcome['device']}",
    }


def note_on_independence(config: ReconstructConfig, outcome: dict[str, Any]) -> str:
    """Say what an FSC between the corrected halves is worth."""
    if outcome["halves_independent"]:
        note = "Each half was corrected by a network that saw this half alone."
        if is_of_both_halves(config.aniso_file):
            note += " The 3D FSC that says what was measured, and the limit, come from both halves."
    elif config.i2 is None:
        note = "One map was corrected; nothing here tells signal from noise independently."
    elif config.independent:
        note = "The halves share start weights or a reference, so the corrected halves are NOT independent."
    else:
        note = (
            "One network learned from both halves, so the corrected halves are NOT independent: an FSC "
            "between them overstates the resolution. Use --independent where an FSC will be read from them."
        )
    return note


def caption(figure: Path) -> str:
    """Say what a figure of a run shows."""
    return next((text for name, text in CAPTIONS.items() if figure.name.endswith(name)), "")


def _table(numbers: dict[str, dict[str, float]]) -> str:
    titles = {
        "resolution_0143_angstrom": "FSC 0.143, all directions / Å",
        "best_direction_0143_angstrom": "best direction / Å",
        "worst_direction_0143_angstrom": "worst direction / Å",
        "sphericity": "sphericity",
        "cfar": "cFAR",
    }
    head = "".join(f"<th>{escape(name)}</th>" for name in ("FSC by direction", *numbers))
    rows = "".join(
        f"<tr><td>{title}</td>" + "".join(f"<td>{column[key]:.2f}</td>" for column in numbers.values())
        for key, title in titles.items()
    )
    return f"<table><tr>{head}</tr>{rows}</table>"
