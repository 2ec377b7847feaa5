"""Fourier weights: estimated ones against those of a simulation, given ones, and the shells they allow."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from spisonet.analysis.half_maps import HalfMaps
from spisonet.anisotropy.fourier_weights import (
    FourierWeights,
    estimate_fourier_weights,
    fourier_weights_from_file,
    reference_weight,
)
from spisonet.anisotropy.preparation import correction_band
from spisonet.anisotropy.reconstruct import fourier_weights_of
from spisonet.anisotropy.run_inputs import RunInputs
from spisonet.errors import SpisonetError
from spisonet.fourier.grids import frequency_axes_rfft, radius_rfft
from spisonet.fourier.windows import soft_lowpass_weights
from spisonet.geometry.view_sampling import sampling_density
from spisonet.io.mrc import Volume
from tests.anisotropy.simulation import (
    BOX,
    LIMIT_SHELL,
    VOXEL_SIZE,
    even_views,
    particle,
    simulate_half_maps,
    views_about_z,
)

N, PEAK = 32, 300.0


def true_weight(views: np.ndarray) -> np.ndarray:
    """``SSNR / (1 + SSNR)`` of the half maps of `simulate_half_maps`."""
    radius = radius_rfft((BOX, BOX, BOX))
    kz, ky, kx = (np.broadcast_to(k, radius.shape) for k in frequency_axes_rfft((BOX, BOX, BOX)))
    density = sampling_density(views, np.stack([kx, ky, kz], -1).reshape(-1, 3)).reshape(radius.shape)
    ssnr = PEAK ** (1 - (radius / LIMIT_SHELL) ** 2) * density
    return ssnr / (1 + ssnr)


@cache
def half_maps(top_views: bool = True) -> HalfMaps:
    truth, mask, _ = particle()
    views = views_about_z(10) if top_views else even_views()
    halves = simulate_half_maps(truth, views, LIMIT_SHELL, PEAK)
    return HalfMaps(*(Volume(v.astype(np.float32), VOXEL_SIZE) for v in (*halves, mask)))


@cache
def estimated(top_views: bool = True) -> FourierWeights:
    return estimate_fourier_weights(half_maps(top_views), None, None, 1)


def test_the_view_weight_of_top_views_is_the_true_one_where_the_3d_fsc_overestimates():
    weights, true = estimated(), true_weight(views_about_z(10))
    radius = radius_rfft((BOX, BOX, BOX))
    band = (radius >= 4) & (radius <= LIMIT_SHELL - 2)
    empty = band & (true < 0.1)
    assert np.abs(weights.view_weight_rfft - true)[band].mean() < 0.06
    assert np.corrcoef(weights.view_weight_rfft[band], true[band])[0, 1] > 0.97
    assert weights.view_weight_rfft[empty].mean() < 0.05
    assert weights.fsc_weight_rfft[empty].mean() > 0.4
    assert weights.view_weight_rfft[band & (true > 0.9)].mean() > 0.93


def test_the_view_weight_of_even_views_is_the_same_in_all_directions():
    weights, true = estimated(top_views=False), true_weight(even_views())
    radius = radius_rfft((BOX, BOX, BOX))
    band = (radius >= 4) & (radius <= LIMIT_SHELL - 2)
    assert np.abs(weights.view_weight_rfft - true)[band].mean() < 0.05


def test_the_noise_fraction_is_the_power_of_the_mask():
    mask = half_maps().mask.data
    assert estimated().noise_fraction_in_mask == pytest.approx((mask**2).mean(), rel=0.15)


def test_the_limit_is_where_the_half_maps_end_to_correlate():
    limit_shell = BOX * VOXEL_SIZE / estimated(top_views=False).limit_resolution_angstrom
    assert LIMIT_SHELL <= limit_shell < LIMIT_SHELL + 5  # an FSC of 0.143 is an SSNR of 0.17
    assert estimate_fourier_weights(half_maps(), None, 12.0, 1).limit_resolution_angstrom == 12.0


def test_shells_of_a_reference_are_known():
    weights = estimate_fourier_weights(half_maps(), None, 9.0, 1, reference_shell=4.0)
    low = radius_rfft((BOX, BOX, BOX)) <= 4
    assert weights.fsc_weight_rfft[low].min() == 1
    assert weights.view_weight_rfft[low].min() == 1


def test_half_maps_of_noise_need_a_limit():
    rng = np.random.default_rng(0)
    maps = HalfMaps(*(Volume(rng.normal(size=(N, N, N)).astype(np.float32), 2.0) for _ in range(2)))
    with pytest.raises(SpisonetError, match="do not correlate") as raised:
        estimate_fourier_weights(maps, None, None, 1)
    assert raised.value.code == "no_correlation"


def test_with_a_given_weight_independent_halves_are_not_compared():
    given = soft_lowpass_weights(BOX, 12.0, 0)
    inputs = RunInputs(half_maps(), given)
    assert fourier_weights_of(inputs, independent=True, threads=1).view_weight_rfft is None
    both = fourier_weights_of(inputs, independent=False, threads=1)
    assert both.view_weight_rfft is not None
    np.testing.assert_array_equal(both.fsc_weight_rfft, given)


def test_the_limit_of_a_given_weight_is_where_it_ends():
    weight = soft_lowpass_weights(N, 8.0, 0)
    found = fourier_weights_from_file(weight, 2.0, None)
    assert found.limit_resolution_angstrom == pytest.approx(N * 2.0 / 8)
    assert fourier_weights_from_file(weight, 2.0, 9.0).limit_resolution_angstrom == 9.0


def test_a_reference_has_weight_up_to_its_shell():
    weight, radius = reference_weight(N, 6.0), radius_rfft((N, N, N))
    assert weight[radius <= 6].min() == 1
    assert weight[radius >= 9].max() == 0
    assert reference_weight(N, 0.0).max() == 0


def test_shells_that_do_not_correlate_are_not_corrected():
    signal = np.concatenate([np.ones(6), np.full(5, 0.1), np.zeros(N // 2 - 10)])
    weights = FourierWeights(np.ones((N, N, N // 2 + 1), np.float32), None, signal, 2.0)
    assert weights.learnable[:5].tolist() == [1.0] * 5
    assert 0.4 < weights.learnable[8] < 0.6
    assert weights.learnable[13:].max() == 0
    radius = radius_rfft((N, N, N))
    band = correction_band(weights, N / 2)
    assert band[radius >= 13].max() == 0
    assert band[(radius <= 4)].min() == 1
