"""Q-scores."""

from __future__ import annotations

import numpy as np
import pytest

from spisonet.io.mrc import Volume
from spisonet.validation.q_score import q_scores


def test_q_score_of_an_atom_in_its_reference_is_one():
    """A lone Gaussian of 0.6 Å is what the score compares with; a wider one is less like an atom."""
    voxel_size, centre = 0.25, 20
    distance2 = sum((axis - centre) ** 2 for axis in np.indices((41,) * 3)) * voxel_size**2
    position = np.full((1, 3), float(centre))

    def score(sigma):
        density = (5 * np.exp(-distance2 / (2 * sigma**2)) + 3).astype(np.float32)
        return float(q_scores(Volume(density, voxel_size), position)[0])

    assert score(0.6) == pytest.approx(1, abs=2e-3)
    assert score(0.6) > score(1.0) > score(2.0)
    flat_noise = np.random.default_rng(0).normal(size=(41, 41, 41)).astype(np.float32)
    assert abs(float(q_scores(Volume(flat_noise, voxel_size), position)[0])) < 0.5


def test_neighbours_do_not_count_as_an_atoms_own_surroundings():
    """Two atoms 1.5 Å apart: points beyond the middle belong to the other one."""
    voxel_size = 0.25
    z, y, x = np.indices((41,) * 3)
    density = sum(
        np.exp(-((x - cx) ** 2 + (y - 20) ** 2 + (z - 20) ** 2) * voxel_size**2 / 0.72) for cx in (17, 23)
    )
    both = np.array([[17.0, 20, 20], [23.0, 20, 20]])
    volume = Volume(density.astype(np.float32), voxel_size)
    assert q_scores(volume, both).min() > q_scores(volume, both[:1])[0]
