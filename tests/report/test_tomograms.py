"""Summaries of tomograms begin with a verdict and its numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from spisonet.fourier.wedge_fit import WedgeFit
from spisonet.report.tomograms import (
    SUMMARY_FILE,
    PredictionSummary,
    write_prediction_report,
    write_training_report,
)
from spisonet.tomography.prediction_config import PredictConfig
from spisonet.tomography.refine import TrainingSummary
from spisonet.tomography.training_config import RefineConfig
from spisonet.tomography.wedge_check import WedgeCheck


def record(name: str, measured: tuple[float, float], is_assumed: bool = False) -> dict:
    fit = WedgeFit("y", 0.0, measured, 1.0, 0.01, 1.0, 0.1)
    return WedgeCheck(name, (-60.0, 60.0), 0.05, fit, is_assumed).as_record()


def training(
    tmp_path: Path, reduction: float | None, measured: tuple[float, float], is_assumed: bool = False
) -> str:
    summary = TrainingSummary(
        "cpu", 1, "isonet2", ["TS_01"], 16, "none", False, 64, 3, 400, [0.5, 0.3, 0.2], reduction,
        "network.safetensors", [], {"TS_01": record("TS_01", measured, is_assumed)},
    )  # fmt: skip
    (tmp_path / "loss.png").write_bytes(b"png")
    config = RefineConfig.from_options({"star_file": tmp_path / "tomograms.star"})
    write_training_report(tmp_path, config, summary, 3720)
    return (tmp_path / SUMMARY_FILE).read_text(encoding="utf-8")


def test_a_training_is_judged_by_its_loss_and_the_wedges(tmp_path):
    page = training(tmp_path, 0.6, (-60.0, 60.0))
    assert "<p class='verdict neutral'><b>The network has learned</b>" in page
    assert "Mean loss 0.5 in the first and 0.2 in the last epoch, 60 % below" in page
    assert "agrees with the power spectrum in 1 of 1 tomograms" in page
    assert "<td>TS_01</td><td>-60 to 60°</td><td>-60 to 60°</td><td>5 %</td><td>agrees</td>" in page
    assert "<td>Duration</td><td>1 h 2 min</td>" in page
    assert "class='verdict bad'><b>The training was too short" in training(tmp_path, 0.1, (-60.0, 60.0))
    page = training(tmp_path, None, (-40.0, 60.0))
    assert "class='verdict caution'" in page
    assert "The tilt ranges of TS_01 contradict their power spectra" in page


def test_a_tilt_range_that_was_assumed_is_marked_in_the_table(tmp_path):
    cell = "<td>-60 to 60°{}</td><td>-60 to 60°</td>"
    page = training(tmp_path, 0.6, (-60.0, 60.0), is_assumed=True)
    assert cell.format(" (assumed, no tilt file found)") in page
    page = training(tmp_path, 0.6, (-60.0, 60.0))
    assert cell.format("") in page
    assert "assumed" not in page


@pytest.mark.parametrize(
    ("failures", "level", "judgement"),
    [({}, "neutral", "1 tomogram corrected"), ({"TS_02": "damaged"}, "bad", "1 of 2 tomograms could not")],
)
def test_a_prediction_is_judged_by_what_failed(tmp_path, failures, level, judgement):
    summary = PredictionSummary("isonet2", {"TS_01": "out/TS_01.mrc"}, failures, ["cpu"], {}, False)
    config = PredictConfig.from_options({
        "star_file": tmp_path / "t.star", "model": tmp_path / "n.safetensors", "output_dir": tmp_path,
    })  # fmt: skip
    write_prediction_report(config, summary, {}, 42)
    page = (tmp_path / SUMMARY_FILE).read_text(encoding="utf-8")
    assert f"<p class='verdict {level}'><b>{judgement}" in page
    assert "<td>Duration</td><td>42 s</td>" in page
