"""The prior from other structures: its inputs, its grid, and the way back to the map."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from spisonet.learning.memory import Memory
from spisonet.learning.spectra import apply_filter, fourier_crop, fourier_interpolate
from spisonet.learning.structural_prior import (
    StructuralPrior,
    network_grid,
    prior_inputs,
)
from spisonet.learning.unet import PriorUNet


@pytest.fixture
def measurement(measurement_factory):
    measurement = measurement_factory(n=40)
    return replace(measurement, view_weight_rfft=measurement.fsc_weight_rfft)


def test_an_untrained_network_returns_the_map_completed_by_constraints(measurement):
    prior = StructuralPrior(PriorUNet(4), Memory(torch.device("cpu")))
    completed = measurement.complete_by_constraints()
    expected = apply_filter(completed, measurement.band_rfft)
    inside = measurement.support > 0.5
    predicted = prior.predict(measurement, completed)
    error = (predicted - expected)[:, inside].square().mean().sqrt()
    assert error < 0.02 * expected[:, inside].square().mean().sqrt()


def test_inputs_do_not_depend_on_the_scale_or_the_power_spectrum(measurement):
    completed = measurement.complete_by_constraints()
    plain = prior_inputs(measurement, completed)
    n = measurement.shape[0]
    frequency = torch.fft.fftfreq(n)[:, None, None] ** 2 + torch.fft.fftfreq(n)[:, None] ** 2
    decay = 3 * torch.exp(-4 * (frequency + torch.fft.rfftfreq(n) ** 2))
    faded = replace(measurement, data=apply_filter(measurement.data, decay))
    of_faded = prior_inputs(faded, apply_filter(completed, decay))
    difference = (of_faded.volumes - plain.volumes).square().mean().sqrt()
    assert difference < 0.1 * plain.volumes.square().mean().sqrt()


@pytest.mark.parametrize("band_fraction", [0.35, 0.9])
def test_the_grid_of_the_network_is_coarse_where_the_band_is_narrow(measurement, band_fraction):
    grid = network_grid(replace(measurement, band_fraction=band_fraction))
    assert grid == ((20,) * 3 if band_fraction == 0.35 else measurement.shape)


@pytest.mark.parametrize(("n", "coarse"), [(24, 16), (25, 18), (24, 24)])
def test_cropping_in_fourier_space_keeps_a_band_limited_volume(n, coarse):
    small = torch.randn(coarse, coarse, coarse, generator=torch.Generator().manual_seed(0))
    spectrum = torch.fft.rfftn(small)
    for axis, edge in enumerate((coarse, coarse, coarse // 2 + 1)):
        spectrum.narrow(axis, coarse // 2 if axis < 2 else edge - 1, 1).zero_()
    small = torch.fft.irfftn(spectrum, s=small.shape)
    fine = fourier_interpolate(small, (n, n, n))
    torch.testing.assert_close(fourier_crop(fine, small.shape), small, atol=1e-5, rtol=1e-5)
