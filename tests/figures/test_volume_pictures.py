from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from spisonet.figures.volume_pictures import (
    density_distribution,
    draw_mask_overlay,
    draw_mean,
    draw_power_spectrum,
    surface_volume,
)


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_the_histogram_covers_nearly_all_densities_and_the_contrast_less():
    sample = np.random.default_rng(0).normal(5, 2, 100_000).astype(np.float32)
    found = density_distribution(sample)
    assert found.extent[0] < found.contrast[0] < 5 < found.contrast[1] < found.extent[1]
    assert found.contrast == pytest.approx(tuple(np.percentile(sample, (0.5, 99.5))))
    assert 0.999 * sample.size < sum(found.histogram) < sample.size
    assert (found.mean, found.standard_deviation) == pytest.approx((5, 2), abs=0.05)


@pytest.mark.parametrize(
    ("sample", "contrast"),
    [
        ([0.0] * 9, (0, 1)),  # constant
        ([0.0] * 999 + [1.0], (0, 1)),  # a mask with few voxels set
    ],
)
def test_contrast_is_never_empty(sample, contrast):
    found = density_distribution(np.array(sample, np.float32))
    assert found.contrast == contrast
    assert found.extent[0] < found.extent[1]


def test_planes_are_averaged_and_large_ones_binned():
    planes = [np.full((3100, 20), value, np.float32) for value in (0, 1, 5)]
    picture = pixels(draw_mean(planes, "z", (0, 4)))
    assert picture.shape == (1033, 20)  # rows binned by 3, columns not at all
    assert set(picture.ravel()) == {127}


def test_a_wave_has_two_peaks_in_its_power_spectrum():
    x = np.arange(64)
    plane = np.cos(2 * np.pi * 10 * x / 64)[None, :] * np.ones((64, 1))
    power = pixels(draw_power_spectrum([plane.astype(np.float32)], "z")).astype(int)
    centre_row = power[31:33].max(axis=0)
    assert set(np.flatnonzero(centre_row == 255)) <= {*range(20, 25), *range(40, 45)}
    assert centre_row[[22, 42]].min() > centre_row[32] + 50


def test_the_overlay_is_transparent_outside_the_mask():
    plane = np.zeros((4, 6), np.float32)
    plane[1, 2], plane[3, 5] = 1.0, 0.5
    alpha = pixels(draw_mask_overlay(plane, "z"))[..., 3]
    assert np.argwhere(alpha > 0).tolist() == [[2, 2]]  # y points up


def test_surfaces_are_binned_and_scaled_to_bytes():
    volume = np.random.default_rng(0).normal(size=(8, 6, 4)).astype(np.float32)
    found = surface_volume([volume[z : z + 2] for z in range(0, 8, 2)], 2)
    means = volume.reshape(4, 2, 3, 2, 2, 2).mean(axis=(1, 3, 5))
    assert found.voxels.shape == means.shape
    restored = found.low + found.voxels / 255 * (found.high - found.low)
    np.testing.assert_allclose(restored, means, atol=(found.high - found.low) / 500)
    assert found.mean == pytest.approx(found.voxels.mean(), abs=0.5)
