"""Comparison with the map deconvolved without a network."""

from __future__ import annotations

import numpy as np
import pytest

from spisonet.fourier.grids import frequency_axes_rfft, irfft3, radius_rfft, rfft3
from spisonet.io.mrc import Volume
from spisonet.validation.classical import compare_with_deconvolution

N, VOXEL_SIZE, LIMIT = 32, 2.0, 5.0


def white(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(N, N, N)).astype(np.float32)


def test_power_and_fsc_are_taken_where_the_data_weight_is_low_and_where_it_is_high():
    """The deconvolved map has half the amplitude and other phases in the unmeasured cone."""
    kz, _, _ = frequency_axes_rfft((N, N, N))
    unmeasured = np.abs(kz) > 0.8 * radius_rfft((N, N, N))
    weight = np.where(unmeasured, 0.1, 0.9).astype(np.float32)
    learned, other = white(1), white(2)
    mixed = np.where(unmeasured, 0.5 * rfft3(other), rfft3(learned)).astype(np.complex64)
    emptied = np.where(unmeasured, 0, rfft3(learned)).astype(np.complex64)
    maps = {
        "input": Volume(irfft3(emptied, (N, N, N)), VOXEL_SIZE),
        "learned": Volume(learned, VOXEL_SIZE),
        "deconvolved": Volume(irfft3(mixed, (N, N, N)), VOXEL_SIZE),
    }
    found = compare_with_deconvolution(maps, weight, LIMIT)
    assert found.power_ratio_poorly_measured["learned"] == pytest.approx(1, abs=0.1)
    assert found.power_ratio_poorly_measured["deconvolved"] == pytest.approx(0.25, abs=0.05)
    assert found.power_ratio_poorly_measured["input"] == pytest.approx(0, abs=1e-6)
    assert found.fsc_well_measured["deconvolved"] == pytest.approx(1, abs=1e-3)
    assert abs(found.fsc_poorly_measured["deconvolved"]) < 0.2
    assert found.fsc_poorly_measured["learned"] == pytest.approx(1, abs=1e-5)
    assert found.numbers["fsc_well_measured"] == found.fsc_well_measured
    # A quarter of the power is the least-squares optimum of a map that correlates by a half.
    assert found.numbers["fsc_of_optimal_power"]["deconvolved"] == pytest.approx(0.5, abs=0.05)


def test_a_map_that_is_measured_everywhere_has_no_unmeasured_region():
    maps = {name: Volume(white(3), VOXEL_SIZE) for name in ("input", "learned", "deconvolved")}
    found = compare_with_deconvolution(maps, np.ones((N, N, N // 2 + 1), np.float32), LIMIT)
    assert set(found.power_ratio_poorly_measured.values()) == {1.0}
