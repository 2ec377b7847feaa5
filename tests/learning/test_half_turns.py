"""Half turns leave missing wedges in place, and averages over them do not depend on the orientation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spisonet.learning.half_turns import (
    ABOUT_Y,
    HALF_TURNS,
    average_over_half_turns,
    half_turns_of_wedge,
)
from spisonet.learning.rotational_averaging import rotate90
from spisonet.learning.spectra import WedgeWeight

ABOUT_X, _, ABOUT_Z = HALF_TURNS
SIGNS = {ABOUT_X: (1.0, -1.0, -1.0), ABOUT_Y: (-1.0, 1.0, -1.0), ABOUT_Z: (-1.0, -1.0, 1.0)}
SHAPE = (4, 6, 5)


@pytest.mark.parametrize("axes", HALF_TURNS)
def test_half_turns_are_rotations(axes: tuple[int, int]):
    volume = torch.rand(SHAPE)
    assert torch.equal(torch.flip(volume, axes), rotate90(volume, np.diag(SIGNS[axes])))


@given(lowest=st.floats(-80, -20), highest=st.floats(20, 80))
def test_half_turns_of_a_wedge_map_it_onto_itself(lowest: float, highest: float):
    tilt_range = (lowest, highest)
    points = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)) / 8
    weight = WedgeWeight(lowest, highest)
    changes = {axes: weight.at(points * torch.tensor(SIGNS[axes])) - weight.at(points) for axes in HALF_TURNS}
    assert changes[ABOUT_Y].abs().max() < 1e-4
    kept = half_turns_of_wedge(tilt_range)
    assert kept == (HALF_TURNS if abs(lowest + highest) <= 5 else (ABOUT_Y,))
    for axes in kept:  # up to 5 of 180 degrees at either side
        assert changes[axes].abs().mean() < 0.08


def test_excluded_half_turns_move_the_wedge():
    points = torch.randn(2000, 3, generator=torch.Generator().manual_seed(0)) / 8
    weight = WedgeWeight(-50.0, 66.0)
    assert half_turns_of_wedge((-50.0, 66.0)) == (ABOUT_Y,)
    for axes in (ABOUT_X, ABOUT_Z):
        assert (weight.at(points * torch.tensor(SIGNS[axes])) - weight.at(points)).abs().mean() > 0.12


@pytest.mark.parametrize("axes", HALF_TURNS)
def test_average_turns_with_the_volume(axes: tuple[int, int]):
    generator = torch.Generator().manual_seed(1)
    kernel = torch.rand((1, 1, 3, 3, 3), generator=generator)  # different in all orientations

    def predict(volume: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv3d(volume, kernel, padding=1).square()

    volume = torch.rand((1, 1, *SHAPE), generator=generator)
    turned = torch.flip(volume, axes)
    whole = average_over_half_turns(predict, volume, HALF_TURNS)
    assert not torch.allclose(predict(turned), torch.flip(predict(volume), axes), rtol=0.01)
    torch.testing.assert_close(average_over_half_turns(predict, turned, HALF_TURNS), torch.flip(whole, axes))
    torch.testing.assert_close(average_over_half_turns(predict, volume, ()), predict(volume))
