"""Directions of projection of tilt series."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from spisonet.geometry.tilts import projection_directions, tilt_series_directions


@pytest.mark.parametrize(("y", "x"), [(0, 0), (35, 0), (-60, 12), (20, -7)])
def test_directions_are_the_third_row_of_the_rotation(y, x):
    turn = Rotation.from_euler("z", 84, degrees=True) * Rotation.from_euler("y", y, degrees=True)
    matrix = (turn * Rotation.from_euler("x", x, degrees=True)).as_matrix()
    np.testing.assert_allclose(projection_directions(y, x), matrix[2], atol=1e-12)


def test_a_series_holds_both_ends():
    directions = tilt_series_directions(-60, 60, 3)
    assert directions.shape == (41, 3)
    np.testing.assert_allclose(directions[[0, 20, 40]], projection_directions([-60, 0, 60]), atol=1e-12)
