"""View directions of the tilt images of subtomograms."""

import numpy as np
import pandas as pd
import pytest
import starfile
from scipy.spatial.transform import Rotation

from spisonet.analysis.particle_views import directions_of_subtomograms
from spisonet.geometry.view_sampling import sampling_density
from spisonet.io.particles import read_particle_orientations
from spisonet.io.tilt_series import read_projection_directions


def rotation(axis, degrees):
    return Rotation.from_euler(axis, degrees, degrees=True).as_matrix()


def count_planes(directions, frequencies):
    """How many slices of thickness one pass a frequency, one by one."""
    return np.array([sum(abs(k @ d) <= 0.5 for d in directions) for k in frequencies])


@pytest.fixture
def subtomograms(tmp_path):
    """Write a RELION 4 project: two tomograms with projection matrices, and a few particles."""
    rng = np.random.default_rng(3)
    n = 12
    tilts = {"001": np.arange(-48, 49, 8), "TS_2": np.arange(-30, 61, 10)}
    blocks = {"global": pd.DataFrame({"rlnTomoName": list(tilts), "rlnTomoTiltSeriesPixelSize": [2.0, 2.0]})}
    matrices = {}
    for name, angles in tilts.items():
        matrices[name] = [rotation("z", 85) @ rotation("y", angle) @ rotation("x", 3) for angle in angles]
        rows = {
            f"rlnTomoProj{axis}": [f"[{','.join(f'{v:.9f}' for v in m[i])},0]" for m in matrices[name]]
            for i, axis in enumerate("XYZ")
        }
        blocks[name] = pd.DataFrame(rows)
    starfile.write(blocks, tmp_path / "tomograms.star")
    angles = rng.uniform(-180, 180, (n, 3))
    names = rng.choice(list(tilts), n)
    visible = [rng.integers(0, 2, len(tilts[name])) for name in names]
    particles = pd.DataFrame(
        {
            "rlnTomoName": names,
            "rlnAngleRot": angles[:, 0],
            "rlnAngleTilt": np.abs(angles[:, 1]),
            "rlnAnglePsi": angles[:, 2],
            "rlnTomoVisibleFrames": [f"[{','.join(map(str, v))}]" for v in visible],
            "rlnOpticsGroup": 1,
        }
    )
    optics = pd.DataFrame({"rlnOpticsGroup": [1], "rlnImagePixelSize": [4.0], "rlnImageSize": [32]})
    starfile.write({"optics": optics, "particles": particles}, tmp_path / "particles.star")
    (tmp_path / "set.star").write_text(
        "data_\n\n_rlnTomoParticlesFile particles.star\n_rlnTomoTomogramsFile tomograms.star\n"
    )
    views = []
    for number, name in enumerate(names):
        turned = read_particle_orientations(tmp_path / "particles.star").rotations[number]
        seen = [m for m, v in zip(matrices[name], visible[number], strict=True) if v]
        views += [turned.T @ m.T @ [0, 0, 1] for m in seen]
    return tmp_path, np.array(views)


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
