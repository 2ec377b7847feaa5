"""Pictures show what the volumes contain, in the orientation of 3dmod."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from spisonet.errors import SpisonetError
from spisonet.gui.volumes import ColumnCache, VolumePictures, read_surface, read_voxel
from spisonet.io.slices import open_planes
from tests.tomography.simulation import write_mrc

SHAPE = (6, 20, 30)


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


@pytest.fixture
def marked(tmp_path):
    """A volume with one bright voxel."""
    volume = np.zeros(SHAPE, np.float32)
    volume[4, 15, 7] = 1
    return write_mrc(tmp_path / "marked.mrc", volume)


@pytest.mark.parametrize(
    ("axis", "index", "size", "bright"),
    [
        ("z", 4, (20, 30), (20 - 1 - 15, 7)),
        ("y", 15, (6, 30), (6 - 1 - 4, 7)),
        ("x", 7, (20, 6), (20 - 1 - 15, 4)),
    ],
)
def test_planes_stand_upright_as_in_3dmod(marked, axis, index, size, bright):
    picture = pixels(VolumePictures().slice([marked], axis, index, 1, (0, 1)))
    assert picture.shape == size
    assert np.argwhere(picture == 255).tolist() == [list(bright)]
    assert pixels(VolumePictures().slice([marked], axis, index - 1, 1, (0, 1))).max() == 0


def test_contrast_and_thickness(tmp_path):
    volume = np.arange(6, dtype=np.float32)[:, None, None] * np.ones(SHAPE, np.float32)
    path = write_mrc(tmp_path / "v.mrc", volume)
    view = VolumePictures()
    assert set(pixels(view.slice([path], "z", 2, 1, (0, 4))).ravel()) == {127}
    assert set(pixels(view.slice([path], "z", 2, 3, (0, 4))).ravel()) == {127}
    assert set(pixels(view.slice([path], "z", 2, 1, (4, 0))).ravel()) == {127}
    assert set(pixels(view.slice([path], "z", 5, 1, (0, 4))).ravel()) == {255}
    assert set(pixels(view.slice([path], "z", 0, 3, (0, 1))).ravel()) == {85}  # planes 0, 0 and 1


def test_the_power_spectrum_shows_a_missing_wedge(tmp_path):
    from tests.tomography.simulation import slab_of_rods, with_missing_wedge

    path = write_mrc(tmp_path / "t.mrc", with_missing_wedge(slab_of_rods((64, 32, 64), 60, 0), 1.0, 0))
    power = pixels(VolumePictures().power_spectrum([path], "y", 16, 9)).astype(float)
    z, x = np.mgrid[-32:32, -32:32]
    radius, angle = np.hypot(z, x), np.degrees(np.arctan2(np.abs(z), np.abs(x)))
    shell = (radius > 8) & (radius < 28)
    assert power[shell & (angle < 50)].mean() > power[shell & (angle > 70)].mean() + 40


def test_the_overlay_shows_where_the_mask_is_set(marked):
    picture = pixels(VolumePictures().mask_overlay(marked, "z", 4))
    assert np.argwhere(picture[..., 3] > 0).tolist() == [[4, 7]]


def test_the_distribution_of_densities_is_that_of_the_file(tmp_path):
    volume = np.random.default_rng(0).normal(5, 2, (30, 64, 64)).astype(np.float32)
    properties = VolumePictures().properties([write_mrc(tmp_path / "v.mrc", volume)])
    low, high = np.percentile(volume, (0.5, 99.5))
    assert properties["contrast"] == pytest.approx([low, high], abs=0.15)
    assert properties["mean"] == pytest.approx(5, abs=0.05)
    assert properties["standard_deviation"] == pytest.approx(2, abs=0.05)
    assert sum(properties["histogram"]) > 30_000


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_constant_volumes_are_shown(tmp_path, value):
    path = write_mrc(tmp_path / "v.mrc", np.full(SHAPE, value, np.float32))
    properties = VolumePictures().properties([path])
    assert properties["contrast"][0] < properties["contrast"][1]
    for axis in "zyx":
        assert pixels(VolumePictures().slice([path], axis, 0, 1, tuple(properties["contrast"]))).max() == 0
        pixels(VolumePictures().power_spectrum([path], axis, 0, 1))


def test_nan_and_infinity_do_not_prevent_a_picture(tmp_path):
    volume = np.ones(SHAPE, np.float32)
    volume[0, :5], volume[0, 5:9] = np.nan, np.inf
    path = write_mrc(tmp_path / "v.mrc", volume)
    assert np.isfinite(VolumePictures().properties([path])["mean"])
    pixels(VolumePictures().slice([path], "z", 0, 1, (0, 1)))


def test_neighbouring_planes_across_x_are_read_in_one_pass(marked, monkeypatch):
    reader, cache, passes = open_planes(marked), ColumnCache(), []
    read = type(reader).read
    monkeypatch.setattr(
        type(reader), "read", lambda self, *given: (passes.append(given), read(self, *given))[1]
    )
    for x in range(16):
        np.testing.assert_array_equal(cache.read(reader, x), read(reader, "x", x, x + 1)[0])
    assert passes == [("x", 0, 16)]


def test_a_changed_file_is_read_again(marked):
    view = VolumePictures()
    assert pixels(view.slice([marked], "x", 7, 1, (0, 1))).max() == 255
    write_mrc(marked, np.zeros(SHAPE, np.float32))
    assert pixels(view.slice([marked], "x", 7, 1, (0, 1))).max() == 0


def test_half_maps_are_averaged(tmp_path):
    rng = np.random.default_rng(0)
    halves = rng.normal(size=(2, *SHAPE)).astype(np.float32)
    paths = [write_mrc(tmp_path / f"half{number}.mrc", half) for number, half in enumerate(halves, start=1)]
    mean = write_mrc(tmp_path / "mean.mrc", halves.mean(axis=0))
    view = VolumePictures()
    for axis in "zyx":
        both = view.slice(paths, axis, 3, 3, (-2, 2))
        np.testing.assert_allclose(pixels(both), pixels(view.slice([mean], axis, 3, 3, (-2, 2))), atol=1)
    for key in ("contrast", "mean", "standard_deviation"):
        assert view.properties(paths)[key] == pytest.approx(view.properties([mean])[key], rel=1e-5)
    assert read_voxel(paths, 4, 15, 7) == pytest.approx(halves[:, 4, 15, 7].mean())
    assert read_voxel(paths[:1], 0, 0, 29) == halves[0, 0, 0, 29]


def test_what_cannot_be_averaged_or_read_is_an_error(tmp_path, marked):
    other = write_mrc(tmp_path / "other.mrc", np.zeros((6, 20, 31), np.float32))
    with pytest.raises(SpisonetError, match=r"other\.mrc and .*marked\.mrc differ in size"):
        VolumePictures().slice([marked, other], "z", 0, 1, (0, 1))
    with pytest.raises(SpisonetError, match=r"marked\.mrc has no voxel \(30, 0, 0\)"):
        read_voxel([marked], 0, 0, 30)


def test_a_map_of_the_inferred_fraction_beside_a_volume_is_named(tmp_path, marked):
    assert not VolumePictures().properties([marked])["inferred_fraction"]
    fraction = write_mrc(tmp_path / "inferred_fraction.mrc", np.zeros((2, 2, 2), np.float32))
    assert not VolumePictures().properties([marked])["inferred_fraction"]
    write_mrc(fraction, np.zeros(SHAPE, np.float32))
    assert VolumePictures().properties([marked])["inferred_fraction"]


def test_surfaces_are_drawn_from_binned_densities(tmp_path):
    volume = np.zeros((200, 100, 50), np.float32)
    volume[100:, :, :] = 3
    voxels, scale = read_surface([write_mrc(tmp_path / "v.mrc", volume)])
    small = np.frombuffer(voxels, np.uint8).reshape(scale["shape"])
    assert small.shape == (66, 33, 16)
    assert (scale["low"], scale["high"]) == (0, 3)
    assert scale["mean"] == pytest.approx(255 * volume[:198].mean() / 3)
    assert scale["standard_deviation"] == pytest.approx(255 * volume[:198].std() / 3)
    assert scale["voxel_size"] == pytest.approx(30)
    assert small[:33].max() == 0
    assert small[34:].min() == 255
