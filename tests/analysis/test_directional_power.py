"""Fractions of power by direction and resolution."""

import numpy as np
import pytest

from spisonet.analysis.directional_power import fractions_by_direction
from spisonet.fourier.grids import frequency_axes_rfft, radius_rfft, shell_index_rfft

N, LAST = 32, 14


@pytest.fixture(scope="module")
def polar():
    """Return where coefficients are within 25 degrees of z."""
    return np.abs(frequency_axes_rfft((N, N, N))[0]) > np.cos(np.radians(25)) * radius_rfft((N, N, N))


def test_a_part_along_z_is_found_along_z(polar):
    power = np.random.default_rng(0).random(polar.shape, dtype=np.float32)
    found = fractions_by_direction(power * polar, power * ~polar, LAST)
    assert found.shells[0] == 5
    assert found.shells[-1] == LAST
    along_z = np.abs(found.axes[:, 2])
    assert found.curves[along_z > 0.999].min() > 0.9
    assert found.curves[along_z < np.cos(np.radians(50))].max() == 0
    shell = shell_index_rfft((N, N, N))
    weight = np.where(np.arange(N // 2 + 1) % (N // 2), 2, 1)
    inside = shell == 10
    expected = (power * polar * weight)[inside].sum() / (power * weight)[inside].sum()
    assert found.mean[5] == pytest.approx(expected, rel=1e-5)


def test_fractions_are_clipped_and_empty_shells_are_zero(polar):
    power = np.ones(polar.shape, np.float32)
    power[shell_index_rfft((N, N, N)) == 7] = 0
    found = fractions_by_direction(2 * power, -power, LAST)
    assert found.mean[2] == found.curves[:, 2].max() == 0
    assert found.mean[0] == found.curves.max() == 1


def test_numbers_are_those_of_the_curves(polar):
    found = fractions_by_direction(polar.astype(np.float32), (~polar).astype(np.float32), LAST)
    numbers = found.numbers(64.0)
    assert numbers["resolution_angstrom"][0] == pytest.approx(64 / 5)
    np.testing.assert_allclose(numbers["by_direction"], found.curves, atol=1e-4)
    np.testing.assert_allclose(numbers["highest_direction"], found.curves.max(axis=0), atol=1e-4)
