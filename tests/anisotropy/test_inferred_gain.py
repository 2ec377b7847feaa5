"""Gain of the inferred part of completed maps, measured in a held-out cone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from spisonet.anisotropy.inferred_gain import MAX_GAIN, constrained_maps, measure_gain, with_gain
from spisonet.anisotropy.prediction_shares import held_out_cone
from spisonet.learning.spectra import apply_filter, rfft3, shell_index_rfft

CPU = torch.device("cpu")


@pytest.fixture
def measurement(measurement_factory):
    measurement = measurement_factory(n=32)
    return replace(measurement, view_weight_rfft=measurement.fsc_weight_rfft)


@pytest.fixture
def region(measurement):
    return held_out_cone(measurement)


def noise(measurement, seed: int) -> torch.Tensor:
    """Noise with the power of the data in each shell, the same size as the data."""
    white = torch.randn(measurement.data.shape, generator=torch.Generator().manual_seed(seed))
    spectrum = rfft3(white)
    return torch.fft.irfftn(
        rfft3(measurement.data).abs() * spectrum / spectrum.abs(), s=measurement.shape, dim=(-3, -2, -1)
    )


def in_band(measurement, gain: torch.Tensor) -> torch.Tensor:
    """The gains of shells that lie entirely within the band."""
    shell = shell_index_rfft(measurement.shape, CPU)
    outside = shell[measurement.band_rfft < 1]
    return gain[2 : int(outside[outside > 0].min()) - 2]


def white(measurement, n_halves: int, seed: int = 0) -> torch.Tensor:
    """White noise, also where nothing was measured."""
    return torch.randn(n_halves, *measurement.shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("amplitude", [0.7, 1.0, 2.0])
def test_the_gain_restores_the_amplitude(measurement, region, amplitude):
    """Also above 1, where both halves reproduce the inferred part."""
    reproduced = white(measurement, 1).expand(2, -1, -1, -1)
    predicted = amplitude * measurement.data.flip(0)
    gain = in_band(measurement, measure_gain(measurement, region, predicted, reproduced))
    torch.testing.assert_close(gain, torch.full_like(gain, 1 / amplitude), atol=0.02, rtol=0)


def test_a_gain_above_1_is_limited_to_what_the_halves_reproduce(measurement, region):
    weak = 0.6 * measurement.data.flip(0)
    assert in_band(measurement, measure_gain(measurement, region, weak, white(measurement, 2))).max() < 1.2
    single = replace(measurement, data=measurement.data[:1])
    assert measure_gain(single, region, weak[:1], weak[:1]).max() <= 1
    assert measure_gain(measurement, region, 0.1 * weak, weak).max() <= MAX_GAIN


def test_a_prediction_without_correlation_to_the_held_out_data_vanishes(measurement, region):
    gain = in_band(measurement, measure_gain(measurement, region, noise(measurement, 1), measurement.data))
    assert gain.mean() < 0.2


def test_a_shell_of_false_density_vanishes_alone(measurement, region):
    """As positivity creates it where the maps have little signal left."""
    shell = shell_index_rfft(measurement.shape, CPU)
    fine = (shell >= 9).float()
    false = apply_filter(5 * noise(measurement, 3), fine) + apply_filter(measurement.data.flip(0), 1 - fine)
    gain = measure_gain(measurement, region, false, false)
    assert gain[3:6].min() > 0.9
    assert gain[9:11].max() < 0.2


def test_the_data_are_kept(measurement):
    """With a gain of 0 the map is the weighted data, with 1 what it was; in between in proportion."""
    completed = constrained_maps(measurement).maps
    n_shells = int(shell_index_rfft(measurement.shape, CPU).max()) + 1
    none, whole, half = (
        with_gain(measurement, completed, torch.full((n_shells,), gain)) for gain in (0.0, 1.0, 0.5)
    )
    weighted = apply_filter(measurement.data, measurement.data_weight_rfft)
    torch.testing.assert_close(none, weighted, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(whole, completed, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(half, (weighted + completed) / 2, atol=1e-4, rtol=1e-4)
    assert with_gain(measurement, completed, None) is completed


def test_without_a_mask_no_gain_is_measured(measurement):
    assert constrained_maps(replace(measurement, support=None, positivity=False)).gain is None
    assert constrained_maps(measurement).gain is not None
