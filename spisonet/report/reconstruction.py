"""The report of a correction: one self-contained HTML page, and its numbers as JSON."""

from __future__ import annotations

import logging
import shlex
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from spisonet import __version__
from spisonet.analysis.fsc3d import Fsc3d, Fsc3dMetrics, estimate_fsc3d, summarise_fsc3d
from spisonet.anisotropy.config import ReconstructConfig
from spisonet.anisotropy.reconstruct import DECONVOLVED_LABEL, MEASURED_LABEL
from spisonet.figures.fsc3d import draw_comparison
from spisonet.figures.reconstruction import NO_CLAIM
from spisonet.geometry.sphere import geodesic_sphere
from spisonet.io.config import command_words
from spisonet.report.classical import classical_section
from spisonet.report.diagnosis import diagnosis_of_run
from spisonet.report.model import model_section
from spisonet.report.page import facts_table, table, warning
from spisonet.report.section import Section, beside
from spisonet.report.sections import CAPTIONS, held_out, inferred, null_tests, pictures

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spisonet.analysis.half_maps import HalfMaps
    from spisonet.validation.finished_run import FinishedRun

log = logging.getLogger("spisonet")

REPORT_FILE = "report.html"
CONE_DEGREES = 20.0
TO_THE_LIMIT = 1.1
COUPLED = f"halves coupled: {NO_CLAIM}"
FILLED_ALIKE = f"halves filled alike by mask and weight: {NO_CLAIM}"


def _fsc_by_direction(run: FinishedRun, page: Path) -> Section | None:
    if run.config.i2 is None:
        return None
    limit = run.limit_angstrom
    pairs = {"before": run.measured, "after": run.after}
    curves = {when: _by_direction(maps, limit, run.workers) for when, maps in pairs.items()}
    numbers = {when: _numbers(metrics) for when, (_, metrics) in curves.items()}
    label = _label_of_halves(run)
    section = Section("FSC by direction", numbers, [_table(numbers)])
    section.parts.append(warning(f"After the correction: {label}."))
    section.add_figure(
        beside(page, "directional_fsc"),
        f"Correlation of the half maps by direction, in cones of 20°, before and after ({label}).",
        draw_comparison({"before": curves["before"], f"after ({label})": curves["after"]}),
    )
    return section


def _label_of_halves(run: FinishedRun) -> str:
    """Say what an FSC between the corrected halves is worth; nothing of a single map.

    Halves that were corrected apart have independent noise, but mask, weight and positivity put the same into
    their unmeasured directions, where they then agree, right or wrong.
    """
    if run.config.i2 is None:
        return ""
    return COUPLED if run.coupled else FILLED_ALIKE


def _training(run: FinishedRun, page: Path) -> Section | None:
    if "loss.png" not in run.outcome["figures"] or not (run.folder / "loss.png").is_file():
        return None
    section = Section("Training", {"epoch_losses": run.outcome["epoch_losses"]})
    section.add_figure(run.folder / "loss.png", CAPTIONS["loss.png"])
    return section


def _how(run: FinishedRun, page: Path) -> Section:
    # As it was run: a model may have been given to the report alone.
    asked = ReconstructConfig.from_options(run.outcome["config"])
    words = shlex.join(["spisonet.py", *command_words(asked)])
    facts = facts_of(run.config, run.outcome) | {"Seed": str(run.config.seed)}
    parts = [facts_table(facts), f"<p>The exact command:</p><pre>{escape(words)}</pre>"]
    return Section("How it was made", {"command": words}, parts)


def _by_direction(maps: HalfMaps, limit: float, workers: int) -> tuple[Fsc3d, Fsc3dMetrics]:
    assert maps.half2 is not None
    mask = None if maps.mask is None else maps.mask.data
    voxel_size = maps.half1.voxel_size_angstrom
    halves = maps.half1.data, maps.half2.data
    fsc3d = estimate_fsc3d(*halves, mask, voxel_size, limit, CONE_DEGREES, workers)
    return fsc3d, summarise_fsc3d(fsc3d)


def _numbers(metrics: Fsc3dMetrics) -> dict[str, Any]:
    directional = metrics.directional_0143_angstrom
    return {
        "resolution_0143_angstrom": metrics.resolution_0143_angstrom,
        "best_direction_0143_angstrom": float(directional.min()),
        "worst_direction_0143_angstrom": float(directional.max()),
        "sphericity": metrics.sphericity,
        "cfar": metrics.cfar,
        "axes_xyz": np.round(geodesic_sphere().axes_zyx[:, ::-1], 4).tolist(),
        "directional_0143_angstrom": np.round(directional, 3).tolist(),
    }


def facts_of(config: ReconstructConfig, outcome: dict[str, Any]) -> dict[str, str]:
    """Return the lines that sum up a run.

    Parameters
    ----------
    config : ReconstructConfig
        What was asked for.
    outcome : dict
        What the run found, as in ``job.json``.
    """
    return {
        "Half maps": ", ".join(str(path) for path in (config.i1, config.i2) if path),
        "Mask": str(config.mask or "none"),
        "Anisotropy": str(config.aniso_file or "3D FSC computed from the half maps (FSC3D.mrc)"),
        "Resolution limit": f"{outcome['limit_resolution_angstrom']:.2f} Å; what is finer is the input's",
        "Not measured": f"{100 * outcome['unmeasured_fraction']:.0f} % of Fourier space up to the limit",
        "Method": "deconvolution by the directional transfer function, no network"
        if config.method == "deconvolve"
        else f"network, {config.objective}, {config.epochs} epochs of {config.n_subvolume} crops",
        "Corrected maps": ", ".join(outcome["corrected_maps"]),
        "Program": ", ".join(
            [f"spisonet {outcome.get('version', __version__)}"]
            + [f"{name} {number}" for name, number in outcome.get("libraries", {}).items()]
            + [f"on {outcome['device']}"]
        ),
    }


def note_on_independence(config: ReconstructConfig, outcome: dict[str, Any]) -> str:
    """Say what an FSC between the corrected halves is worth; see `facts_of` for the parameters."""
    if outcome["halves_independent"]:
        deconvolved = config.method == "deconvolve"
        note = (
            "Each half was deconvolved alone, without a network."
            if deconvolved
            else "Each half was corrected by a network that saw this half alone."
        )
        if outcome.get("label") in (MEASURED_LABEL, DECONVOLVED_LABEL):
            note += " What says what was measured comes from both halves."
        note += (
            " Where little was measured they agree on what mask and weight made of it: no FSC between them "
            "tells the resolution there."
        )
    elif config.i2 is None:
        note = "One map was corrected; nothing here tells signal from noise independently."
    elif config.independent or config.method == "deconvolve":
        note = "The halves share start weights or a reference, so the corrected halves are NOT independent."
    else:
        note = (
            "One network learned from both halves, so the corrected halves are NOT independent: an FSC "
            "between them overstates the resolution. Use --independent where an FSC will be read from them."
        )
    return note


def verdict(run: FinishedRun, numbers: dict[str, dict[str, Any]]) -> str:
    """Say in a sentence or two what the result is worth.

    Parameters
    ----------
    run : FinishedRun
        The run.
    numbers : dict
        Those of its sections by key.
    """
    learned = run.config.method == "learn"
    if learned and run.config.epochs and not any(run.outcome["epoch_losses"].values()):
        return "The half maps do not correlate: nothing was learned, and nothing was changed."
    part, hidden = numbers.get("inferred"), numbers.get("held_out")
    said = (
        f"Up to {run.limit_angstrom:.2f} Å, {100 * run.outcome['unmeasured_fraction']:.0f} % was not measured"
    )
    if part:
        said += f", and {100 * part['of_power']:.0f} % of the corrected map's power is inferred"
    if not hidden:
        return f"{said}. {_why_untested(run.config)}"
    reached = hidden["recovered_half_to_angstrom"]
    with_network, without = (f"{hidden[f'recovered{end}']:.2f}" for end in ("", "_without_network"))
    said += ". In measured directions that were hidden, the prediction correlates with the signal at "
    said += f"{with_network} ({without} without a network), with {hidden['power_ratio']:.2f} times its power"
    if hidden["settings"].get("start_weights"):
        said += ", by networks whose start weights may have known them"
    if reached is None:
        return f"{said}, nowhere at 0.5 or more: do not interpret what is inferred."
    if reached <= TO_THE_LIMIT * run.limit_angstrom:
        return f"{said}, and at 0.5 or more at all resolutions."
    return f"{said}, and at 0.5 or more up to {reached:.1f} Å: do not interpret finer inferred detail."


def _why_untested(config: ReconstructConfig) -> str:
    if config.method != "learn":
        return "It was filled by mask and positivity alone, without a network."
    if config.i2 is None:
        return "How well it was inferred cannot be tested with one map."
    return "How well it was inferred has not been tested: `spisonet.py validate` does."


def _table(numbers: dict[str, dict[str, Any]]) -> str:
    titles = {
        "resolution_0143_angstrom": "FSC 0.143, all directions / Å",
        "best_direction_0143_angstrom": "best direction / Å",
        "worst_direction_0143_angstrom": "worst direction / Å",
        "sphericity": "sphericity",
        "cfar": "cFAR",
    }
    rows = [[title, *(f"{column[key]:.2f}" for column in numbers.values())] for key, title in titles.items()]
    return table(["FSC by direction", *numbers], rows)


# In the order of the page; one that has nothing to say about a run returns None.
SECTIONS: dict[str, Callable[[FinishedRun, Path], Section | None]] = {
    "pictures": pictures,
    "diagnosis": diagnosis_of_run,
    "inferred": inferred,
    "held_out": held_out,
    "null_tests": null_tests,
    "fsc_by_direction": _fsc_by_direction,
    "classical": classical_section,
    "model": model_section,
    "training": _training,
    "how": _how,
}
