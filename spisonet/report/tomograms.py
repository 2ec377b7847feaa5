"""Summaries of training and prediction of tomograms: self-contained HTML pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spisonet import __version__
from spisonet.report.page import embedded_figure, metadata_table, paragraph, warning, write_page
from spisonet.tomography.wedge_check import CONTRADICTIONS

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.tomography.prediction_config import PredictConfig
    from spisonet.tomography.refine import TrainingSummary
    from spisonet.tomography.training_config import TomogramTrainingConfig

SUMMARY_FILE = "summary.html"
MAX_FIGURES = 12  # keeps the page small enough to open
INFERRED = (
    "The missing wedge was not measured. Its content is inferred by a network from rotated copies of these "
    "tomograms. Confirm important features by subtomogram averaging or by other data."
)
FROM_OTHERS = (
    "The training started from a network that was trained on simulated tomograms of other structures. It can "
    "add density that is usual there but absent from these tomograms."
)
STARTS = {"none": "random weights", "default": "network trained on simulated tomograms of other structures"}
DENOISED = "The network removes noise that differs between even and odd tomograms. Missing wedges stay empty."
COMPARISON = (
    "{name}: central slices before correction (mean of the inputs) and after; power spectra over kx and kz "
    "before and after, with the tilt range of the table between dashed lines and that of the power between "
    "dotted lines; both tilt ranges."
)


@dataclass(frozen=True)
class PredictionSummary:
    """Results of a prediction, as recorded in ``job.json``.

    Attributes
    ----------
    method : str
        Method by which the network was trained.
    corrected : dict
        Output file by name of the tomogram.
    failures : dict
        Error message by name of the tomogram.
    devices : list of str
        Devices that were used.
    wedges : dict
        Measured missing wedge by name of the tomogram; see `WedgeCheck.as_record`.
    saw_other_structures : bool
        Whether the training of the network started from one trained on other structures.
    """

    method: str
    corrected: dict[str, str]
    failures: dict[str, str]
    devices: list[str]
    wedges: dict[str, dict[str, Any]]
    saw_other_structures: bool


def write_training_report(folder: Path, config: TomogramTrainingConfig, summary: TrainingSummary) -> None:
    """Write the page of a training: its data and method, the training loss and the last previews.

    Parameters
    ----------
    folder : Path
        Output folder with the figures.
    config : RefineConfig or DenoiseConfig
        Options of the training.
    summary : TrainingSummary
        Results of the training.
    """
    rows = {
        "Tomograms": f"{config.star_file}: {', '.join(summary.tomograms)}",
        "Method": summary.method,
        "Training": f"{summary.epochs} epochs of {summary.subvolumes_per_epoch} subvolumes of "
        f"{summary.cube_size} voxels",
        "CTF correction": config.CTF_mode,
        "Network": f"{summary.network}, base width {summary.filter_base}",
        "Start": STARTS.get(summary.start, summary.start),
        "Program": f"spisonet {__version__}, on {summary.device}",
    }
    figures = [
        embedded_figure(folder / "loss.png", "Mean training loss of each epoch.")
        for _ in summary.epoch_losses[:1]
    ]
    figures += [
        embedded_figure(folder / name, "Slices of the first tomogram and of its current prediction.")
        for name in summary.previews[-2:]
    ]
    write_page(
        folder / SUMMARY_FILE,
        "spisonet: training",
        "Training on tomograms",
        metadata_table(rows),
        warning(_note(summary)),
        *(_wedge_verdict(name, record) for name, record in summary.wedges.items()),
        *figures,
    )


def write_prediction_report(
    config: PredictConfig, summary: PredictionSummary, figures: dict[str, Path]
) -> None:
    """Write the page of a prediction: every tomogram before and after correction, and failures.

    Parameters
    ----------
    config : PredictConfig
        Options of the prediction.
    summary : PredictionSummary
        Results of the prediction.
    figures : dict
        Path of the figure by name of the tomogram.
    """
    rows = {
        "Tomograms": str(config.star_file),
        "Network": str(config.model),
        "Corrected": ", ".join(summary.corrected) or "none",
        "Program": f"spisonet {__version__}, on {', '.join(summary.devices)}",
    }
    failed = [warning(f"{name} FAILED: {message}") for name, message in summary.failures.items()]
    existing = [(name, path) for name, path in figures.items() if path.is_file()]
    pictures = [embedded_figure(path, COMPARISON.format(name=name)) for name, path in existing[:MAX_FIGURES]]
    if len(existing) > MAX_FIGURES:
        n_more, folder = len(existing) - MAX_FIGURES, existing[0][1].parent
        pictures.append(warning(f"Figures of {n_more} more tomograms are in {folder}."))
    write_page(
        config.output_dir / SUMMARY_FILE,
        "spisonet: tomograms",
        "Corrected tomograms",
        metadata_table(rows),
        warning(_note(summary)),
        *failed,
        *(_wedge_verdict(name, record) for name, record in summary.wedges.items()),
        *pictures,
    )


def _wedge_verdict(name: str, record: dict[str, Any]) -> str:
    sentence = f"{name}: {record['verdict']}"
    return warning(sentence) if record["result"] in CONTRADICTIONS else paragraph(sentence)


def _note(summary: TrainingSummary | PredictionSummary) -> str:
    if summary.method == "n2n":
        return DENOISED
    return f"{INFERRED} {FROM_OTHERS}" if summary.saw_other_structures else INFERRED
