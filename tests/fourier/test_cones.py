"""Sums over cones of directions against sums over every coefficient."""

import numpy as np
import pytest

from spisonet.fourier.cones import axis_sums, cone_weights, spectrum_slabs
from spisonet.fourier.grids import frequency_axes_rfft, hermitian_multiplicity, shell_index_rfft
from spisonet.fourier.shells import shell_sums
from spisonet.geometry.sphere import AxisGrid


@pytest.mark.parametrize("n", [16, 17])
@pytest.mark.parametrize("slab_voxels", [1 << 20, 100])
def test_slabs_hold_every_frequency_in_order(monkeypatch, n, slab_voxels):
    monkeypatch.setattr("spisonet.fourier.cones.SLAB_VOXELS", slab_voxels)
    found = np.concatenate([frequencies for _, frequencies in spectrum_slabs(n)])
    kz, ky, kx = np.broadcast_arrays(*frequency_axes_rfft((n, n, n)))
    np.testing.assert_array_equal(found, np.stack([kx, ky, kz], axis=-1).reshape(-1, 3))


@pytest.mark.parametrize("n", [16, 17])
def test_axis_sums_add_up_to_those_of_shells(n):
    values = np.random.default_rng(0).random((n, n, n // 2 + 1), dtype=np.float32)
    grid = AxisGrid(7)
    sums, twice = axis_sums((values, 2 * values), grid, 2, n // 2)
    assert sums.shape == (n // 2 - 1, len(grid.directions))
    np.testing.assert_allclose(sums.sum(axis=1), shell_sums(values, n)[2:], rtol=1e-6)
    np.testing.assert_allclose(twice, 2 * sums)
    (stored,) = axis_sums((values,), grid, 2, n // 2, count_friedel_mates=False)
    shell = shell_index_rfft((n, n, n))
    np.testing.assert_allclose(stored.sum(), values[(shell >= 2) & (shell <= n // 2)].sum(), rtol=1e-5)


def test_cones_hold_their_share_of_the_directions():
    n, half_angle = 48, 30.0
    grid = AxisGrid(25)
    (counts,) = axis_sums((np.ones((n, n, n // 2 + 1), np.float32),), grid, 15, 24)
    in_cones = counts.sum(axis=0) @ cone_weights(grid.directions, half_angle)
    kz, ky, kx = np.broadcast_arrays(*frequency_axes_rfft((n, n, n)))
    shell = shell_index_rfft((n, n, n))
    radius = np.maximum(np.sqrt(kx**2 + ky**2 + kz**2), 1)
    chosen = (shell >= 15) & (shell <= 24)
    for index in (0, 312, 1200):
        x, y, z = grid.directions[index]
        inside = np.abs(kx * x + ky * y + kz * z) >= np.cos(np.radians(half_angle)) * radius
        expected = (inside * chosen * hermitian_multiplicity(n)).sum()
        assert in_cones[index] == pytest.approx(expected, rel=0.08)


def test_soft_cones_fall_to_zero_at_their_edge():
    axes = np.array([[0, 0, 1.0], [0, np.sin(np.radians(10)), np.cos(np.radians(10))], [0, 1, 0], [0, 0, -1]])
    np.testing.assert_allclose(cone_weights(axes, 20, soft=True)[0], [1, 0.5, 0, 1], atol=1e-9)
    np.testing.assert_array_equal(cone_weights(axes, 20)[0], [1, 1, 0, 1])
