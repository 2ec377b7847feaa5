"""The Fourier sampling density of views, and the sampling compensation factor."""

import time

import numpy as np
import pytest

from spisonet.analysis.fourier_sampling import (
    SamplingBand,
    relative_to_best_direction,
    sampling_compensation,
    sampling_volume,
)
from tests.anisotropy.simulation import even_views


def cone_angles(n):
    """Radius and angle to z in degrees of every voxel of a centred cube."""
    axis = np.arange(n) - n // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    return radius, np.degrees(np.arccos(np.abs(z) / np.maximum(radius, 1e-9)))


def test_a_coarse_grid_is_interpolated_about_dc():
    # With views along z the density depends on |kz| alone, in units of the coarse grid's voxels.
    for box in (96, 97):
        volume = sampling_volume(np.array([[0, 0, 1.0]]), box, grid_size=48)
        scale = 48 / box
        kz = np.arange(box) - box // 2
        column = volume[:, box // 2, box // 2 + 40]
        flat = column / (2 * scale * np.hypot(kz, 40))
        np.testing.assert_allclose(flat, np.clip(1 - scale * np.abs(kz), 0, None), atol=0.03)


def test_even_views_are_one_everywhere():
    rng = np.random.default_rng(0)
    views = rng.normal(size=(20_000, 3))
    views /= np.linalg.norm(views, axis=1, keepdims=True)
    density = sampling_volume(views, 40, grid_size=32)
    radius, _ = cone_angles(40)
    assert density[radius <= 20].mean() == pytest.approx(1, abs=0.01)
    assert density[radius <= 20].std() < 0.08


def test_shells_are_scaled_to_their_best_direction():
    density = np.random.default_rng(0).uniform(0.1, 3, (17, 17, 17)).astype(np.float32)
    weight = relative_to_best_direction(density, SamplingBand(2, 8))
    radius, _ = cone_angles(17)
    for shell in range(3, 8):
        inside = np.rint(radius) == shell
        np.testing.assert_allclose(weight[inside].max(), 1)
        expected = np.minimum(1.1 * density[inside] / density[inside].max(), 1)
        np.testing.assert_allclose(weight[inside], expected, rtol=1e-6)


def test_ten_thousand_icosahedral_particles_take_seconds():
    rng = np.random.default_rng(0)
    views = rng.normal(size=(600_000, 3))
    views /= np.linalg.norm(views, axis=1, keepdims=True)
    start = time.perf_counter()
    sampling_volume(views, 48)
    assert time.perf_counter() - start < 60


def test_scf_of_even_and_of_side_views():
    rng = np.random.default_rng(0)
    assert sampling_compensation(even_views(10_000)) > 0.97
    turn = rng.uniform(0, 2 * np.pi, 20_000)
    side = np.stack([np.cos(turn), np.sin(turn), np.zeros_like(turn)], axis=1)
    assert sampling_compensation(side) == pytest.approx(8 / np.pi**2, abs=0.03)


def test_scf_star_counts_what_no_view_passes_through():
    """One view of a kind fills a slab; the formula, written out."""
    views = np.tile([[0.0, 0.0, 1.0]], (400, 1))
    # Radius 10 with 400 views: a share 1/20 of directions gets all, the others none.
    mean, filled = 400 / 20, 1 / 20
    scf = 1 / (1 / 400 * mean)
    expected = scf / (1 + (1 - filled) / filled * mean * scf / 2)
    assert sampling_compensation(views) == pytest.approx(expected, rel=0.15)
