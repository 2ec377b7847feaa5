"""Completing and constraining a measurement."""

from __future__ import annotations

from dataclasses import replace

import torch

from spisonet.learning.spectra import rfft3


def test_completion_keeps_the_data_and_takes_the_prediction_elsewhere(measurement_factory):
    measurement = measurement_factory()
    prediction = torch.randn_like(measurement.data)
    completed = rfft3(measurement.complete(prediction))
    measured = (measurement.fsc_weight_rfft == 1) & (measurement.band_rfft == 1)
    missing = (measurement.fsc_weight_rfft == 0) & (measurement.band_rfft == 1)
    data, constrained = rfft3(measurement.data), rfft3(measurement.constrain(prediction))
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
