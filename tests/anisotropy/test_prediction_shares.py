"""Shares of predictions, measured in held-out cones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from spisonet.anisotropy.learned_completion import PRIOR, CompletionSource
from spisonet.anisotropy.prediction_shares import (
    _best_shares,
    blend,
    held_out_cones,
    measure_shares,
    without_region,
)
from spisonet.errors import SpisonetError
from spisonet.learning.memory import Memory
from spisonet.learning.spectra import frequency_points_rfft
from spisonet.learning.structural_prior import DEFAULT_PRIOR, NO_PRIOR, read_prior_network


@pytest.fixture
def measurement(measurement_factory):
    measurement = measurement_factory(n=40)
    return replace(measurement, view_weight_rfft=measurement.fsc_weight_rfft)


def noisy(measurement, level: float, seed: int = 0) -> torch.Tensor:
    noise = torch.randn(measurement.data.shape, generator=torch.Generator().manual_seed(seed))
    return measurement.data + level * noise * measurement.data.std()


def test_held_out_cones_are_measured_and_leave_most_of_the_data(measurement):
    region = held_out_cones(measurement)
    radius = frequency_points_rfft(measurement.shape, torch.device("cpu")).norm(dim=-1)
    outer = (radius > measurement.band_fraction / 4) & (measurement.band_rfft == 1)
    weight = measurement.data_weight_rfft
    assert weight[outer & region].mean() > weight[outer].mean()
    assert 0.02 < region[outer].float().mean() < 0.25
    rest = without_region(measurement, region)
    assert rest.data_weight_rfft[region].abs().sum() == 0
    assert torch.equal(rest.data_weight_rfft[~region], weight[~region])


def test_a_perfect_prediction_gets_everything_and_a_bad_one_nothing(measurement):
    region = held_out_cones(measurement)
    constrained = without_region(measurement, region).complete_by_constraints()
    perfect, worse = measurement.data.flip(0), constrained + noisy(measurement, 3.0) - measurement.data
    shares = measure_shares(measurement, region, constrained, [worse, perfect])
    assert shares[0] < 0.05
    assert shares[1] > 0.9
    assert measure_shares(measurement, region, constrained, [worse])[0] < 0.1


def test_two_predictions_with_independent_errors_share(measurement):
    region = held_out_cones(measurement)
    constrained = torch.zeros_like(measurement.data)
    predictions = [noisy(measurement, 0.05, seed).flip(0) for seed in (1, 2)]
    shares = measure_shares(measurement, region, constrained, predictions)
    assert min(shares) > 0.2
    assert sum(shares) <= 1 + 1e-6


def test_shares_are_the_minimum_of_the_error_and_at_most_one_together():
    np.testing.assert_allclose(_best_shares(np.diag([2.0, 4.0]), np.array([0.8, 1.2])), [0.4, 0.3], atol=0.02)
    assert _best_shares(np.diag([1.0, 1.0]), np.array([3.0, 3.0])).sum() == pytest.approx(1)
    np.testing.assert_array_equal(_best_shares(np.eye(1), np.array([-1.0])), [0.0])


def test_a_mean_with_shares(measurement):
    zero, one = torch.zeros_like(measurement.data), torch.ones_like(measurement.data)
    torch.testing.assert_close(blend(zero, [one, 2 * one], [0.25, 0.5]), 1.25 * one)


def test_the_prior_completes_maps_of_a_measurement(measurement):
    memory = Memory(torch.device("cpu"))
    source = CompletionSource("maps", None, read_prior_network(DEFAULT_PRIOR), None, memory)
    completion = source.learn(measurement)
    assert set(completion.shares) == {PRIOR}
    completed = completion.complete(measurement.averaged())
    assert completed.shape == (1, *measurement.shape)
    assert torch.isfinite(completed).all()
    copies = list(completion.rotated(measurement.averaged(), 2, 0))
    assert len(copies) == 2


def test_the_prior_alone_needs_a_mask_and_a_network(measurement):
    memory = Memory(torch.device("cpu"))
    assert read_prior_network(NO_PRIOR) is None
    with pytest.raises(SpisonetError, match="--method prior"):
        CompletionSource("maps", None, None, None, memory).learn(measurement)
    network = read_prior_network(DEFAULT_PRIOR)
    with pytest.raises(SpisonetError, match="--method prior"):
        CompletionSource("maps", None, network, None, memory).learn(replace(measurement, support=None))
