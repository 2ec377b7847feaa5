"""Grey scale and noise spectrum of tomograms."""

from __future__ import annotations

import numpy as np

from spisonet.tomography.normalisation import normalise
from spisonet.tomography.tomogram import Tomogram
from tests.tomography.simulation import (
    halves_of,
    write_halves,
)


def test_the_noise_spectrum_is_that_of_the_halves(tmp_path):
    write_halves(tmp_path, "t", noise=2.0, shape=(64, 64, 64))
    tomogram = normalise(Tomogram("t", halves_of(tmp_path), (-60, 60), None, None, 1))
    # White noise with a standard deviation of 2 was added before the missing wedge was removed.
    np.testing.assert_allclose(tomogram.noise_amplitude.values[4:38] * tomogram.deviation, 2.0, rtol=0.12)
