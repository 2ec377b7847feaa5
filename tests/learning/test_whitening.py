"""Whitening of maps, and training and prediction on whitened maps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from spisonet.learning.objectives import SelfTrainingObjective
from spisonet.learning.spectra import apply_filter, frequency_points_rfft, rfft3
from spisonet.learning.whitening import Whitening, shell_amplitude_rfft


@pytest.fixture
def measurement(measurement_factory):
    measurement = measurement_factory(n=32)
    return replace(measurement, view_weight_rfft=measurement.fsc_weight_rfft)


def test_the_shell_amplitude_is_that_of_the_measured_signal(measurement):
    amplitude = shell_amplitude_rfft(measurement)
    assert (amplitude[measurement.band_rfft > 0] > 0).all()
    assert amplitude[measurement.band_rfft == 0].abs().sum() == 0


def test_whitening_is_undone_within_the_band(measurement):
    completed = measurement.complete_by_constraints()
    whitening = Whitening.of(measurement, completed)
    restored = whitening.restore(whitening.apply(completed))
    torch.testing.assert_close(restored, apply_filter(completed, measurement.band_rfft), atol=1e-4, rtol=0)


def test_whitened_shells_have_similar_power_and_the_map_unit_scale(measurement):
    completed = measurement.complete_by_constraints()
    whitened = Whitening.of(measurement, completed).apply(completed)
    assert whitened[:, measurement.support > 0.5].square().mean().sqrt() == pytest.approx(1, abs=0.05)
    radius = frequency_points_rfft(measurement.shape, torch.device("cpu")).norm(dim=-1) * 32
    used = measurement.data_weight_rfft > 0.9
    powers = {}
    for name, volumes in (("plain", completed), ("whitened", whitened)):
        power = rfft3(volumes).abs().square().mean(dim=0)
        shells = [power[used & ((radius - shell).abs() < 1)].mean() for shell in (3, 6, 9)]
        powers[name] = float(max(shells) / min(shells))
    assert powers["whitened"] < 5 < powers["plain"]


def test_a_network_on_whitened_maps_predicts_in_the_scale_of_the_map(measurement):
    """One that returns its input predicts the weighted map, as on plain maps."""

    def identity(volumes: torch.Tensor) -> torch.Tensor:
        return volumes

    plain, whitened = (
        SelfTrainingObjective(measurement, 16, whitened=is_whitened).predict(identity)
        for is_whitened in (False, True)
    )
    inside = measurement.support > 0.5
    error = (plain - whitened)[:, inside].square().mean().sqrt()
    assert error < 0.05 * plain[:, inside].square().mean().sqrt()


def test_training_subvolumes_are_whitened(measurement):
    objective = SelfTrainingObjective(measurement, 16, whitened=True)
    objective.refresh(0, lambda volumes: volumes)
    batch = objective.draw(8, np.random.default_rng(0)).sample(slice(0, 8))
    assert 0.3 < float(batch.targets.std()) < 3
    flat = replace(measurement, data=100 * measurement.data)
    scaled = SelfTrainingObjective(flat, 16, whitened=True)
    scaled.refresh(0, lambda volumes: volumes)
    again = scaled.draw(8, np.random.default_rng(0)).sample(slice(0, 8))
    torch.testing.assert_close(again.targets, batch.targets, atol=1e-3, rtol=1e-3)


def test_without_view_weight_maps_are_not_whitened(measurement_factory):
    measurement = measurement_factory(n=24)
    seen = []

    def note(volumes: torch.Tensor) -> torch.Tensor:
        seen.append(volumes)
        return volumes

    for is_whitened in (False, True):
        SelfTrainingObjective(measurement, 16, whitened=is_whitened).predict(note)
    assert torch.equal(*seen)
