"""Factors of the signal-to-noise ratio of the data, measured with the other half map."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from spisonet.anisotropy.data_factors import (
    NO_FACTORS,
    DataFactors,
    measure_factors,
    relative_ssnr_rfft,
    with_factors,
)
from spisonet.anisotropy.inferred_gain import CompletedMaps
from spisonet.learning.spectra import apply_filter, rfft3, shell_index_rfft

CPU = torch.device("cpu")
SSNR = 1.0  # of the data in well-measured directions; a tenth of it elsewhere


@pytest.fixture
def signal():
    """White signal of variance 1 in all of the box."""
    return torch.randn(1, 32, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def measurement(measurement_factory, signal):
    """Two halves with white noise: a signal-to-noise ratio of SSNR in a cone, of SSNR / 10 elsewhere."""
    template = measurement_factory(n=32)
    band = torch.ones_like(template.band_rfft)
    z = torch.fft.fftfreq(32)[:, None, None].abs()
    radius = (z**2 + torch.fft.fftfreq(32)[:, None] ** 2 + torch.fft.rfftfreq(32) ** 2).sqrt()
    ssnr = torch.where(z < 0.6 * radius, SSNR, SSNR / 10)
    noise = torch.randn(2, 32, 32, 32, generator=torch.Generator().manual_seed(1))
    return replace(
        template,
        data=signal + apply_filter(noise, ssnr.rsqrt()),
        fsc_weight_rfft=ssnr / (1 + ssnr) * band,
        view_weight_rfft=ssnr / (1 + ssnr) * band,
        band_rfft=band,
        support=torch.ones(32, 32, 32),
        noise_fraction_in_mask=1.0,
        positivity=False,
    )


def claiming(measurement, factor: float):
    """The same data with weights of a signal-to-noise ratio that is wrong by a factor."""
    weight = measurement.data_weight_rfft
    wrong = weight * factor / (1 - weight + weight * factor)
    return replace(measurement, fsc_weight_rfft=wrong, view_weight_rfft=wrong)


def completed(measurement, prediction):
    weight = measurement.data_weight_rfft
    return apply_filter(measurement.data, weight) + apply_filter(prediction.expand(2, -1, -1, -1), 1 - weight)


@pytest.mark.parametrize("claimed", [0.5, 1.0, 2.0])
def test_a_wrong_signal_to_noise_ratio_is_corrected(measurement, claimed):
    """Predicting nothing: the factor is the one by which the claimed ratio is wrong."""
    wrong = claiming(measurement, claimed)
    found = measure_factors(wrong, completed(wrong, torch.zeros(1, 32, 32, 32)))
    assert found.well_measured == pytest.approx(1 / claimed, rel=0.15)
    assert found.poorly_measured == pytest.approx(min(1, 1 / claimed), rel=0.2)


def test_beside_a_good_prediction_the_data_count_less(measurement, signal):
    """With a prediction whose error has a variance of 1/2, by half, as in the Wiener estimate about it."""
    error = torch.randn(signal.shape, generator=torch.Generator().manual_seed(2))
    found = measure_factors(measurement, completed(measurement, signal + math.sqrt(0.5) * error))
    assert found.well_measured == pytest.approx(0.5, rel=0.15)
    assert found.poorly_measured == pytest.approx(0.5, rel=0.25)


def test_the_factor_replaces_the_weight_of_the_data(measurement, signal):
    maps = completed(measurement, signal)
    same = with_factors(measurement, maps, DataFactors(1.0, 1.0 - 1e-9))
    torch.testing.assert_close(same, maps, atol=1e-4, rtol=1e-4)
    assert with_factors(measurement, maps, NO_FACTORS) is maps
    factors = DataFactors(2.0, 0.5)
    relative = relative_ssnr_rfft(measurement)
    weight = measurement.data_weight_rfft
    factor = factors.rfft(measurement)
    torch.testing.assert_close(factor[relative > 0.5], torch.full_like(factor[relative > 0.5], 2.0))
    torch.testing.assert_close(factor[relative < 0.2], torch.full_like(factor[relative < 0.2], 0.5))
    weight = weight * factor / (1 - weight + weight * factor)
    expected = replace(measurement, fsc_weight_rfft=weight, view_weight_rfft=weight)
    torch.testing.assert_close(
        with_factors(measurement, maps, factors), completed(expected, signal), atol=1e-3, rtol=1e-3
    )


def test_a_single_map_has_no_factors(measurement, signal):
    single = replace(measurement, data=measurement.data[:1])
    assert measure_factors(single, signal) == NO_FACTORS
    assert measure_factors(replace(measurement, support=None), measurement.data) == NO_FACTORS


def test_gain_and_factors_together(measurement, signal):
    """With a gain of 0 and any factor only data remain: M f y / (1 - M + M f)."""
    n_shells = int(shell_index_rfft(measurement.shape, CPU).max()) + 1
    maps = CompletedMaps(completed(measurement, signal), torch.zeros(n_shells), DataFactors(3.0, 1.0))
    weight, factor = measurement.data_weight_rfft, maps.factors.rfft(measurement)
    expected = rfft3(measurement.data) * (weight * factor / (1 - weight + weight * factor))
    torch.testing.assert_close(rfft3(maps.recombined(measurement)), expected, atol=5e-2, rtol=1e-3)


def test_the_mean_of_factors_is_geometric():
    mean = DataFactors.mean([DataFactors(4.0, 0.25), DataFactors(1.0, 1.0)])
    assert (mean.well_measured, mean.poorly_measured) == (pytest.approx(2.0), pytest.approx(0.5))
