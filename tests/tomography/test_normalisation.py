"""Grey scale and noise spectrum of tomograms."""

from __future__ import annotations

import numpy as np
import pytest

from spisonet.errors import SpisonetError
from spisonet.tomography.normalisation import normalise
from spisonet.tomography.tomogram import Tomogram
from tests.tomography.simulation import (
    gaussian_noise,
    halves_of,
    write_halves,
    write_mrc,
)


def test_the_noise_spectrum_is_that_of_the_halves(tmp_path):
    write_halves(tmp_path, "t", noise=2.0, shape=(64, 64, 64))
    tomogram = normalise(Tomogram("t", halves_of(tmp_path), (-60, 60), None, None, 1))
    # White noise with a standard deviation of 2 was added before the missing wedge was removed.
    np.testing.assert_allclose(tomogram.noise_amplitude.values[4:38] * tomogram.deviation, 2.0, rtol=0.12)


@pytest.mark.parametrize(
    ("odd", "part"),
    [
        (np.zeros((8, 10, 12), np.float32), r"odd/t\.mrc is constant \(every voxel is 0\)"),
        (gaussian_noise((8, 10, 12)), r"even/t\.mrc and .*odd/t\.mrc have the same densities"),
    ],
)
def test_a_black_half_and_equal_halves_are_refused(tmp_path, odd, part):
    write_mrc(tmp_path / "even/t.mrc", gaussian_noise((8, 10, 12)))
    write_mrc(tmp_path / "odd/t.mrc", odd)
    with pytest.raises(SpisonetError, match=part):
        normalise(Tomogram("t", halves_of(tmp_path), (-60, 60), None, None, 1))
