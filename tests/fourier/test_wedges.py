"""The missing wedge: its borders, its symmetry, and both array libraries."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spisonet.fourier.wedges import measured_by_tilts
from spisonet.geometry.tilts import projection_directions, slice_directions

tilts = st.floats(-89, 89)


@given(low=tilts, high=tilts, radius=st.floats(0.01, 0.5))
def test_first_and_last_tilt_are_measured_and_no_tilt_beyond(low, high, radius):
    low, high = sorted((low, high))
    for tilt, measured in ((low + 1e-6, True), (high - 1e-6, True), (low - 0.1, False), (high + 0.1, False)):
        if low <= tilt <= high or not measured:
            x, z = radius * slice_directions(tilt)
            # Beyond 90 degrees the measured range begins again from its other end.
            expected = low <= (tilt + 90) % 180 - 90 <= high
            assert measured_by_tilts(np.array(x), np.array(z), (low, high)) == expected


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_borders_at_45_degrees_and_the_tilt_axis_are_measured(library):
    x, z = np.array([1, 1, -1, 1, 0, 0]) / 8, np.array([1, -1, 1, 2, 1, 0]) / 8
    expected = [True, True, True, False, False, True]
    if library == "torch":
        found = measured_by_tilts(torch.from_numpy(x).float(), torch.from_numpy(z).float(), (-45, 45), torch)
    else:
        found = measured_by_tilts(x, z, (-45, 45))
    assert found.tolist() == expected


@given(st.integers(0, 1000), tilts, tilts)
def test_both_libraries_agree_and_friedel_mates_are_measured_together(seed, low, high):
    low, high = sorted((low, high))
    x, z = np.random.default_rng(seed).uniform(-0.5, 0.5, (2, 50))
    found = measured_by_tilts(x, z, (low, high))
    np.testing.assert_array_equal(measured_by_tilts(-x, -z, (low, high)), found)
    of_torch = measured_by_tilts(torch.from_numpy(x), torch.from_numpy(z), (low, high), torch)
    np.testing.assert_array_equal(of_torch.numpy(), found)


@pytest.mark.parametrize("tilt", [-50.0, 0.0, 35.0])
def test_a_projection_measures_the_plane_normal_to_its_direction(tilt):
    direction = projection_directions(tilt)
    x, z = slice_directions(tilt)
    assert abs(direction @ (x, 0, z)) < 1e-12
    assert measured_by_tilts(np.array(x), np.array(z), (tilt - 1, tilt + 1))
    assert not measured_by_tilts(np.array(direction[0]), np.array(direction[2]), (tilt - 1, tilt + 1))


def test_the_wedge_is_that_of_isonet2():
    """IsoNet2's mw3D: along x > 0, z > 0 up to the largest tilt, along x > 0, z < 0 down to the smallest."""
    for x, z, measured in ((1, 1.7, True), (1, 1.8, False), (1, -0.8, True), (1, -0.9, False)):
        for sign in (1, -1):
            assert measured_by_tilts(np.array(sign * x), np.array(sign * z), (-40, 60)) == measured
