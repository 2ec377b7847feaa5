"""Fourier sampling of view distributions, against the formula evaluated without shortcuts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spisonet.geometry.rotations import random_rotations, view_directions
from spisonet.geometry.sphere import fibonacci_hemisphere
from spisonet.geometry.symmetry import symmetry_rotations
from spisonet.geometry.view_sampling import MAX_EXACT_VIEWS, sampling_density, symmetric_directions


def tight_views(n, spread=0.2, seed=0):
    views = np.array([0, 0, 1.0]) + spread * np.random.default_rng(seed).normal(size=(n, 3))
    return views / np.linalg.norm(views, axis=1, keepdims=True)


def frequencies(n, radius, seed=1):
    vectors = np.random.default_rng(seed).normal(size=(n, 3))
    return radius * vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def brute_force(views, k):
    slab = np.clip(1 - np.abs(k @ views.T), 0, None).mean(axis=1)
    return slab * 2 * np.linalg.norm(k, axis=1)


@pytest.mark.parametrize("radius", [2.0, 10.0, 32.0])
def test_density_equals_the_formula(radius):
    views, k = tight_views(500), frequencies(300, radius)
    np.testing.assert_allclose(sampling_density(views, k), brute_force(views, k), rtol=1e-4, atol=1e-4)


def test_unsampled_cone_is_zero():
    density = sampling_density(
        np.array([[0, 0, 1.0]]), np.array([[0, 0, 5.0], [5, 0, 0], [3, 4, 0.5], [0, 0, 0]])
    )
    np.testing.assert_allclose(density, [0, 10, 5 * np.hypot(5, 0.5) / 5, 1], rtol=1e-5)


def test_binning_many_views_changes_little():
    views = tight_views(MAX_EXACT_VIEWS + 1)
    k = np.concatenate([frequencies(200, radius) for radius in (5.0, 32.0)])
    density = sampling_density(views, k)
    np.testing.assert_allclose(density, brute_force(views, k), atol=0.01 * density.max())


def test_even_views_sample_evenly():
    views = fibonacci_hemisphere(100_000)
    for radius in (1.5, 8.0, 32.0):
        np.testing.assert_allclose(sampling_density(views, frequencies(200, radius)), 1, atol=0.03)


@given(seed=st.integers(0, 2**32 - 1), name=st.sampled_from(["C3", "D2", "T", "O"]))
@settings(deadline=None)
def test_density_has_the_symmetry_and_is_centrosymmetric(seed, name):
    rng = np.random.default_rng(seed)
    group = symmetry_rotations(name)
    views = symmetric_directions(view_directions(random_rotations(20, rng)), group)
    k = 6 * view_directions(random_rotations(5, rng))
    density = sampling_density(views, k)
    np.testing.assert_allclose(sampling_density(views, -k), density, rtol=1e-3, atol=1e-4)
    for rotation in group:
        np.testing.assert_allclose(sampling_density(views, k @ rotation.T), density, rtol=1e-3, atol=1e-3)
