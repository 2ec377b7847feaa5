"""Tilt ranges of the wrong sign."""

from __future__ import annotations

import pytest

from spisonet.io.tomograms import open_tomogram
from spisonet.tomography.normalisation import normalise
from spisonet.tomography.tomogram import Tomogram
from tests.tomography.simulation import (
    slab_of_rods,
    with_missing_wedge,
    write_mrc,
)


@pytest.mark.parametrize(
    ("tilt_range", "warned"), [((-66, 40), False), ((-40, 66), True), ((-60, 60), False)]
)
def test_a_tilt_range_of_the_wrong_sign_is_reported(tmp_path, caplog, tilt_range, warned):
    truth = slab_of_rods((32, 64, 64), 30, 0)
    path = write_mrc(tmp_path / "t.mrc", with_missing_wedge(truth, 1.0, 0, (-66, 40)))
    normalise(Tomogram("t", (open_tomogram(path),), tilt_range, None, None, 1))
    assert ("it is probably -66 to 40" in caplog.text) == warned
