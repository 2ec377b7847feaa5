"""Measured against inferred, and the pictures of both."""

from __future__ import annotations

import numpy as np
import pytest

from spisonet.analysis.directional_power import shares_by_direction
from spisonet.figures.directional_fraction import draw_directional_fraction
from spisonet.figures.surfaces import shaded_surface
from spisonet.fourier.grids import irfft3, rfft3
from spisonet.validation.heldout import Cone
from spisonet.validation.inferred import inferred_fraction
from spisonet.validation.uncertainty import (
    EnsembleVariance,
    PredictionEnsemble,
    calibration,
    joined_variance,
    relative_uncertainty_rfft,
)

N = 32


def white(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(N, N, N)).astype(np.float32)


def test_what_was_put_into_a_cone_is_told_from_what_was_kept():
    """A cone of 40° about z is filled with as much power as there is elsewhere."""
    inside = Cone((0.0, 0.0, 1.0), 40).inside_rfft(N)
    kept = 1 - inside.astype(np.float32)
    before = irfft3((rfft3(white(1)) * kept).astype(np.complex64), (N, N, N))
    after = before + irfft3((rfft3(white(2)) * inside).astype(np.complex64), (N, N, N))
    found = inferred_fraction(before, after, kept, 1.0, 2.5)
    assert found.whole == pytest.approx(1 - np.cos(np.radians(40)), abs=0.03)
    shares = found.by_direction
    along, across = np.abs(shares.axes[:, 2]) > 0.95, np.abs(shares.axes[:, 2]) < 0.2
    assert shares.curves[along][:, 1:].min() > 0.99
    assert shares.curves[across][:, 1:].max() < 0.01
    assert found.local.mean() == pytest.approx(found.whole, abs=0.05)


def test_a_map_that_was_not_changed_is_measured_everywhere():
    kept = np.ones((N, N, N // 2 + 1), np.float32)
    found = inferred_fraction(white(3), white(3) + 7.0, kept, 1.0, 2.5)
    assert found.whole < 1e-6
    assert found.local.max() < 1e-3


def test_shares_are_drawn_without_a_word_of_warning():
    power = np.abs(rfft3(white(4))) ** 2
    shares = shares_by_direction(power, power, 12)
    assert np.allclose(shares.curves, 0.5)
    assert len(draw_directional_fraction(shares, 100.0, "share").axes) == 5


@pytest.mark.parametrize(("axis", "bright"), [(0, "z"), (1, "y"), (2, "x")])
def test_a_surface_is_seen_from_the_end_of_its_axis(axis, bright):
    """Of two balls in a line of sight the nearer hides the farther; beside them there is nothing."""
    grid = np.indices((N, N, N)) - N // 2
    centre = np.zeros(3)
    centre[axis] = 8
    near = np.sum((grid - centre[:, None, None, None]) ** 2, axis=0)
    far = np.sum((grid + centre[:, None, None, None]) ** 2, axis=0)
    picture = shaded_surface(np.exp(-np.minimum(near / 9, far / 36)).astype(np.float32), 0.5, axis)
    middle = len(picture) // 2
    assert picture[0, 0] == 1
    assert picture[middle, middle] > 0.5
    ring = picture[middle, middle + round(4 * len(picture) / N)]  # of the larger ball, farther away
    assert ring < picture[middle, middle]


def test_the_spread_adds_what_differs_within_and_between_networks():
    rng = np.random.default_rng(0)
    truth = white(5)
    networks = []
    for _ in range(40):
        bias = rng.normal(scale=0.3)
        maps = [truth + np.float32(bias) + 0.2 * white(int(rng.integers(1e9))) for _ in range(4)]
        networks.append(PredictionEnsemble.of(maps))
    spread = EnsembleVariance.of(networks)
    assert spread.every.mean() == pytest.approx(0.3**2 + 0.2**2 * (1 + 1 / 4), rel=0.25)
    assert spread.own.mean() == pytest.approx(0.2**2, rel=0.1)
    assert spread.own_rfft.mean() == pytest.approx(0.2**2 * N**3, rel=0.1)
    assert PredictionEnsemble.of([truth]) is None
    alone = EnsembleVariance.of(networks[:1])
    np.testing.assert_array_equal(alone.every_rfft, alone.own_rfft)


def test_the_calibration_makes_the_spread_the_error():
    """Errors twice as large as the answers' spread are found to be so."""
    assert calibration([4.0, 8.0], [1.0, 2.0]) == pytest.approx(2)
    assert calibration([-1.0], [1.0]) is None
    assert calibration([1.0], [0.0]) is None
    networks = [PredictionEnsemble.of([white(10 * i + j) for j in range(5)]) for i in range(3)]
    relative = relative_uncertainty_rfft(EnsembleVariance.of(networks), 2.0, 10 * rfft3(white(99)))
    assert relative.max() <= 1
    assert np.median(relative) == pytest.approx(0.2, rel=0.2)


def test_variances_are_joined_where_both_say_that_a_network_is_uncertain():
    own, every = np.array([1.0, 1.0, 4.0]), np.array([9.0, 1.0, 9.0])
    joined = joined_variance(own, every)
    assert joined.mean() == pytest.approx(own.mean())
    assert joined / joined[1] == pytest.approx([3, 1, 6])
    assert (joined_variance(np.zeros(3), every) == 0).all()
