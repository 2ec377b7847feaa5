"""Ensemble variance, its calibration and the uncertainty of a corrected map."""

from __future__ import annotations

import numpy as np
import pytest

from spisonet.fourier.grids import rfft3
from spisonet.io.mrc import Volume
from spisonet.validation.held_out import Cone
from spisonet.validation.uncertainty import (
    EnsembleVariance,
    PredictionEnsemble,
    calibration,
    error_fraction_by_direction,
    joined_variance,
    relative_uncertainty_rfft,
    voxel_uncertainty,
)

N = 32


def white(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(N, N, N)).astype(np.float32)


def test_the_variance_of_all_networks_includes_that_between_them():
    rng = np.random.default_rng(0)
    truth = white(5)
    networks = []
    for _ in range(40):
        bias = rng.normal(scale=0.3)
        maps = [truth + np.float32(bias) + 0.2 * white(int(rng.integers(1e9))) for _ in range(4)]
        networks.append(PredictionEnsemble.of(maps))
    variance = EnsembleVariance.of(networks)
    assert variance.every.mean() == pytest.approx(0.3**2 + 0.2**2 * (1 + 1 / 4), rel=0.25)
    assert variance.own.mean() == pytest.approx(0.2**2, rel=0.1)
    assert variance.own_rfft.mean() == pytest.approx(0.2**2 * N**3, rel=0.1)
    assert PredictionEnsemble.of([truth]) is None
    alone = EnsembleVariance.of(networks[:1])
    np.testing.assert_array_equal(alone.every_rfft, alone.own_rfft)


def test_the_calibrated_standard_deviation_is_the_error():
    """Errors twice as large as the standard deviation of the predictions give a factor of 2."""
    assert calibration([4.0, 8.0], [1.0, 2.0]) == pytest.approx(2)
    assert calibration([-1.0], [1.0]) is None
    assert calibration([1.0], [0.0]) is None
    networks = [PredictionEnsemble.of([white(10 * i + j) for j in range(5)]) for i in range(3)]
    relative = relative_uncertainty_rfft(EnsembleVariance.of(networks), 2.0, 10 * rfft3(white(99)))
    assert relative.max() <= 1
    assert np.median(relative) == pytest.approx(0.2, rel=0.2)


def test_the_joined_variance_is_a_geometric_mean_with_the_mean_of_the_first():
    own, every = np.array([1.0, 1.0, 4.0]), np.array([9.0, 1.0, 9.0])
    joined = joined_variance(own, every)
    assert joined.mean() == pytest.approx(own.mean())
    assert joined / joined[1] == pytest.approx([3, 1, 6])
    assert (joined_variance(np.zeros(3), every) == 0).all()


def test_the_variance_between_the_halves_is_added_to_the_error_of_the_prediction():
    """Without variance of the predictions, the uncertainty is the noise of one half map."""
    signal = 10 * white(6)
    halves = signal + 0.5 * white(7), signal + 0.5 * white(8)
    zero, zero_rfft = np.zeros((N, N, N), np.float32), np.zeros((N, N, N // 2 + 1), np.float32)
    none = EnsembleVariance(zero, zero_rfft, zero, zero_rfft)
    found = voxel_uncertainty(none, 3.0, halves, 4.0, 1.0)
    assert np.sqrt((found**2).mean()) == pytest.approx(0.5, rel=0.05)
    assert voxel_uncertainty(none, 3.0, (signal, signal), 4.0, 1.0).max() == 0
    constant = EnsembleVariance(zero + 0.04, zero_rfft, zero + 0.04, zero_rfft)
    found = voxel_uncertainty(constant, 3.0, (signal, signal), 4.0, 1.0)
    assert found == pytest.approx(3.0 * 0.2, rel=1e-5)


def test_the_expected_error_is_found_in_its_directions():
    inside = Cone((0.0, 0.0, 1.0), 40).inside_rfft(N)
    relative = np.where(inside, np.sqrt(0.6), 0).astype(np.float32)
    fractions = error_fraction_by_direction(relative, Volume(white(9), 1.0), 2.5)
    along, across = np.abs(fractions.axes[:, 2]) > 0.95, np.abs(fractions.axes[:, 2]) < 0.2
    assert fractions.curves[along][:, 1:] == pytest.approx(0.6, abs=1e-3)
    assert fractions.curves[across][:, 1:].max() < 1e-6
