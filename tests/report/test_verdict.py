"""The verdict of a report: one code for each case, and the numbers in its sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from spisonet.anisotropy.config import ReconstructConfig
from spisonet.report.verdict import VerdictCode, verdict
from spisonet.validation.finished_run import FinishedRun

LIMIT = 6.5


def run(losses=(0.5,), reductions=None, **options) -> FinishedRun:
    options = {"i1": "half1.mrc", "i2": "half2.mrc"} | options
    record = {
        "limit_resolution_angstrom": LIMIT,
        "unmeasured_fraction": 0.62,
        "epoch_losses": {"both halves": list(losses)},
        "loss_reductions": reductions or {"both halves": 0.5},
    }
    return FinishedRun(Path("out"), ReconstructConfig.from_options(options), record)


def held_out(resolution: float | None, start_weights: str | None = None) -> dict:
    return {
        "held_out": {
            "recovery": 0.52,
            "recovery_without_network": 0.55,
            "resolution_at_recovery_05_angstrom": resolution,
            "settings": {"start_weights": start_weights},
        }
    }


def test_the_unmeasured_and_inferred_fractions_are_stated_first():
    found = verdict(run(), {"inferred": {"inferred_power_fraction": 0.14}})
    assert found.sentence.startswith(
        "62 % of Fourier space to 6.50 Å is unmeasured; 14 % of the power of the corrected map is inferred. "
    )


@pytest.mark.parametrize(
    ("resolution", "code", "end"),
    [
        (None, VerdictCode.NOT_RECOVERED, ". Do not interpret the inferred region."),
        (9.0, VerdictCode.PARTLY_RECOVERED, "Do not interpret finer detail in the inferred region."),
        (LIMIT, VerdictCode.RECOVERED, "0.5 or more at all resolutions."),
        (1.09 * LIMIT, VerdictCode.RECOVERED, "0.5 or more at all resolutions."),
        (1.11 * LIMIT, VerdictCode.PARTLY_RECOVERED, "inferred region."),
    ],
)
def test_the_recovery_decides_what_may_be_interpreted(resolution, code, end):
    found = verdict(run(), held_out(resolution))
    assert found.code is code
    assert found.sentence.endswith(end)
    assert "correlation with the signal 0.52 (without a network 0.55)" in found.sentence


@pytest.mark.parametrize(("resolution", "level"), [(None, "bad"), (9.0, "caution"), (LIMIT, "good")])
def test_the_judgement_follows_the_recovery(resolution, level):
    found = verdict(run(), held_out(resolution))
    assert found.level == level
    assert "supported" in found.judgement


def test_a_failed_null_test_is_the_judgement_whatever_the_recovery():
    null_tests = {"config": {"seed": 0}, "noise": {"result": "passed"}, "phases": {"result": "failed"}}
    found = verdict(run(), held_out(LIMIT) | {"null_tests": null_tests})
    assert (found.level, found.code) == ("bad", VerdictCode.RECOVERED)
    assert found.judgement.startswith("A null test failed")
    assert found.sentence.endswith("Failed null tests: phases.")
    passed = verdict(run(), held_out(LIMIT) | {"null_tests": {"noise": {"result": "passed"}}})
    assert passed.level == "good"


def test_start_weights_are_mentioned():
    assert "start weights" in verdict(run(), held_out(None, "network.safetensors")).sentence
    assert "start weights" not in verdict(run(), held_out(None)).sentence


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, VerdictCode.NOT_VALIDATED),
        ({"losses": ()}, VerdictCode.UNCHANGED),
        ({"i2": None, "aniso_file": "FSC3D.mrc"}, VerdictCode.SINGLE_MAP),
        ({"method": "deconvolve"}, VerdictCode.NO_NETWORK),
    ],
)
def test_without_validation_the_verdict_gives_the_reason(changes, code):
    assert verdict(run(**changes), {}).code is code


@pytest.mark.parametrize("numbers", [{}, held_out(LIMIT)])
def test_a_training_that_was_too_short_is_called_so_first(numbers):
    found = verdict(run(reductions={"half1": 0.6, "half2": 0.03}), numbers)
    assert found.code is VerdictCode.TOO_SHORT
    assert found.sentence.startswith("The training was too short to learn: it reduced the loss by 3 %")
    assert verdict(run(reductions={"half1": 0.6, "half2": None}), numbers).code is not VerdictCode.TOO_SHORT
