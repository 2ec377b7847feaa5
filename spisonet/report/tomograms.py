"""Summaries of training and prediction of tomograms: self-contained HTML pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from spisonet import __version__
from spisonet.anisotropy.training_length import is_too_short, too_short_sentence
from spisonet.learning.training_end import epochs_sentence
from spisonet.report.page import (
    embedded_figure,
    metadata_table,
    paragraph,
    table,
    verdict_box,
    warning,
    write_page,
)
from spisonet.report.run_metadata import date_and_duration
from spisonet.report.verdict import JUDGEMENTS, VerdictCode
from spisonet.tomography.training_config import DENOISER_CUBE_SIZE
from spisonet.tomography.wedge_check import (
    AGREES,
    CONTRADICTIONS,
    FILLED,
    WRONG_AXIS,
    WRONG_RANGE,
    WRONG_SIGN,
)

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
RESULT_NAMES = {
    AGREES: "agrees",
    FILLED: "not measurable",
    WRONG_AXIS: "another tilt axis",
    WRONG_SIGN: "opposite sign",
    WRONG_RANGE: "another range",
}
LOSS = "Mean training loss of each epoch."
LOSSES = f"{LOSS} The two networks have different targets, so that their losses cannot be compared."
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


def write_training_report(
    folder: Path, config: TomogramTrainingConfig, summary: TrainingSummary, seconds: float
) -> None:
    """Write the page of a training: verdict, data and method, the training loss and the last previews.

    Parameters
    ----------
    folder : Path
        Output folder with the figures.
    config : RefineConfig or DenoiseConfig
        Options of the training.
    summary : TrainingSummary
        Results of the training.
    seconds : float
        Duration.
    """
    rows = {
        "Tomograms": f"{config.star_file}: {', '.join(summary.tomograms)}",
        "Method": summary.method,
        "Training": f"{_epochs(summary)} of {summary.subvolumes_per_epoch} subvolumes of "
        f"{summary.cube_size} voxels{_denoising(summary)}",
        "CTF correction": config.CTF_mode,
        "Network": f"{summary.network}, base width {summary.filter_base}",
        "Start": STARTS.get(summary.start, summary.start),
        **_when(seconds),
        "Program": f"spisonet {__version__}, on {summary.device}",
    }
    figures = [
        embedded_figure(folder / "loss.png", LOSSES if summary.denoiser_losses else LOSS)
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
        _training_verdict(summary),
        metadata_table(rows),
        warning(_note(summary)),
        *_wedge_parts(summary.wedges),
        *figures,
    )


def write_prediction_report(
    config: PredictConfig, summary: PredictionSummary, figures: dict[str, Path], seconds: float
) -> None:
    """Write the page of a prediction: verdict, every tomogram before and after correction, and failures.

    Parameters
    ----------
    config : PredictConfig
        Options of the prediction.
    summary : PredictionSummary
        Results of the prediction.
    figures : dict
        Path of the figure by name of the tomogram.
    seconds : float
        Duration.
    """
    rows = {
        "Tomograms": str(config.star_file),
        "Network": str(config.model),
        "Corrected": ", ".join(summary.corrected) or "none",
        **_when(seconds),
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
        _prediction_verdict(summary),
        metadata_table(rows),
        warning(_note(summary)),
        *failed,
        *_wedge_parts(summary.wedges),
        *pictures,
    )


def _epochs(summary: TrainingSummary) -> str:
    end = summary.training_end
    return f"{summary.epochs} epochs" if end is None else epochs_sentence(end)


def _denoising(summary: TrainingSummary) -> str:
    if not summary.denoiser_losses:
        return ""
    edge = min(summary.cube_size, DENOISER_CUBE_SIZE)
    smaller = f", on as many voxels in subvolumes of {edge} voxels" if edge < summary.cube_size else ""
    return f"; the first {len(summary.denoiser_losses)} epochs train the network that denoises{smaller}"


def _when(seconds: float) -> dict[str, str]:
    now = datetime.now(UTC).isoformat()
    return date_and_duration({"written": now, "seconds": seconds})


def _training_verdict(summary: TrainingSummary) -> str:
    if not summary.epoch_losses:
        return verdict_box("No network was trained", "The initial network is unchanged.", "neutral")
    first, last = summary.epoch_losses[0], summary.epoch_losses[-1]
    losses = f"Mean loss {first:.4g} in the first and {last:.4g} in the last epoch"
    if is_too_short(summary.loss_reduction):
        reason = f"{too_short_sentence(summary.loss_reduction)} {losses}."
        return verdict_box(JUDGEMENTS[VerdictCode.TOO_SHORT][0], reason, "bad")
    if summary.loss_reduction is not None:
        below = f"{100 * summary.loss_reduction:.0f} % below that of the untrained network"
        losses += f"; that of the denoising network is {below}" if summary.denoiser_losses else f", {below}"
    reason = f"{losses}. {_contradiction_sentence(summary.wedges)}"
    learned = "The denoising network has learned" if summary.denoiser_losses else "The network has learned"
    return verdict_box(learned, reason, _level(summary.wedges))


def _prediction_verdict(summary: PredictionSummary) -> str:
    n_all = len(summary.corrected) + len(summary.failures)
    reason = _contradiction_sentence(summary.wedges)
    if summary.failures:
        judgement = f"{len(summary.failures)} of {n_all} tomograms could not be corrected"
        return verdict_box(judgement, reason, "bad")
    n_tomograms = f"{n_all} tomogram{'s' if n_all != 1 else ''}"
    done = "denoised" if summary.method == "n2n" else "corrected"
    return verdict_box(f"{n_tomograms} {done}", reason, _level(summary.wedges))


def _contradictions(wedges: dict[str, dict[str, Any]]) -> list[str]:
    return [name for name, record in wedges.items() if record["result"] in CONTRADICTIONS]


def _level(wedges: dict[str, dict[str, Any]]) -> str:
    return "caution" if _contradictions(wedges) else "neutral"


def _contradiction_sentence(wedges: dict[str, dict[str, Any]]) -> str:
    if not wedges:
        return "Tilt ranges were not compared with power spectra."
    found = _contradictions(wedges)
    if found:
        return f"The tilt ranges of {', '.join(found)} contradict their power spectra: check the table."
    n_agreeing = sum(record["result"] == AGREES for record in wedges.values())
    return f"The tilt range agrees with the power spectrum in {n_agreeing} of {len(wedges)} tomograms."


def _wedge_parts(wedges: dict[str, dict[str, Any]]) -> list[str]:
    """Return a table of the tilt ranges, and a sentence for each tomogram."""
    if not wedges:
        return []
    head = [
        "tomogram",
        "tilt range in the table",
        "in the power spectrum",
        "power left in the wedge",
        "result",
    ]
    rows = [[name, *_wedge_row(record)] for name, record in wedges.items()]
    return [table(head, rows), *(_wedge_verdict(name, record) for name, record in wedges.items())]


def _wedge_row(record: dict[str, Any]) -> list[str]:
    low, high = record["assumed_range_degrees"]
    fit, ratio = record["fit"], record["assumed_power_ratio"]
    measured = "not measurable"
    if fit is not None and record["result"] not in (FILLED, WRONG_AXIS):
        measured = "{:.0f} to {:.0f}°".format(*fit["tilt_range_degrees"])
    assumed = " (assumed, no tilt file found)" if record["range_is_default"] else ""
    left = "–" if ratio is None else f"{100 * ratio:.0f} %"
    return [f"{low:g} to {high:g}°{assumed}", measured, left, RESULT_NAMES[record["result"]]]


def _wedge_verdict(name: str, record: dict[str, Any]) -> str:
    sentence = f"{name}: {record['verdict']}"
    return warning(sentence) if record["result"] in CONTRADICTIONS else paragraph(sentence)


def _note(summary: TrainingSummary | PredictionSummary) -> str:
    if summary.method == "n2n":
        return DENOISED
    return f"{INFERRED} {FROM_OTHERS}" if summary.saw_other_structures else INFERRED
