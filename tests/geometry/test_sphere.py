"""Grids of directions: their evenness, and interpolation on them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spisonet.geometry.sphere import AxisGrid, fibonacci_hemisphere, geodesic_sphere, spiral_sphere


def test_geodesic_sphere_is_closed_uniform_and_symmetric():
    sphere = geodesic_sphere(6)
    assert sphere.axes_zyx.shape == (181, 3)
    assert sphere.triangles.shape == (20 * 36, 3)
    np.testing.assert_allclose(np.linalg.norm(sphere.vertices_zyx, axis=1), 1)
    edges = np.sort(np.concatenate([sphere.triangles[:, pair] for pair in ([0, 1], [1, 2], [0, 2])]), axis=1)
    _, shared = np.unique(edges, axis=0, return_counts=True)
    assert set(shared) == {2}
    cosines = np.abs(sphere.axes_zyx @ sphere.axes_zyx.T) - 2 * np.eye(181)
    nearest = np.rad2deg(np.arccos(cosines.max(axis=1)))
    assert nearest.min() > 8
    assert nearest.max() < 13


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_axis_grid_interpolates_smooth_functions_of_the_axis(seed):
    grid = AxisGrid(41)
    vectors = np.random.default_rng(seed).normal(size=(50, 3))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def smooth(d):
        return d[..., 0] * d[..., 1] + 2 * d[..., 2] ** 2 - d[..., 1] * d[..., 2]

    for sign in (1, -1):
        indices, weights = grid.bilinear(sign * vectors)
        np.testing.assert_allclose(weights.sum(axis=0), 1)
        np.testing.assert_allclose(
            (smooth(grid.directions)[indices] * weights).sum(axis=0), smooth(unit), atol=3e-3
        )
        nearest = grid.directions[grid.nearest(sign * vectors)]
        assert np.abs(np.sum(nearest * unit, axis=1)).min() > np.cos(np.radians(2))


def test_axis_grid_is_continuous_across_faces():
    grid = AxisGrid(9)
    values = np.random.default_rng(0).normal(size=3 * 9**2)
    # Nodes on shared edges are one axis and must hold one value for the comparison.
    keys = np.round(grid.directions * np.sign(grid.directions @ [1, 0.1, 0.01])[:, None], 6)
    values = values[np.unique(keys, axis=0, return_inverse=True)[1].ravel()]
    edge = np.array([[1, 1, z] for z in np.linspace(-1, 1, 21)])
    step = 1e-7 * np.array([1, -1, 0])
    (i1, w1), (i2, w2) = grid.bilinear(edge + step), grid.bilinear(edge - step)
    np.testing.assert_allclose((values[i1] * w1).sum(axis=0), (values[i2] * w2).sum(axis=0), atol=1e-5)


def test_fibonacci_directions_are_unit_vectors_about_as_far_apart_as_their_number_allows():
    directions = fibonacci_hemisphere(200)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    assert (directions[:, 2] > 0).all()
    cosines = directions @ directions.T - 2 * np.eye(200)
    nearest = np.arccos(cosines.max(axis=1))
    even = np.sqrt(2 * np.pi / 200)  # side of a square of a direction's share of the hemisphere
    assert 0.7 * even < nearest.min()
    assert nearest.max() < 1.3 * even


@pytest.mark.parametrize("n", [8, 106])
def test_a_spiral_covers_the_sphere_evenly(n):
    directions = spiral_sphere(n)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    np.testing.assert_allclose(directions.mean(axis=0), 0, atol=0.1)
    cosines = directions @ directions.T - 2 * np.eye(n)
    nearest = np.degrees(np.arccos(np.clip(cosines.max(axis=1), -1, 1)))
    assert nearest.min() > 0.5 * np.degrees(np.sqrt(4 * np.pi / n))
