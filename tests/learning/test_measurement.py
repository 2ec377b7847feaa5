"""Completing and constraining a measurement."""

from __future__ import annotations

from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st

from spisonet.learning.measurement import weight_of_average
from spisonet.learning.spectra import irfft3, rfft3


def test_completion_keeps_the_data_and_takes_the_prediction_elsewhere(measurement_factory):
    measurement = measurement_factory()
    prediction = torch.randn_like(measurement.data)
    completed = rfft3(measurement.complete(prediction))
    measured = (measurement.fsc_weight_rfft == 1) & (measurement.band_rfft == 1)
    missing = (measurement.fsc_weight_rfft == 0) & (measurement.band_rfft == 1)
    data = rfft3(measurement.data)
    weight = measurement.data_weight_rfft
    mixed = data * weight + rfft3(prediction) * (1 - weight) * measurement.band_rfft
    consistent = irfft3(mixed, measurement.shape)
    constrained = rfft3(measurement.constrain(consistent))
    scale = data.abs().max()
    assert ((completed - data)[:, measured].abs() / scale).max() < 1e-5
    assert ((completed - constrained)[:, missing].abs() / scale).max() < 1e-4


def test_repeated_completion_agrees_with_data_and_support(measurement_factory):
    measurement = measurement_factory(n=40)
    once = measurement.complete(measurement.data)
    repeated = replace(measurement, view_weight_rfft=measurement.fsc_weight_rfft)
    completed = repeated.complete(measurement.data)

    def outside(volumes):
        return float((volumes * (1 - measurement.support)).square().sum())

    assert outside(completed) < 0.5 * outside(once)
    measured = (measurement.fsc_weight_rfft == 1) & (measurement.band_rfft == 1)
    data = rfft3(measurement.data)
    assert ((rfft3(completed) - data)[:, measured].abs() / data.abs().max()).max() < 1e-5


def test_completion_converges_to_the_wiener_estimate_inside_the_support(measurement_factory):
    base = measurement_factory(n=32)
    ssnr, noise_fraction = 0.1, 0.2
    noise = torch.randn(1, 32, 32, 32, generator=torch.Generator().manual_seed(0))
    everywhere = torch.ones_like(base.band_rfft)
    measurement = replace(
        base,
        data=noise,
        band_rfft=everywhere,
        view_weight_rfft=everywhere * ssnr / (1 + ssnr),
        noise_fraction_in_mask=noise_fraction,
        positivity=False,
    )
    prediction = 0.5 * base.support[None]
    completed = measurement.complete(prediction)
    inside = base.support > 0
    expected = (ssnr * noise + noise_fraction * prediction) / (ssnr + noise_fraction)
    torch.testing.assert_close(completed[:, inside], expected[:, inside], atol=0.05, rtol=0.05)


def test_constrain_is_a_projection_on_support_and_positivity(measurement_factory):
    measurement = measurement_factory()
    once = measurement.constrain(torch.randn_like(measurement.data))
    torch.testing.assert_close(measurement.constrain(once), once)
    assert once.min() >= 0
    assert once[:, measurement.support == 0].abs().max() == 0


def test_unmeasured_fraction_is_that_of_the_missing_cone(measurement_factory):
    # A double cone with cos(angle) > 0.7 covers 30 % of the sphere.
    assert abs(measurement_factory(n=40).unmeasured_fraction - 0.3) < 0.04


def test_a_network_is_applied_inside_the_box_around_the_support(measurement_factory):
    measurement = measurement_factory(n=64)
    shapes = []

    def record(volumes):
        shapes.append(volumes.shape)
        return 2 * volumes

    small = torch.zeros(64, 64, 64)
    small[20:30, 25:30, 5:40] = 0.5
    prediction = replace(measurement, support=small).within_support(record, measurement.data)
    assert shapes == [(2, 10 + 32, 5 + 32, 5 + 35 + 16)]
    inside = small > 0
    torch.testing.assert_close(prediction[:, inside], 2 * measurement.data[:, inside])
    assert prediction[:, :4].abs().max() == 0
    replace(measurement, support=None).within_support(record, measurement.data)
    assert shapes[-1] == measurement.data.shape


def test_moving_a_measurement_changes_nothing(measurement_factory):
    measurement = measurement_factory()
    assert measurement.to("cpu").fingerprint == measurement.fingerprint


@given(st.floats(0, 1e4))
def test_the_weight_of_the_average_is_that_of_twice_the_signal_to_noise_ratio(ssnr):
    of_half = torch.tensor(ssnr / (1 + ssnr), dtype=torch.float64)
    assert abs(float(weight_of_average(of_half)) - 2 * ssnr / (1 + 2 * ssnr)) < 1e-9


def test_the_average_has_half_the_noise_variance_and_its_own_weights(measurement_factory):
    quiet, noisy = (measurement_factory(n=32, noise=noise) for noise in (0.0, 0.5))
    noisy = replace(noisy, fsc_weight_rfft=0.8 * noisy.fsc_weight_rfft)
    average = noisy.averaged()
    assert average.data.shape == (1, *noisy.shape)
    errors = [(data - quiet.data[0]).square().mean() for data in (*noisy.data, *average.data)]
    assert abs(float(errors[2] / (errors[0] + errors[1])) - 0.25) < 0.01
    measured = noisy.fsc_weight_rfft > 0
    torch.testing.assert_close(average.fsc_weight_rfft, measured * (1.6 / 1.8))
    assert average.view_weight_rfft is None
    assert average.unmeasured_fraction < noisy.unmeasured_fraction
    views = replace(noisy, view_weight_rfft=0.5 * noisy.fsc_weight_rfft).averaged().view_weight_rfft
    torch.testing.assert_close(views, measured * (0.8 / 1.4))
    assert (
        replace(average, data=noisy.data, fsc_weight_rfft=noisy.fsc_weight_rfft).fingerprint
        == noisy.fingerprint
    )
