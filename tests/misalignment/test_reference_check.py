"""Whether an initial reference is isotropic: elongated bodies are, maps without a cone are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import zoom

from spisonet.fourier.grids import irfft3, radius_rfft, rfft3
from spisonet.fourier.windows import soft_lowpass_weights
from spisonet.io.mrc import read_volume
from spisonet.misalignment.reference_check import check_reference
from tests.misalignment.accumulators import body_map, without_cone

EXAMPLES = Path(__file__).parents[2] / "examples"
BOX, PIXEL = 48, 4.0


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(BOX,) * 3).astype(np.float32)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_elongated_body_is_trusted(axis):
    factors = [0.6, 0.6, 0.6]
    factors[axis] = 1.0
    part = zoom(body_map(BOX), factors, order=1)
    long = np.zeros((BOX,) * 3, np.float32)
    long[tuple(slice(BOX // 2 - n // 2, BOX // 2 - n // 2 + n) for n in part.shape)] = part
    found = check_reference(long, PIXEL, 30.0)
    assert found.category == "trusted"
    assert found.resolution_angstrom == pytest.approx(32)  # shell 6 of 192 Å


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_map_without_a_cone_is_anisotropic_along_its_axis(axis):
    drifted = np.moveaxis(without_cone(body_map(BOX), 30.0), 0, axis)
    found = check_reference(drifted, PIXEL, 30.0)
    assert found.category == "anisotropic"
    assert abs(found.axis_xyz[2 - axis]) > np.cos(np.radians(30))
    assert found.median_agreement > 0.85


@pytest.mark.parametrize("folder", ["hemagglutinin", "subtomograms"])
def test_top_views_of_hemagglutinin_are_told_from_the_truth(folder):
    for name, trusted in (("truth", True), ("half1", False), ("half2", False)):
        volume = read_volume(EXAMPLES / folder / f"{name}.mrc")
        found = check_reference(volume.data, volume.voxel_size_angstrom, 30.0)
        assert (found.category == "trusted") is trusted, (name, found)


def test_a_filtered_map_is_judged_to_its_filter():
    lowpass = soft_lowpass_weights(BOX, 3, 2)
    filtered = irfft3((rfft3(body_map(BOX)) * lowpass).astype(np.complex64), (BOX,) * 3)
    found = check_reference(filtered, PIXEL, 20.0)
    assert found.category == "trusted"
    assert 40 < found.resolution_angstrom < 64


def test_noise_is_not_trusted():
    body = body_map(BOX)
    assert check_reference(noise(), PIXEL, 30.0).category == "doubtful"
    smooth = irfft3(rfft3(noise()) * (radius_rfft((BOX,) * 3) < 7), (BOX,) * 3)
    smooth *= body.std() / smooth.std()
    assert check_reference(body + 0.1 * smooth, PIXEL, 30.0).category == "trusted"
    for part in (0.6, 2.0, 6.0):
        assert check_reference(body + part * smooth, PIXEL, 30.0).category != "trusted"


def test_the_grid_does_not_matter():
    spectrum = rfft3(body_map(BOX)) * soft_lowpass_weights(BOX, 10, 3)
    coarse = irfft3(spectrum.astype(np.complex64), (BOX,) * 3)
    fine = zoom(coarse, 2, order=3, grid_mode=True, mode="grid-wrap")
    both = [check_reference(v, p, 30.0).agreement for v, p in ((coarse, PIXEL), (fine, PIXEL / 2))]
    assert both[1] == pytest.approx(both[0], abs=0.03)


def test_too_few_shells_leave_it_in_doubt():
    found = check_reference(body_map(16), 4.0, 60.0)
    assert found.n_shells < 2
    assert found.category == "doubtful"


def test_an_inverted_map_is_not_trusted():
    assert check_reference(-body_map(BOX), PIXEL, 30.0).category != "trusted"
