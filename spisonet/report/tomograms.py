"""The summaries of training and prediction: self-contained HTML pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spisonet import __version__
from spisonet.report.page import embedded_figure, facts_table, warning, write_page

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.tomography.prediction_config import PredictConfig
    from spisonet.tomography.training_config import TomogramTrainingConfig

SUMMARY_FILE = "summary.html"
MOST_FIGURES = 12  # a page of hundreds would be too heavy to open
INFERRED = (
    "What lies inside the missing wedge was not measured: it was inferred by a network from what turned "
    "copies of these tomograms show. Confirm what matters by subtomogram averaging or by other data."
)
DENOISED = "The network removes what differs between even and odd tomograms; the missing wedge stays empty."
COMPARISON = (
    "{name}: central slices before (mean of the inputs) and after; power over kx and kz before and after, "
    "between the dashed lines what was measured; the tilt range."
)


def write_training_report(folder: Path, config: TomogramTrainingConfig, outcome: dict[str, Any]) -> None:
    """Write the page of a training: what it learned from, its loss and its previews.

    Parameters
    ----------
    folder : Path
        Output folder with the figures.
    config : TomogramTrainingConfig
        What was asked for.
    outcome : dict
        As in ``job.json``.
    """
    facts = {
        "Tomograms": f"{config.star_file}: {', '.join(outcome['tomograms'])}",
        "Method": outcome["method"],
        "Training": "{epochs} epochs of {subvolumes_per_epoch} cubes of {cube_size} voxels".format(**outcome),
        "CTF": config.CTF_mode,
        "Network": f"{outcome['network']}, width {config.width}",
        "Program": f"spisonet {__version__}, on {outcome['device']}",
    }
    figures = [embedded_figure(folder / "loss.png", "Mean training loss of every epoch.")]
    figures += [
        embedded_figure(folder / name, "The first tomogram as it is, and as the network predicts it.")
        for name in outcome["previews"][-2:]
    ]
    note = DENOISED if outcome["method"] == "n2n" else INFERRED
    write_page(
        folder / SUMMARY_FILE,
        "spisonet: training",
        "Training on tomograms",
        facts_table(facts),
        warning(note),
        *figures,
    )


def write_prediction_report(
    config: PredictConfig, outcome: dict[str, Any], figures: list[tuple[str, Path]]
) -> None:
    """Write the page of a prediction: every tomogram before and after, and what failed.

    Parameters
    ----------
    config : PredictConfig
        What was asked for.
    outcome : dict
        As in ``job.json``.
    figures : list of (str, Path)
        Names of the tomograms, and their figures.
    """
    facts = {
        "Tomograms": str(config.star_file),
        "Network": str(config.model),
        "Corrected": ", ".join(outcome["corrected"]) or "none",
        "Program": f"spisonet {__version__}, on {', '.join(outcome['devices'])}",
    }
    failed = [warning(f"{name} FAILED: {said}") for name, said in outcome["failures"].items()]
    there = [(name, path) for name, path in figures if path.is_file()]
    pictures = [embedded_figure(path, COMPARISON.format(name=name)) for name, path in there[:MOST_FIGURES]]
    if len(there) > MOST_FIGURES:
        pictures.append(
            warning(f"Figures of {len(there) - MOST_FIGURES} more tomograms are in {there[0][1].parent}.")
        )
    note = DENOISED if outcome["method"] == "n2n" else INFERRED
    path = config.output_dir / SUMMARY_FILE
    write_page(
        path,
        "spisonet: tomograms",
        "Corrected tomograms",
        facts_table(facts),
        warning(note),
        *failed,
        *pictures,
    )
