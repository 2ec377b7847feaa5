"""What the objectives reward."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from spisonet.learning.objectives import EquivarianceObjective, SelfTrainingObjective
from spisonet.learning.spectra import apply_filter, frequency_points_rfft
from spisonet.learning.subvolumes import draw_rotations

CPU = torch.device("cpu")


def identity(crops: torch.Tensor) -> torch.Tensor:
    return crops


def test_replay_of_a_complete_noiseless_map_has_no_residual(measurement_factory):
    measurement = measurement_factory(noise=0.0)
    complete = torch.where(measurement.band_rfft > 0, 1.0, 0.0)
    objective = SelfTrainingObjective(replace(measurement, weight_rfft=complete), 16)
    whole = objective.loss(identity, 8, np.random.default_rng(0))
    hidden = SelfTrainingObjective(measurement, 16).loss(identity, 8, np.random.default_rng(0))
    assert whole < 1e-2 * hidden


def test_replay_residual_does_not_count_what_the_turned_map_lacks(measurement_factory):
    """An error where the turned map was not measured costs next to nothing; elsewhere it costs."""
    measurement = measurement_factory(n=32, noise=0.0)
    objective = SelfTrainingObjective(measurement, 32)

    def costs(filter_of_error: str) -> float:
        rng, positions = np.random.default_rng(0), frequency_points_rfft(32, CPU)
        # The objective draws its rotations first, so they can be drawn again here.
        rotations = draw_rotations(2, np.random.default_rng(0), CPU)
        known = objective._weight.at(torch.einsum("bji,zyxj->bzyxi", rotations, positions))
        inside = positions.norm(dim=-1) < 0.25
        chosen = inside & (known < 0.01 if filter_of_error == "unknown" else known > 0.99)
        noise = torch.randn(2, 32, 32, 32, generator=torch.Generator().manual_seed(0))
        error = apply_filter(noise, chosen.float())
        without = objective.loss(identity, 2, np.random.default_rng(0))
        return (objective.loss(lambda crops: crops + 3 * error, 2, rng) - without).item()

    assert abs(costs("unknown")) < 0.02 * costs("known")


def test_replay_targets_are_measured_data_whatever_is_filled_in(measurement_factory):
    measurement = measurement_factory()
    objective = SelfTrainingObjective(measurement, 16)
    residuals = []
    for level in (0.0, 5.0):
        objective.refresh(lambda volumes, level=level: level * torch.ones_like(volumes))
        residuals.append(objective.loss(torch.zeros_like, 8, np.random.default_rng(0)).item())
    assert residuals[0] == residuals[1]


def test_one_half_is_not_taught_to_amplify_its_noise(measurement_factory):
    """With one map the target is M y, not y: to undo the weight altogether does not pay."""
    measurement = measurement_factory(n_halves=1)
    halved = replace(measurement, weight_rfft=0.5 * measurement.fsc_weight_rfft)
    objective = SelfTrainingObjective(halved, 16)
    weighted, raw = (
        objective.loss(lambda crops, g=gain: g * crops, 16, np.random.default_rng(0)) for gain in (2.0, 4.0)
    )
    assert weighted < raw


def test_replay_hides_from_the_input_what_the_measurement_lacks(measurement_factory):
    measurement = measurement_factory(n=32)
    inputs = []

    def record(crops: torch.Tensor) -> torch.Tensor:
        inputs.append(crops)
        return crops

    SelfTrainingObjective(measurement, 32).loss(record, 4, np.random.default_rng(0))
    spectrum = torch.fft.rfftn(inputs[0], dim=(-3, -2, -1)).abs()
    hidden = (measurement.fsc_weight_rfft == 0) & (measurement.band_rfft == 1)
    known = (measurement.fsc_weight_rfft == 1) & (measurement.band_rfft == 1)
    assert spectrum[:, hidden].max() < 0.02 * spectrum[:, known].max()


def test_refresh_interval_bounds_the_cost_of_refills(measurement_factory):
    objective = SelfTrainingObjective(measurement_factory(n=40), 8)
    interval = objective.refresh_interval(batch_size=4)
    assert 2 * 40**3 <= 0.2 * interval * 3 * 4 * 8**3 + 1e-6


def test_equivariance_losses_are_the_published_sum(measurement_factory):
    """With f = identity and M = 1 only the noise2noise terms are left, |x1 - x2| each."""
    measurement = measurement_factory()
    complete = replace(measurement, weight_rfft=torch.ones_like(measurement.fsc_weight_rfft))
    alpha, beta = 0.7, 0.5
    rng = np.random.default_rng(0)
    loss = EquivarianceObjective(complete, 16, alpha, beta).loss(identity, 64, rng).item()
    difference = (complete.data[0] - complete.data[1]).abs().mean().item()
    assert loss == pytest.approx(beta * (1 + alpha) * difference, rel=0.1)
    single = (
        EquivarianceObjective(replace(complete, data=complete.data[:1]), 16, alpha, beta)
        .loss(identity, 8, rng)
        .item()
    )
    assert single == pytest.approx(0.0, abs=1e-5)


def test_equivariance_crops_stay_inside_the_box(measurement_factory):
    objective = EquivarianceObjective(measurement_factory(n=20), 16, 1.0, 0.5)
    assert torch.isfinite(objective.loss(identity, 32, np.random.default_rng(0)))
