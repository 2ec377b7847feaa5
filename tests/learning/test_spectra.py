"""Fourier weights and oversampled volumes against exact evaluation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spisonet.fourier.grids import rfft3
from spisonet.geometry.rotations import cube_rotations
from spisonet.learning.rotational_averaging import rotate90
from spisonet.learning.spectra import (
    FourierWeight,
    OversampledVolumes,
    apply_filter,
    fourier_interpolate,
    frequency_points_rfft,
    useful_oversampling,
)

CPU = torch.device("cpu")


def band_limited(n: int, radius: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    axis = np.fft.fftfreq(n) * n
    k2 = axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2
    spectrum = np.fft.fftn(rng.normal(size=(n, n, n))) * (k2 <= radius**2)
    return np.real(np.fft.ifftn(spectrum)).astype(np.float32)


def exact_values(volume: np.ndarray, points_xyz: np.ndarray) -> np.ndarray:
    """Evaluate the trigonometric interpolation of a volume at points, term by term."""
    n = volume.shape[0]
    spectrum = np.fft.fftn(volume) / volume.size
    k = np.fft.fftfreq(n) * n
    x, y, z = (np.exp(2j * np.pi * np.outer(points_xyz[:, i], k) / n) for i in range(3))
    return np.real(np.einsum("zyx,pz,py,px->p", spectrum, z, y, x))


@pytest.mark.parametrize("n", [24, 25])
@pytest.mark.parametrize("fraction", [0.4, 0.8])
def test_oversampled_volumes_follow_the_trigonometric_interpolation(n, fraction):
    volume = band_limited(n, int(fraction * n / 2), seed=n)
    fine = OversampledVolumes(torch.from_numpy(volume)[None], fraction)
    points = np.random.default_rng(1).uniform(2, n - 3, size=(200, 3))
    sampled = fine.at(torch.from_numpy(points).float().reshape(1, 1, 1, 200, 3), np.array([0]))
    error = sampled.numpy().ravel() - exact_values(volume, points)
    assert np.sqrt(np.mean(error**2)) < 0.12 * volume.std()


edges = st.tuples(*[st.integers(3, 9)] * 3)


@given(shape=edges, factors=st.tuples(*[st.integers(1, 3)] * 3), seed=st.integers(0, 10))
@settings(max_examples=60, deadline=None)
def test_fourier_interpolation_keeps_the_values_at_the_original_grid_points(shape, factors, seed):
    """White noise has energy at Nyquist, which even edges have and odd ones do not."""
    volume = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    fine = fourier_interpolate(volume, tuple(f * n for f, n in zip(factors, shape, strict=True)))
    kept = fine[tuple(slice(None, None, factor) for factor in factors)]
    torch.testing.assert_close(kept, volume, rtol=1e-4, atol=1e-4)


@given(shape=edges, added=st.tuples(*[st.integers(0, 5)] * 3))
@settings(max_examples=60, deadline=None)
def test_fourier_interpolation_of_nyquist_waves_is_a_product_of_cosines(shape, added):
    """Along an even axis (-1)^i continues as cos(pi x); along an odd axis a constant stays one."""
    fine_shape = tuple(n + more for n, more in zip(shape, added, strict=True))
    coarse, fine = [], []
    for n, n_fine in zip(shape, fine_shape, strict=True):
        frequency = 0.5 if n % 2 == 0 else 0.0
        coarse.append(np.cos(2 * np.pi * frequency * np.arange(n)))
        fine.append(np.cos(2 * np.pi * frequency * np.arange(n_fine) * n / n_fine))
    volume, expected = (torch.from_numpy(np.einsum("i,j,k->ijk", *waves)).float() for waves in (coarse, fine))
    torch.testing.assert_close(fourier_interpolate(volume, fine_shape), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "axis"), [((8, 8, 8), 0), ((8, 8, 8), 1), ((8, 8, 8), 2), ((9, 8, 11), 1), ((8, 10, 12), 2)]
)
def test_a_nyquist_wave_is_sampled_with_the_gain_of_its_compensation(shape, axis):
    """At voxels, cos(pi x) is divided by sinc² of the fine grid; twice the Nyquist plane would double it."""
    n = shape[axis]
    wave = np.cos(np.pi * np.arange(n)).reshape([-1 if a == axis else 1 for a in range(3)])
    volume = torch.from_numpy(np.broadcast_to(wave, shape).copy()).float()
    fine = OversampledVolumes(volume[None], 1.0)
    points = torch.tensor([[[[[2.0, 2.0, 2.0]]]]])
    n_fine = 2 * n  # of all these edges the double is a fast length
    assert useful_oversampling(1.0) == 2
    gain = 1 / np.sinc(n / 2 / n_fine) ** 2
    assert fine.at(points, np.array([0])).item() == pytest.approx(gain, rel=1e-4)


def test_plain_trilinear_interpolation_is_worse_than_oversampling():
    volume = band_limited(24, 9, seed=5)
    points = np.random.default_rng(2).uniform(2, 20, size=(1, 1, 1, 300, 3))
    exact = exact_values(volume, points.reshape(-1, 3))
    grid = torch.from_numpy(2 * points / 23 - 1).float()
    plain = torch.nn.functional.grid_sample(torch.from_numpy(volume)[None, None], grid, align_corners=True)
    fine = OversampledVolumes(torch.from_numpy(volume)[None], 0.75).at(
        torch.from_numpy(points).float(), np.array([0])
    )
    errors = [np.std(values.numpy().ravel() - exact) for values in (plain, fine)]
    assert errors[1] < 0.3 * errors[0]


def test_oversampled_volumes_are_zero_outside_the_box():
    fine = OversampledVolumes(torch.ones(1, 8, 8, 8), 0.5)
    outside = torch.full((1, 1, 1, 1, 3), -3.0)
    assert fine.at(outside, np.array([0])).item() == 0


@pytest.mark.parametrize("n", [16, 17])
def test_weight_read_at_its_own_frequencies_is_itself(n):
    weight = np.abs(rfft3(band_limited(n, n // 2 - 1, seed=3))).astype(np.float32)
    points = frequency_points_rfft(n, CPU)
    read = FourierWeight(weight, n, CPU).at(points).numpy()
    axis = np.abs(np.fft.fftfreq(n) * n)
    inside = (axis[:, None, None] < n / 2) & (axis[None, :, None] < n / 2)
    inside = inside & (np.arange(n // 2 + 1) < n / 2)
    np.testing.assert_allclose(read[inside], weight[inside], rtol=1e-3, atol=1e-3 * weight.max())


@pytest.mark.parametrize(("n", "edge"), [(16, 8), (17, 8), (16, 24), (15, 16)])
def test_weight_keeps_dc_and_friedel_symmetry_when_resampled(n, edge):
    weight = np.abs(rfft3(band_limited(n, n // 2 - 1, seed=4))).astype(np.float32)
    weight[0, 0, 0] = 7.0
    field = FourierWeight(weight, n, CPU)
    points = frequency_points_rfft(edge, CPU)
    assert field.at(points)[0, 0, 0].item() == pytest.approx(7.0, rel=1e-4)
    torch.testing.assert_close(field.at(points), field.at(-points), rtol=1e-4, atol=1e-4)


def test_rotating_the_weight_rotates_the_filtered_map():
    """Filtering a rotated map by the rotated weight equals rotating the filtered map."""
    n = 16
    rng = np.random.default_rng(0)
    volume = torch.from_numpy(rng.normal(size=(n + 1,) * 3)).float()
    weight = np.abs(rfft3(rng.normal(size=(n + 1,) * 3).astype(np.float32))).astype(np.float32)
    field, points = FourierWeight(weight, n + 1, CPU), frequency_points_rfft(n + 1, CPU)
    for rotation in cube_rotations()[[1, 5, 13]]:
        rotated_weight = field.at(points @ torch.from_numpy(rotation).float())  # C(R^T k)
        first = apply_filter(rotate90(volume, rotation), rotated_weight)
        second = rotate90(apply_filter(volume, field.at(points)), rotation)
        torch.testing.assert_close(first, second, rtol=1e-3, atol=2e-2)
