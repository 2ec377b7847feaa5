"""The projection of a hemisphere, and functions of direction on it."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from spisonet.figures.hemisphere import draw_hemisphere, interpolated, smoothed_density


def picture(values, norm=None, contours=()):
    """Draw a function of direction; return the panel, and a function that reads a colour value at x, y."""
    panel = Figure().subplots()
    drawn = draw_hemisphere(panel, values, norm or Normalize(0, 1), "viridis", contours)
    image = np.asarray(drawn.get_array())
    left, right, _, _ = drawn.get_extent()

    def at(x, y):
        row, column = (round((v - left) / (right - left) * (len(image) - 1)) for v in (y, x))
        return image[row, column]

    return panel, at


@pytest.mark.parametrize("polar_degrees", [10, 45, 80])
def test_directions_are_at_their_equal_area_radius_with_x_to_the_right_and_y_up(polar_degrees):
    radius = np.sqrt(2) * np.sin(np.radians(polar_degrees) / 2)
    for number, (x, y) in enumerate(((radius, 0), (0, radius))):
        _, at = picture(lambda axes, number=number: axes[:, number])
        assert at(x, y) == pytest.approx(np.sin(np.radians(polar_degrees)), abs=0.02)
    _, at = picture(lambda axes: axes[:, 2])
    assert at(radius, 0) == pytest.approx(np.cos(np.radians(polar_degrees)), abs=0.03)


def test_rings_mark_polar_angles_unless_there_are_contours():
    panel, _ = picture(lambda axes: axes[:, 2])
    assert [text.get_text() for text in panel.texts] == ["30°", "60°", "90°", "x", "y", "z"]
    assert panel.lines[0].get_xdata().max() == pytest.approx(np.sqrt(2) * np.sin(np.radians(15)))
    panel, _ = picture(lambda axes: axes[:, 2], contours=(0.25, 0.5))
    labels = {text.get_text() for text in panel.texts}
    assert {"0.25", "0.50"} <= labels
    assert "30°" not in labels


def test_values_below_a_logarithmic_scale_stay_positive():
    _, at = picture(lambda axes: np.zeros(len(axes)), LogNorm(0.03, 30))
    assert at(0, 0) > 0


def test_even_axes_have_a_density_of_one_and_a_single_axis_is_seen_from_both_ends():
    rng = np.random.default_rng(0)
    even = rng.normal(size=(20_000, 3))
    even /= np.linalg.norm(even, axis=1, keepdims=True)
    assert smoothed_density(even)(even[:50]).mean() == pytest.approx(1, abs=0.05)
    x, z = np.eye(3)[[0, 2]]
    density = smoothed_density(x[None])
    assert density(x[None])[0] == density(-x[None])[0]
    assert density(x[None])[0] > 100
    assert density(z[None])[0] < 1e-6


def test_interpolation_returns_constants_and_follows_slow_changes():
    rng = np.random.default_rng(1)
    axes = rng.normal(size=(2000, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    assert interpolated(axes, np.full(len(axes), 0.3))(axes[:20]) == pytest.approx(0.3, abs=1e-5)
    slow = axes[:, 2] ** 2
    assert interpolated(axes, slow)(axes[:200]) == pytest.approx(slow[:200], abs=0.06)
