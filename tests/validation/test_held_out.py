"""Held-out cones: choice, masking, and recovery independent of the noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spisonet.anisotropy.preparation import build_measurement
from spisonet.fourier.grids import frequency_axes_rfft, radius_rfft, rfft3
from spisonet.validation.held_out import (
    Cone,
    MeasuredDirections,
    compare_in_region,
    default_half_angle_degrees,
    mask_out_cone,
    resolution_at,
)

N = 32


def white(seed: int, n: int = N) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, n, n)).astype(np.float32)


@given(st.integers(0, 10_000), st.floats(15, 60))
def test_a_cone_contains_the_fraction_of_directions_that_its_angle_gives(seed, angle):
    axis = np.random.default_rng(seed).normal(size=3)
    axis /= np.linalg.norm(axis)
    inside = Cone(tuple(axis), angle).inside_rfft(N)
    assert not inside[0, 0, 0]
    radius = radius_rfft((N, N, N))
    shell = (radius > 8) & (radius < 15)
    share = inside[shell].mean()
    assert share == pytest.approx(1 - np.cos(np.radians(angle)), abs=0.04)


def test_cones_are_chosen_in_measured_directions_and_apart():
    """Top views measure the directions normal to z."""
    kz, _, _ = frequency_axes_rfft((N, N, N))
    weight = (np.abs(kz) < 0.3 * radius_rfft((N, N, N))).astype(np.float32)
    directions = MeasuredDirections.of(weight, 14)
    cones = directions.cones(3, 25)
    axes = np.array([cone.axis_xyz for cone in cones])
    assert np.abs(axes[:, 2]).max() < 0.35
    between = np.degrees(np.arccos(np.abs(axes @ axes.T)[np.triu_indices(3, 1)].clip(0, 1)))
    assert between.min() > 45
    # Measured up to 17° from the plane; a direction is half measured at its border.
    assert directions.largest_gap_degrees == pytest.approx(73, abs=6)
    assert default_half_angle_degrees(directions) == 60


def test_fewer_cones_if_fewer_directions_were_measured():
    weight = Cone((0.0, 0.0, 1.0), 12).inside_rfft(N).astype(np.float32)
    assert len(MeasuredDirections.of(weight, 14).cones(4, 30)) == 1


def test_masked_coefficients_are_zero_in_data_and_weights():
    ones = np.ones((N, N, N // 2 + 1), np.float32)
    halves = [white(1), white(2)]
    measurement = build_measurement(halves, ones, ones, ones, None, torch.device("cpu"), False)
    inside = Cone((1.0, 0.0, 0.0), 30).inside_rfft(N)
    inside[..., N // 2] = False  # the Nyquist plane stands for two directions
    hidden = mask_out_cone(measurement, inside)
    for data, half in zip(hidden.data.numpy(), halves, strict=True):
        spectrum, original = rfft3(data), rfft3(half)
        deep = inside & np.isin(np.arange(N // 2 + 1), np.arange(1, N // 2))
        assert np.abs(spectrum[deep]).max() < 1e-4 * np.abs(original).max()
        assert np.allclose(spectrum[~inside], original[~inside], atol=2e-3)
    assert hidden.fsc_weight_rfft.numpy()[inside].max() == 0
    assert hidden.view_weight_rfft.numpy()[inside].max() == 0


@pytest.mark.parametrize("noise", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("quality", [0.0, 0.5, 0.9])
def test_the_recovery_is_the_correlation_with_the_signal_at_any_noise(noise, quality):
    n = 48
    signal, other = white(3, n), white(4, n)
    predicted = quality * signal + np.sqrt(1 - quality**2) * other
    half1, half2 = signal + noise * white(5, n), signal + noise * white(6, n)
    everywhere = np.ones((n, n, n // 2 + 1), bool)
    found = compare_in_region(*(rfft3(v) for v in (predicted, half1, half2)), everywhere, 4)
    assert found.recovery == pytest.approx(quality, abs=0.04)
    assert found.power_ratio == pytest.approx(1, abs=0.03)
    true_error = np.abs(rfft3(predicted) - rfft3(signal))[radius_rfft((n, n, n)) < n // 2]
    mean_error = found.squared_error.sum() / found.counts.sum()
    assert mean_error == pytest.approx((true_error**2).mean(), rel=0.05)


def test_sums_of_two_regions_are_those_of_both():
    spectra = [rfft3(white(seed)) for seed in (7, 8, 9)]
    region = Cone((0.0, 1.0, 0.0), 40).inside_rfft(N)
    whole = compare_in_region(*spectra, np.ones_like(region), 3)
    parts = compare_in_region(*spectra, region, 3) + compare_in_region(*spectra, ~region, 3)
    for name, values in vars(whole).items():
        np.testing.assert_allclose(vars(parts)[name], values, rtol=1e-5)


def test_the_resolution_ends_at_the_first_shell_below_the_threshold():
    curve = np.array([np.nan, np.nan, 0.9, 0.8, 0.6, 0.4, 0.7])
    assert resolution_at(curve, 100.0) == pytest.approx(25.0)
    assert resolution_at(curve[:5], 100.0) == pytest.approx(25.0)
    assert resolution_at(np.array([np.nan, 0.1]), 100.0) is None
