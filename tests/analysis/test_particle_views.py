"""View directions of the tilt images of subtomograms."""

import numpy as np
import pandas as pd
import pytest
import starfile

from spisonet.analysis.config import Fsd3dConfig
from spisonet.analysis.particle_views import directions_of_subtomograms, read_views
from spisonet.errors import SpisonetError
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


def test_volumes_of_relion_5_1_take_the_tilts_of_their_tomograms(tmp_path):
    """Names with and without Warp's ending belong together, and tilt ranges are read from their table."""
    optics = {"rlnOpticsGroup": [1], "rlnImagePixelSize": [4.8], "rlnImageSize": [32]}
    optics["rlnImageDimensionality"] = [3]
    particles = {
        "rlnAngleRot": [0.0, 10.0, 20.0],
        "rlnAngleTilt": [0.0, 30.0, 90.0],
        "rlnAnglePsi": [0.0, 0.0, 50.0],
        "rlnMicrographName": ["021.tomostar", "022.tomostar", "021.tomostar"],
        "rlnImageName": ["a.mrc", "b.mrc", "c.mrc"],
        "rlnCtfImage": ["a_ctf.mrc", "b_ctf.mrc", "c_ctf.mrc"],
        "rlnOpticsGroup": 1,
    }
    star = tmp_path / "run_it025_data.star"
    starfile.write({"optics": pd.DataFrame(optics), "particles": pd.DataFrame(particles)}, star)
    config = Fsd3dConfig(star_file=star, map_dim=32)
    with pytest.raises(SpisonetError, match="give --tomograms"):
        read_views(config)
    ranges = pd.DataFrame(
        {"rlnTomoName": ["021", "022"], "rlnTiltMin": [-60, -30], "rlnTiltMax": [60, 30], "rlnPixelSize": 10}
    )
    starfile.write({"": ranges}, tmp_path / "tomograms.star")
    assert len(read_views(config).directions) == 41 + 21 + 41
    starfile.write({"": ranges.assign(rlnTomoName="021")}, tmp_path / "tomograms.star", overwrite=True)
    with pytest.raises(SpisonetError, match="lists 2 tilt series of the name 021"):
        read_views(config)
    starfile.write({"": ranges.assign(rlnTiltMax=-70)}, tmp_path / "tomograms.star", overwrite=True)
    with pytest.raises(SpisonetError, match="invalid tilt range -60 to -70"):
        read_views(config)
