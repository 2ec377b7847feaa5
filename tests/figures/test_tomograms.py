"""Figures of tomograms."""

from __future__ import annotations

import mrcfile
import numpy as np
import pytest
from matplotlib.figure import Figure

from spisonet.figures.tomograms import draw_tomogram_comparison, draw_wedge, middle_slices, power_by_x_and_z
from spisonet.fourier.wedge_fit import WedgeFit
from spisonet.io.tomograms import open_tomogram
from spisonet.tomography.wedge_check import WedgeCheck

SHAPE, VOXEL_SIZE = (16, 24, 32), 10.0


def tomogram(path, data):
    with mrcfile.new(path) as mrc:
        mrc.set_data(data.astype(np.float32))
        mrc.voxel_size = VOXEL_SIZE
    return open_tomogram(path)


def wedge(axis: str = "y", power_ratio: float = 0.01, is_assumed: bool = False) -> WedgeCheck:
    fit = WedgeFit(axis, 0.0, (-52.0, 63.0), 1.0, power_ratio, 1.0, 0.1)
    return WedgeCheck("t", (-50.0, 60.0), 0.05, fit, is_assumed)


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=SHAPE)


def test_slices_are_means_of_central_planes_and_of_the_halves(tmp_path):
    data = [noise(0), noise(1)]
    halves = tuple(tomogram(tmp_path / f"{number}.mrc", half) for number, half in enumerate(data))
    xy, xz, yz = middle_slices(halves)
    assert (xy.shape, xz.shape, yz.shape) == ((24, 32), (16, 32), (16, 24))
    mean = np.mean(data, axis=0)
    assert xy == pytest.approx(mean[6:9].mean(axis=0), abs=1e-5)
    assert yz == pytest.approx(mean[:, :, 14:17].mean(axis=2), abs=1e-5)


def test_a_wave_along_x_is_a_peak_on_the_kx_axis(tmp_path):
    wave = np.broadcast_to(np.cos(2 * np.pi * np.arange(32) / 4), SHAPE) + 0.01 * noise(2)
    power = power_by_x_and_z((tomogram(tmp_path / "wave.mrc", wave),))
    z, x = np.unravel_index(np.argmax(power), power.shape)
    assert z == power.shape[0] // 2
    assert abs(x - power.shape[1] // 2) == pytest.approx(32 / 4, abs=1)


def test_before_and_after_are_compared_in_nine_panels(tmp_path):
    before, after = (tomogram(tmp_path / f"{seed}.mrc", noise(seed)) for seed in (3, 4))
    figure = draw_tomogram_comparison((before,), after, wedge())
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:6] == [f"{plane}, {when}" for when in ("before", "after") for plane in ("XY", "XZ", "YZ")]
    assert titles[6:9] == [
        "power over kx and kz, before", "power over kx and kz, after",
        "tilts about y, table: -50 to 60°\nspectrum: -52 to 63°",
    ]  # fmt: skip
    assert figure.axes[0].get_xlabel() == "x (nm)"
    assert figure.axes[0].images[0].get_extent() == pytest.approx((0, 32, 0, 24))
    assert figure.get_suptitle() == "4.mrc"


@pytest.mark.parametrize(
    ("axis", "ratio", "title"),
    [("y", 0.01, "-52 to 63°"), ("x", 0.01, "another"), ("y", 0.9, "not measurable")],
)
def test_the_measured_part_of_the_plane_is_bounded_by_the_tilts(axis, ratio, title):
    panel = Figure().subplots()
    draw_wedge(panel, wedge(axis, ratio))
    assert title in panel.get_title()
    corners = np.concatenate([patch.get_xy() for patch in panel.patches])
    angles = np.degrees(np.arctan2(np.abs(corners[:, 1]), np.abs(corners[:, 0])))
    assert angles.max() == pytest.approx(60)
    assert len(panel.patches) == 2


def test_a_tilt_range_that_was_assumed_is_marked_in_the_figure(tmp_path):
    before, after = (tomogram(tmp_path / f"{seed}.mrc", noise(seed)) for seed in (3, 4))
    figure = draw_tomogram_comparison((before,), after, wedge(is_assumed=True))
    title = figure.axes[8].get_title()
    assert title == "tilts about y, no tilt file found,\nassumed: -50 to 60°\nspectrum: -52 to 63°"
