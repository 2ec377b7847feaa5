"""Band and views with which a drift of the poses is measured."""

from __future__ import annotations

import numpy as np
import pytest

from spisonet.geometry.symmetry import symmetry_rotations
from spisonet.misalignment.drift_measurement import band_end_angstrom, unsampled_fraction


def rotations(views: np.ndarray) -> np.ndarray:
    """Poses with these views and any in-plane angle."""
    other = np.cross(views, np.roll(views, 1, axis=1))
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    return np.stack([other, np.cross(views, other), views], axis=1)


def drawn(share: float, n: int = 1000) -> np.ndarray:
    """Views within 12 degrees of z, and a share of even ones."""
    rng = np.random.default_rng(3)
    views = np.array([0, 0, 1]) + np.tan(np.radians(12)) * rng.normal(size=(n, 3))
    n_even = int(share * n)
    views[:n_even] = rng.normal(size=(n_even, 3))
    return views / np.linalg.norm(views, axis=1, keepdims=True)


def test_a_few_other_views_sample_all_directions():
    c1, c3 = symmetry_rotations("C1"), symmetry_rotations("C3")
    assert 0.25 < unsampled_fraction(rotations(drawn(0.0)), c1) < 0.4
    assert 0.25 < unsampled_fraction(rotations(drawn(0.0)), c3) < 0.4
    assert unsampled_fraction(rotations(drawn(0.1)), c1) < 0.01
    assert unsampled_fraction(rotations(np.roll(drawn(0.0), 1, axis=1)), symmetry_rotations("O")) < 0.1


@pytest.mark.parametrize(
    ("given", "box", "end"),
    [(25.0, 400.0, 25.0), (25.0, 104.0, 13.0), (20.0, 104.0, 13.0), (30.0, 104.0, 30.0)],
)
def test_the_band_has_eight_shells_if_the_half_maps_reach_them(given, box, end):
    assert band_end_angstrom(given, box) == end
