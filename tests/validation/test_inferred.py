"""The inferred fraction of a corrected map."""

from __future__ import annotations

import numpy as np
import pytest

from spisonet.fourier.grids import irfft3, rfft3
from spisonet.validation.held_out import Cone
from spisonet.validation.inferred import inferred_fraction

N = 32


def white(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(N, N, N)).astype(np.float32)


def test_the_fraction_is_one_in_a_cone_that_was_filled_and_zero_elsewhere():
    """A cone of 40° about z is filled with as much power as there is elsewhere."""
    inside = Cone((0.0, 0.0, 1.0), 40).inside_rfft(N)
    data_weight = 1 - inside.astype(np.float32)
    before = irfft3((rfft3(white(1)) * data_weight).astype(np.complex64), (N, N, N))
    after = before + irfft3((rfft3(white(2)) * inside).astype(np.complex64), (N, N, N))
    found = inferred_fraction(before, after, data_weight, 1.0, 2.5)
    assert found.whole == pytest.approx(1 - np.cos(np.radians(40)), abs=0.03)
    fractions = found.by_direction
    along, across = np.abs(fractions.axes[:, 2]) > 0.95, np.abs(fractions.axes[:, 2]) < 0.2
    assert fractions.curves[along][:, 1:].min() > 0.99
    assert fractions.curves[across][:, 1:].max() < 0.01
    assert found.local.mean() == pytest.approx(found.whole, abs=0.05)


def test_nothing_is_inferred_in_a_map_that_was_not_changed():
    data_weight = np.ones((N, N, N // 2 + 1), np.float32)
    found = inferred_fraction(white(3), white(3) + 7.0, data_weight, 1.0, 2.5)
    assert found.whole < 1e-6
    assert found.local.max() < 1e-3
