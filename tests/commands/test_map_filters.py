"""whitening, angular_whiten and combine_map from the command line."""

import os

import numpy as np
import pytest

from spisonet.commands.main import main
from spisonet.fourier.filters import shell_mean_amplitude
from spisonet.fourier.grids import irfft3, radius_rfft, rfft3
from spisonet.io.mrc import Volume, read_volume, write_volume

N = 32
APIX = 1.5  # box 48 Å, Nyquist 3 Å


def run(*words):
    """Run the command line and return its exit status."""
    try:
        main([str(word) for word in words])
    except SystemExit as stop:
        return stop.code or 0
    return 0


def density(seed, decay=0.15):
    spectrum = rfft3(np.random.default_rng(seed).normal(size=(N, N, N)).astype(np.float32))
    return irfft3(spectrum * np.exp(-decay * radius_rfft((N, N, N))), (N, N, N))


@pytest.fixture
def maps(tmp_path, monkeypatch):
    """Write maps a and b and a mask, and work in their folder."""
    monkeypatch.chdir(tmp_path)
    geometry = {"origin_angstrom": (1.0, 2.0, 3.0), "nstart": (4, 5, 6), "labels": ("made for a test",)}
    write_volume(tmp_path / "a.mrc", Volume(density(0), APIX, **geometry))
    write_volume(tmp_path / "b.mrc", Volume(density(1, 0.05) * 7, APIX, **geometry))
    grid = np.linspace(-1, 1, N) ** 2
    ball = (grid[:, None, None] + grid[:, None] + grid < 0.8).astype(np.float32)
    write_volume(tmp_path / "mask.mrc", Volume(ball, APIX))
    write_volume(tmp_path / "empty.mrc", Volume(-ball, APIX))
    write_volume(tmp_path / "small.mrc", Volume(density(0)[:16, :16, :16], APIX))
    write_volume(tmp_path / "coarse.mrc", Volume(density(0), 2.0))
    return tmp_path


def assert_geometry_kept(path, label):
    volume = read_volume(path)
    assert volume.origin_angstrom == (1, 2, 3)
    assert volume.nstart == (4, 5, 6)
    assert volume.voxel_size_angstrom == APIX
    assert volume.labels[0] == "made for a test"
    assert label in volume.labels[-1]
    return volume.data


def test_whitening(maps):
    line = ("whitening", "a.mrc", "-o", "new/w.mrc", "--mask", "mask.mrc", "--high_res", 4, "--low_res", 12)
    assert run(*line) == 0
    data = assert_geometry_kept(maps / "new" / "w.mrc", "whitened 12 to 4 A")
    mask = read_volume(maps / "mask.mrc").data
    amplitude = shell_mean_amplitude(rfft3(data * mask), N)
    np.testing.assert_allclose(amplitude[5:12], amplitude[4], rtol=0.15)


def test_whitening_has_the_published_defaults(maps):
    assert run("whitening", "a.mrc") == 0
    assert_geometry_kept(maps / "whitening.mrc", "whitened 10 to 3 A")


def test_angular_whiten(maps):
    assert run("angular_whiten", "a.mrc", "out.mrc", 10, 3.5) == 0
    data = assert_geometry_kept(maps / "out.mrc", "10 to 3.5 A")
    assert np.corrcoef(data.ravel(), density(0).ravel())[0, 1] > 0.9


def test_combine_map(maps):
    assert run("combine_map", "a.mrc", "b.mrc", "c.mrc", 6, "--mask_file", "mask.mrc") == 0
    data = assert_geometry_kept(maps / "c.mrc", "6 A")
    high = read_volume(maps / "b.mrc").data
    assert data.std() == pytest.approx(high.std(), rel=1e-4)
    beyond = radius_rfft((N, N, N)) > 11
    ratio = rfft3(data)[beyond] / rfft3(high)[beyond]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-2)


def test_apix_overrides_the_header(maps):
    assert run("angular_whiten", "coarse.mrc", "out.mrc", 10, 3.5, "--apix", APIX) == 0
    assert read_volume(maps / "out.mrc").voxel_size_angstrom == APIX


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("whitening a.mrc --low_res 3 --high_res 10", "must be a larger number"),
        ("whitening a.mrc --low_res 5 --high_res 5", "must be a larger number"),
        ("whitening a.mrc --low_res 10 --high_res 2", "beyond Nyquist"),
        ("whitening a.mrc --low_res 100 --high_res 5", "coarser than the box"),
        ("whitening a.mrc --mask empty.mrc", "mask empty.mrc is empty"),
        ("whitening a.mrc --mask small.mrc", "small.mrc has a box of 16"),
        ("whitening missing.mrc", "missing.mrc does not exist"),
        ("whitening a.mrc -o a.mrc", "also an input"),
        ("whitening a.mrc --mask mask.mrc -o mask.mrc", "also an input"),
        ("whitening a.mrc -o a.mrc/w.mrc", "cannot be written"),
        ("angular_whiten a.mrc out.mrc 3 10", "must be a larger number"),
        ("angular_whiten a.mrc out.mrc 10 1", "beyond Nyquist"),
        ("angular_whiten a.mrc ./a.mrc 10 3.5", "also an input"),
        ("combine_map a.mrc coarse.mrc c.mrc 10", "voxels"),
        ("combine_map a.mrc small.mrc c.mrc 10", "box"),
        ("combine_map a.mrc b.mrc c.mrc 1", "beyond Nyquist"),
        ("combine_map a.mrc b.mrc c.mrc 60", "coarser than the box"),
        ("combine_map a.mrc b.mrc b.mrc 10", "also an input"),
        ("combine_map a.mrc b.mrc c.mrc 10 --mask_file empty.mrc", "empty"),
    ],
)
def test_bad_requests_write_nothing(maps, capsys, line, message):
    before = {path.name: path.read_bytes() for path in maps.iterdir()}
    assert run(*line.split()) == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert {path.name: path.read_bytes() for path in maps.iterdir()} == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder(maps, capsys):
    (maps / "locked").mkdir(mode=0o500)
    assert run("whitening", "a.mrc", "-o", "locked/w.mrc") == 1
    assert "cannot be written" in capsys.readouterr().err
