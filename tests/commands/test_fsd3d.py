"""fsd3d from the command line: the volume that it writes, and its messages."""

import numpy as np
import pandas as pd
import pytest
import starfile

from spisonet.commands.main import main
from spisonet.io.mrc import read_volume
from tests.subtomogram_project import write_subtomogram_project


def run(*words):
    """Run the command line and return its exit status."""
    try:
        main([str(word) for word in words])
    except SystemExit as stop:
        return stop.code or 0
    return 0


@pytest.fixture
def star(tmp_path):
    """Write particles with views within about 10 degrees of z."""
    rng = np.random.default_rng(0)
    n = 500
    particles = pd.DataFrame(
        {
            "rlnAngleRot": rng.uniform(-180, 180, n),
            "rlnAngleTilt": np.abs(rng.normal(0, 8, n)),
            "rlnAnglePsi": rng.uniform(-180, 180, n),
            "rlnOpticsGroup": 1,
        }
    )
    optics = pd.DataFrame({"rlnOpticsGroup": [1], "rlnImagePixelSize": [2.0], "rlnImageSize": [48]})
    path = tmp_path / "p.star"
    starfile.write({"optics": optics, "particles": particles}, path)
    return path


def cone_angles(n):
    """Radius and angle to z in degrees of every voxel of a centred cube."""
    axis = np.arange(n) - n // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    return radius, np.degrees(np.arccos(np.abs(z) / np.maximum(radius, 1e-9)))


@pytest.fixture
def subtomograms(tmp_path):
    return write_subtomogram_project(tmp_path)


@pytest.mark.parametrize("box", [48, 49, 80])
def test_top_views_leave_a_cone_about_z(star, tmp_path, box):
    out = tmp_path / "sub" / "f.mrc"
    assert run("fsd3d", star, box, "--sym", "c3", "--low_res", 20, "--high_res", 5, "-o", out) == 0
    volume = read_volume(out)
    assert volume.data.shape == (box,) * 3
    assert volume.voxel_size_angstrom == 2.0
    assert (volume.data.min(), volume.data.max()) == (0, 1)
    radius, angle = cone_angles(box)
    low, high = box * 2 / 20, box * 2 / 5
    assert (volume.data[radius <= low] == 1).all()
    assert (volume.data[radius > min(high, box // 2)] == 0).all()
    band = (radius > low + 2) & (radius < high - 1)
    assert volume.data[band & (angle > 85)].mean() > 0.6
    assert volume.data[band & (angle < 40)].max() < 0.05
    inner = volume.data[1:, 1:, 1:] if box % 2 == 0 else volume.data
    np.testing.assert_allclose(inner, inner[::-1, ::-1, ::-1], atol=1e-6)


def test_high_resolution_limit_beyond_nyquist_means_nyquist(star, tmp_path):
    assert run("fsd3d", star, 48, "-o", tmp_path / "f.mrc", "--low_res", 20) == 0
    data = read_volume(tmp_path / "f.mrc").data
    radius, _ = cone_angles(48)
    assert (data[radius > 24] == 0).all()
    assert data[(radius > 22) & (radius <= 24)].max() == 1


def test_apix_overrides_and_the_seed_draws_the_subset(star, tmp_path):
    results = []
    for seed in (0, 0, 1):
        out = tmp_path / f"{len(results)}.mrc"
        line = ("--apix", 1.5, "--number_subset", 50, "--seed", seed, "--low_res", 20, "-o", out)
        assert run("fsd3d", star, 32, *line) == 0
        results.append(read_volume(out))
    assert results[0].voxel_size_angstrom == 1.5
    np.testing.assert_array_equal(results[0].data, results[1].data)
    assert (results[0].data != results[2].data).any()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--low_res", 5, "--high_res", 5], "--high_res"),
        (["--low_res", 3, "--high_res", 2], "beyond Nyquist"),
        (["--sym", "Oh"], "mirrors"),
        (["--sym", "Q2"], "is unknown"),
        (["-o", "FOLDER"], "is a folder"),
        (["-o", "STAR"], "also an input"),
        (["-o", "STAR/x.mrc"], "cannot be written"),
    ],
)
def test_bad_requests(star, tmp_path, capsys, words, message):
    places = {"FOLDER": tmp_path, "STAR": star, "STAR/x.mrc": star / "x.mrc"}
    words = [places.get(word, word) for word in words]
    default = [] if "-o" in words else ["-o", tmp_path / "f.mrc"]
    before = star.read_bytes()
    assert run("fsd3d", star, 48, *default, *words) == 1
    assert message in capsys.readouterr().err
    assert star.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"p.star"}


def test_unknown_pixel_size_and_subtomograms(tmp_path, capsys):
    angles = {"rlnAngleRot": [0.0, 1.0], "rlnAngleTilt": [0.0, 1.0], "rlnAnglePsi": [0.0, 1.0]}
    starfile.write({"particles": pd.DataFrame(angles)}, tmp_path / "a.star")
    assert run("fsd3d", tmp_path / "a.star", 48, "-o", tmp_path / "f.mrc") == 1
    assert "--apix" in capsys.readouterr().err
    starfile.write({"particles": pd.DataFrame({**angles, "rlnTomoName": ["a", "b"]})}, tmp_path / "t.star")
    assert run("fsd3d", tmp_path / "t.star", 48, "--apix", 2, "-o", tmp_path / "f.mrc") == 1
    assert "subtomograms" in capsys.readouterr().err
    assert not (tmp_path / "f.mrc").exists()


def test_an_optimisation_set_names_particles_and_tomograms(subtomograms):
    folder, _ = subtomograms
    volumes = []
    for words in (["set.star"], ["particles.star", "--tomograms", folder / "tomograms.star"]):
        out = folder / f"{len(volumes)}.mrc"
        assert run("fsd3d", folder / words[0], 32, *words[1:], "--low_res", 40, "-o", out) == 0
        volumes.append(read_volume(out))
    np.testing.assert_array_equal(volumes[0].data, volumes[1].data)
    assert volumes[0].voxel_size_angstrom == 4.0


def test_one_orientation_leaves_the_wedge(tmp_path):
    """Particles that all lie alike in the tomogram sample all but the wedge of its tilts about y."""
    particles = pd.DataFrame(
        {"rlnTomoName": ["a"] * 4, "rlnAngleRot": 0.0, "rlnAngleTilt": 0.0, "rlnAnglePsi": 0.0}
    )
    starfile.write({"particles": particles}, tmp_path / "p.star")
    words = ["--tilt_min", -60, "--tilt_max", 40, "--tilt_step", 2, "--apix", 5, "--low_res", 100]
    assert run("fsd3d", tmp_path / "p.star", 40, *words, "-o", tmp_path / "o.mrc") == 0
    data = read_volume(tmp_path / "o.mrc").data
    axis = np.arange(40) - 20
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    tilt = np.degrees(np.arctan2(np.where(x < 0, -z, z), np.abs(x)))
    band = (radius > 6) & (radius < 18) & (np.hypot(x, z) > 5)
    # Measured outside the wedge, though the tilt axis is sampled many times better.
    assert data[band & (tilt > -55) & (tilt < 35)].min() > 0.5
    assert data[band & ((tilt > 52) | (tilt < -72))].max() < 0.02


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ([], "give --tomograms"),
        (["--tilt_min", 10], "Give both"),
        (["--tilt_min", -60, "--tilt_max", 60, "--tomograms", "none.star"], "not both"),
        (["--tilt_min", -1, "--tilt_max", 1, "--tilt_step", 50], "a single tilt"),
        (["--tilt_min", 10, "--tilt_max", -10], "the first below the second"),
        (["--tomograms", "particles.star"], "no projection directions"),
        (["--tomograms", "none.star"], "does not exist"),
    ],
)
def test_subtomograms_need_their_tilts(subtomograms, capsys, words, part):
    folder, _ = subtomograms
    (folder / "tomograms.star").rename(folder / "elsewhere.star")
    given = [folder / word if str(word).endswith(".star") else word for word in words]
    assert run("fsd3d", folder / "particles.star", 32, *given, "-o", folder / "o.mrc") == 1
    assert part in capsys.readouterr().err
    assert not (folder / "o.mrc").exists()
