"""What a weight must not be fooled by."""

from __future__ import annotations

import numpy as np
import pytest

from spisonet.analysis.leakage import (
    estimate_noise_fraction_in_mask,
    leakage_weight,
    local_maximum,
    mask_leakage_weight,
)
from spisonet.fourier.grids import frequency_axes_rfft, irfft3, radius_rfft, rfft3

N = 32


def ball(n: int, radius: float) -> np.ndarray:
    axis = np.arange(n) - n // 2
    r2 = axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2
    return (r2 < radius**2).astype(np.float32)


def test_leakage_guard_finds_what_the_mask_put_into_an_empty_cone():
    rng = np.random.default_rng(0)
    mask = ball(N, 9)
    kz, _, _ = frequency_axes_rfft((N, N, N))
    radius = radius_rfft((N, N, N))
    cone = (np.abs(kz) > 0.8 * radius) & (radius > 5) & (radius < N / 2)
    spectrum = rfft3((rng.normal(size=(N, N, N)) * mask).astype(np.float32))
    empty_cone = irfft3(np.where(cone, 1e-4, 1).astype(np.float32) * spectrum, (N,) * 3)
    weight = mask_leakage_weight([empty_cone.astype(np.float32)], mask)
    inner_cone = (np.abs(kz) > 0.95 * radius) & (radius > 8) & (radius < 14)
    measured = (np.abs(kz) < 0.5 * radius) & (radius > 5) & (radius < 14)
    assert weight[inner_cone].mean() < 0.1
    assert weight[measured].mean() > 0.75


def test_leakage_guard_leaves_noisy_maps_alone():
    noise = np.random.default_rng(1).normal(size=(N, N, N)).astype(np.float32)
    assert mask_leakage_weight([noise], ball(N, 9)).mean() > 0.98


def test_leakage_weight_is_small_where_a_window_leaks_into_an_empty_cone():
    rng = np.random.default_rng(2)
    kz, _, _ = frequency_axes_rfft((N, N, N))
    radius = radius_rfft((N, N, N))
    cone = (np.abs(kz) > 0.7 * radius) & (radius > 3)
    signal = rfft3(rng.normal(size=(N, N, N)).astype(np.float32)) * ~cone
    noise = [rfft3(rng.normal(size=(N, N, N)).astype(np.float32)) * ~cone for _ in range(2)]
    # A window like RELION's on the corners of the box leaks the same signal into both halves.
    window = 0.5 + 0.5 * np.cos(np.pi * np.clip((_distance(N) - 12) / 4, 0, 1))
    spectra = [rfft3((irfft3(signal + 0.3 * n, (N,) * 3) * window).astype(np.float32)) for n in noise]
    inner = (np.abs(kz) > 0.9 * radius) & (radius > 8) & (radius < 14)
    measured = ~cone & (radius > 5) & (radius < 14)
    leaked = np.vdot(spectra[0][inner], spectra[1][inner]).real / np.sum(np.abs(spectra[0][inner]) ** 2)
    assert leaked > 0.8  # so the half maps agree where nothing was measured
    weight = leakage_weight(spectra, np.where(cone, 0, 10).astype(np.float32))
    assert weight[inner].mean() < 0.05
    assert weight[measured].mean() > 0.95


def test_leakage_weight_keeps_attenuated_directions():
    spectrum = rfft3(np.random.default_rng(3).normal(size=(N, N, N)).astype(np.float32))
    kz, _, _ = frequency_axes_rfft((N, N, N))
    weak = np.abs(kz) > 0.8 * radius_rfft((N, N, N))
    half = spectrum * np.where(weak, 0.6, 1).astype(np.float32)  # a third of the power
    weight = leakage_weight([half, half], np.where(weak, 0.2, 10).astype(np.float32))
    assert weight[weak].mean() > 0.95


def test_local_maximum_spreads_a_weight_by_one_coefficient_within_its_shells():
    weight = np.zeros((N, N, N // 2 + 1), dtype=np.float32)
    weight[5, 0, 0] = weight[-5, 0, 0] = weight[3, 0, 4] = 0.7  # all in shell 5
    found = local_maximum(weight)
    assert found[5, 0, 0] == found[5, 1, 0] == found[5, 0, 1] == found[5, -1, 1] == np.float32(0.7)
    assert found[3, 0, 4] == found[4, 0, 3] == np.float32(0.7)
    assert found[5, 2, 0] == 0
    assert found[6, 0, 0] == found[4, 0, 0] == 0  # shells that the weight does not cover stay empty


def test_noise_is_counted_inside_the_mask():
    rng = np.random.default_rng(4)
    mask = ball(N, 9)
    difference = rfft3(rng.normal(size=(N, N, N)).astype(np.float32))
    assert estimate_noise_fraction_in_mask(difference, mask, N // 2) == pytest.approx(mask.mean(), rel=0.1)
    inside = rfft3((rng.normal(size=(N, N, N)) * ball(N, 7)).astype(np.float32))
    assert estimate_noise_fraction_in_mask(inside, mask, N // 2) > 0.95


def test_without_noise_or_mask_all_of_it_is_inside():
    nothing = np.zeros((N, N, N // 2 + 1), dtype=np.complex64)
    assert estimate_noise_fraction_in_mask(nothing, ball(N, 9), 10) == 1.0
    assert estimate_noise_fraction_in_mask(nothing, None, 10) == 1.0


def _distance(n: int) -> np.ndarray:
    axis = np.arange(n) - n // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij", sparse=True)
    return np.sqrt(z**2 + y**2 + x**2)
