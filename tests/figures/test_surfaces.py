"""Shaded isosurfaces."""

from __future__ import annotations

import numpy as np
import pytest

from spisonet.figures.surfaces import draw_surfaces, enclosing_level, shaded_surface

N = 32


def ball(radius: float, shift=(0, 0, 0)) -> np.ndarray:
    grid = np.indices((N, N, N)) - N // 2
    distance2 = np.sum((grid - np.reshape(shift, (3, 1, 1, 1))) ** 2, axis=0)
    return np.exp(-distance2 / radius**2).astype(np.float32)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_surface_is_seen_from_the_end_of_its_axis(axis):
    """Of two balls on a line of sight the nearer hides the farther; beside them the picture is white."""
    centre = np.zeros(3)
    centre[axis] = 8
    picture = shaded_surface(np.maximum(ball(3, centre), ball(6, -centre)), 0.5, axis)
    middle = len(picture) // 2
    assert picture[0, 0] == 1
    assert picture[middle, middle] > 0.5
    ring = picture[middle, middle + round(4 * len(picture) / N)]  # of the larger ball, farther away
    assert ring < picture[middle, middle]


def test_the_level_encloses_a_fraction_of_the_mask():
    volume = np.random.default_rng(0).normal(size=(N, N, N)).astype(np.float32)
    mask = np.zeros_like(volume)
    mask[8:24, 8:24, 8:24] = 1
    level = enclosing_level(volume, mask)
    assert (volume[mask > 0.5] > level).mean() == pytest.approx(0.35, abs=1e-3)
    assert (volume > enclosing_level(volume, None)).mean() == pytest.approx(0.1 * np.pi / 6, abs=1e-3)


def test_both_maps_are_drawn_along_three_axes_with_a_scale_bar():
    figure = draw_surfaces(ball(8), ball(4), None, 2.0, 6.0)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [f"{when}, along {axis}" for when in ("before", "after") for axis in "zyx"]
    bars = [axes.texts[0].get_text() for axes in figure.axes if axes.texts]
    assert bars == ["20 Å", "20 Å"]
    line = figure.axes[0].lines[0].get_xdata()
    assert line[1] - line[0] == pytest.approx(20)
