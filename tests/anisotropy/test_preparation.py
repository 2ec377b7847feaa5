"""From maps to a measurement."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spisonet.anisotropy.fourier_weights import FourierWeights, fourier_weights_from_file, reference_weight
from spisonet.anisotropy.preparation import build_measurement, correction_band, include_reference
from spisonet.fourier.grids import radius_rfft, rfft3
from spisonet.fourier.windows import soft_lowpass_weights

N = 32


def test_reference_gives_the_low_resolutions_only():
    rng = np.random.default_rng(0)
    volume, reference = (rng.normal(size=(N, N, N)).astype(np.float32) for _ in range(2))
    combined = include_reference(volume, 3 * reference, reference_weight(N, 6.0))
    mixed, own, other = (rfft3(v) for v in (combined, volume, reference))
    radius = radius_rfft((N, N, N))
    low, high = (radius <= 6) & (radius > 0), radius > 10
    ratio = np.abs(mixed[low]) / np.abs(other[low])
    np.testing.assert_allclose(ratio, ratio.mean(), rtol=1e-3)
    assert ratio.mean() == pytest.approx(1.0, abs=0.1)
    np.testing.assert_allclose(mixed[high], own[high], atol=1e-2)
    assert mixed[0, 0, 0] == pytest.approx(own[0, 0, 0], rel=1e-4)


def test_measurement_is_limited_to_the_band():
    rng = np.random.default_rng(0)
    halves = [rng.normal(size=(N, N, N)).astype(np.float32) for _ in range(2)]
    weight = np.ones((N, N, N // 2 + 1), np.float32)
    known = FourierWeights(weight, None, np.ones(N // 2 + 1), 10.0)
    band = correction_band(known, 8.0)
    measurement = build_measurement(halves, weight, None, band, None, torch.device("cpu"), positivity=True)
    radius = radius_rfft((N, N, N))
    assert np.abs(rfft3(measurement.data[0].numpy()))[radius > 8].max() < 1e-2
    assert measurement.fsc_weight_rfft.numpy()[radius > 8].max() == 0
    assert measurement.support is None
    assert not measurement.positivity
    centres = measurement.subvolume_centres - N // 2
    assert (centres.square().sum(dim=1) <= (N / 2) ** 2).all()


def test_the_limit_of_a_given_weight_is_where_it_ends():
    weight = soft_lowpass_weights(N, 8.0, 0)
    assert fourier_weights_from_file(weight, 2.0, None).limit_resolution_angstrom == pytest.approx(
        N * 2.0 / 8
    )
    assert fourier_weights_from_file(weight, 2.0, 9.0).limit_resolution_angstrom == 9.0


def test_shells_that_do_not_correlate_are_not_corrected():
    signal = np.concatenate([np.ones(6), np.full(5, 0.1), np.zeros(N // 2 - 10)])
    known = FourierWeights(np.ones((N, N, N // 2 + 1), np.float32), None, signal, 2.0)
    assert known.learnable[:5].tolist() == [1.0] * 5
    assert 0.4 < known.learnable[8] < 0.6
    assert known.learnable[13:].max() == 0
    radius = radius_rfft((N, N, N))
    band = correction_band(known, N / 2)
    assert band[radius >= 13].max() == 0
    assert band[(radius <= 4)].min() == 1
