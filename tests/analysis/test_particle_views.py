"""View directions of the tilt images of subtomograms."""

import numpy as np
import pytest

from spisonet.analysis.particle_views import directions_of_subtomograms
from spisonet.geometry.view_sampling import sampling_density
from spisonet.io.particles import read_particle_orientations
from spisonet.io.tilt_series import read_projection_directions
from tests.subtomogram_project import write_subtomogram_project


def count_planes(directions, frequencies):
    """How many slices of thickness one pass a frequency, one by one."""
    return np.array([sum(abs(k @ d) <= 0.5 for d in directions) for k in frequencies])


@pytest.fixture
def subtomograms(tmp_path):
    return write_subtomogram_project(tmp_path)


def test_subtomograms_sample_the_planes_of_their_tilts(subtomograms):
    """The density agrees with a count of the tilt planes through every frequency."""
    folder, views = subtomograms
    found = read_projection_directions(folder / "tomograms.star")
    particles = read_particle_orientations(folder / "particles.star")
    directions = directions_of_subtomograms(particles, np.arange(len(particles)), found)
    np.testing.assert_allclose(directions, views, atol=1e-6)
    frequencies = np.random.default_rng(0).normal(size=(400, 3))
    frequencies *= np.random.default_rng(1).uniform(3, 12, (400, 1)) / np.linalg.norm(
        frequencies, axis=1, keepdims=True
    )
    density = sampling_density(directions, frequencies)
    counted = 2 * np.linalg.norm(frequencies, axis=1) * count_planes(views, frequencies) / len(views)
    assert np.corrcoef(density, counted)[0, 1] > 0.85
    assert density.mean() == pytest.approx(counted.mean(), rel=0.1)
