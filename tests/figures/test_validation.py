"""Figures of held-out validation, of fractions by direction and of Q-scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spisonet.figures.directional_fraction import draw_directional_fraction
from spisonet.figures.held_out import draw_held_out
from spisonet.figures.model import draw_q_scores
from spisonet.fourier.grids import radius_rfft
from spisonet.validation.inferred import inferred_fraction

N = 24


@pytest.fixture(scope="module")
def fraction():
    """Fraction by direction of a map of which nothing was measured."""
    after = np.random.default_rng(0).normal(size=(N, N, N)).astype(np.float32)
    return inferred_fraction(after, after, np.zeros_like(radius_rfft((N, N, N))), 1.0, 2.5).by_direction


def test_a_fraction_is_drawn_by_resolution_and_in_three_bands(fraction):
    halved = replace(fraction, curves=0.5 * fraction.curves, mean=0.5 * fraction.mean)
    figure = draw_directional_fraction(halved, 24.0, "inferred fraction")
    curve, *globes, bar = figure.axes
    assert len(globes) == 3
    assert curve.get_ylabel() == bar.get_ylabel() == "inferred fraction"
    assert curve.lines[0].get_ydata() == pytest.approx(0.5)
    for panel in globes:
        image = np.asarray(panel.images[0].get_array())
        assert image[len(image) // 2, len(image) // 2] == pytest.approx(0.5, abs=1e-3)
        assert panel.images[0].get_clim() == (0, 1)
    assert globes[0].get_title().startswith(f"{24 / fraction.shells[0]:.1f} to ")
    assert globes[-1].get_title().endswith(f"{24 / fraction.shells[-1]:.1f} Å")


def test_few_shells_give_few_bands(fraction):
    two = replace(fraction, shells=fraction.shells[:2], curves=fraction.curves[:, :2], mean=fraction.mean[:2])
    assert len(draw_directional_fraction(two, 24.0, "fraction").axes) == 1 + 2 + 1


def test_held_out_curves_are_drawn_with_and_without_the_network():
    curves = {
        "resolution_angstrom": [20.0, 10.0, 8.0],
        "fsc": [0.9, 0.6, 0.3],
        "ceiling": [0.99, 0.9, 0.6],
        "recovery": [0.91, 0.67, 0.5],
        "recovery_without_network": [0.9, 0.5, 0.1],
    }
    left, right = draw_held_out(curves).axes
    drawn = {line.get_label(): list(line.get_ydata()) for panel in (left, right) for line in panel.lines}
    assert drawn["prediction and half map 2"] == curves["fsc"]
    assert drawn["ceiling set by the noise of half map 2"] == curves["ceiling"]
    assert drawn["with the network"] == curves["recovery"]
    assert drawn["without a network"] == curves["recovery_without_network"]
    assert left.lines[0].get_xdata() == pytest.approx([0.05, 0.1, 0.125])
    assert left.get_ylabel() == "FSC in the held-out cones"


def test_q_scores_after_are_drawn_against_those_before():
    before, after = np.array([0.1, 0.5]), np.array([0.3, 0.7])
    (axes,) = draw_q_scores(before, after).axes
    points = axes.lines[1]
    assert (points.get_xdata().tolist(), points.get_ydata().tolist()) == (before.tolist(), after.tolist())
    assert axes.lines[2].get_ydata() == pytest.approx(0.5)
    assert axes.get_xlabel() == "Q-score before"
