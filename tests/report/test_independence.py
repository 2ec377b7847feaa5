"""What the report says of the corrected halves, by what they share."""

from __future__ import annotations

from pathlib import Path

import pytest

from spisonet.anisotropy.config import ReconstructConfig
from spisonet.anisotropy.independence import FOURIER_WEIGHTS, NETWORK, HalvesIndependence
from spisonet.report.independence import COUPLED, SAME_CONSTRAINTS, label_of_halves, note_on_independence
from spisonet.validation.finished_run import FinishedRun


def note(independent, *shared, **options) -> tuple[str, str]:
    """Return label and note of a run whose halves share something."""
    halves = HalvesIndependence(independent, shared)
    config = ReconstructConfig.from_options({"i1": "half1.mrc", "i2": "half2.mrc"} | options)
    record = {"halves": halves.as_record()}
    return label_of_halves(FinishedRun(Path("out"), config, record)), note_on_independence(config, record)


@pytest.mark.parametrize(
    ("arguments", "options", "label", "part"),
    [
        ((False, NETWORK), {}, COUPLED, "Use --independent"),
        ((False, "reference"), {}, COUPLED, "share start weights or a reference"),
        ((True,), {}, SAME_CONSTRAINTS, "trained on this half only"),
        ((True, FOURIER_WEIGHTS), {}, SAME_CONSTRAINTS, "Measured with both halves: fourier weights."),
        ((True,), {"method": "deconvolve"}, SAME_CONSTRAINTS, "deconvolved separately"),
    ],
)
def test_label_and_note_follow_what_the_halves_share(arguments, options, label, part):
    found_label, found = note(*arguments, **options)
    assert found_label == label
    assert part in found
    assert ("NOT independent" in found) == (label == COUPLED)


def test_a_single_map_has_no_halves_to_compare():
    label, found = note(None, i2=None, aniso_file="FSC3D.mrc")
    assert label == ""
    assert found.startswith("A single map was corrected")
