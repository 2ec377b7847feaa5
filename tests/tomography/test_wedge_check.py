"""Tilt axes and tilt ranges measured from power spectra, compared with those of the table."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from spisonet.errors import SpisonetError
from spisonet.io.tomograms import open_tomogram
from spisonet.tomography.tomogram import Tomogram
from spisonet.tomography.wedge_check import check_wedge, check_wedges, log_verdict, require_agreement
from tests.tomography.simulation import backprojection, slab_of_rods, with_missing_wedge, write_mrc

SHAPE = (48, 56, 64)
RANGE = (-50.0, 66.0)


@pytest.fixture(scope="module")
def data():
    return backprojection(slab_of_rods(SHAPE, 30, 0), 2.0, 1, RANGE)


def tomogram(folder, values, tilt_range=RANGE, name="t"):
    path = write_mrc(folder / "t.mrc", np.ascontiguousarray(values, np.float32))
    return Tomogram(name, (open_tomogram(path),), tilt_range, None, None, 1)


def check(folder, values, tilt_range=RANGE):
    return check_wedge(tomogram(folder, values, tilt_range))


@pytest.mark.parametrize("tilt_range", [(-60.0, 60.0), (-50.0, 66.0), (-45.0, 45.0)])
def test_axis_and_range_are_measured(tmp_path, tilt_range):
    values = backprojection(slab_of_rods(SHAPE, 30, 0), 2.0, 1, tilt_range)
    result = check(tmp_path, values, tilt_range)
    assert (result.result, result.fit.axis) == ("agrees", "y")
    assert result.fit.tilt_range_degrees == pytest.approx(tilt_range, abs=2.5)
    assert result.fit.power_ratio < 0.05
    assert "in agreement with the table" in result.verdict
    require_agreement([result])


@pytest.mark.parametrize(
    ("told", "expected", "sentence"),
    [
        ((-66.0, 50.0), "sign", "exchange the two tilts and their signs (-51 to 6"),
        ((-70.0, 70.0), "range", "set rlnTiltMin and rlnTiltMax to -51 and 6"),
        ((-40.0, 40.0), "range", "set rlnTiltMin and rlnTiltMax to -51 and 6"),
    ],
)
def test_a_wrong_tilt_range_is_refused_with_the_one_that_fits(tmp_path, data, told, expected, sentence):
    result = check(tmp_path, data, told)
    assert result.result == expected
    with pytest.raises(SpisonetError, match="or give --trust_table True") as refused:
        require_agreement([result])
    assert sentence in str(refused.value)


def test_a_tolerated_difference_is_stated_and_a_guess_corrected(tmp_path, data, caplog):
    result = check(tmp_path, data, (-56.0, 62.0))
    assert result.result == "agrees"
    assert "the table (-56 to 62° about y) differs by up to" in result.verdict
    assert "set rlnTiltMin" not in result.verdict
    caplog.set_level(logging.INFO, logger="spisonet")
    log_verdict(result)
    log_verdict(replace(result, range_is_default=True))
    stated, guessed = caplog.records
    assert (stated.levelno, guessed.levelno) == (logging.INFO, logging.WARNING)
    assert "less than what is refused; set rlnTiltMin and rlnTiltMax to -51 and 6" in guessed.getMessage()


@pytest.mark.parametrize(
    ("order", "axis", "sentence"),
    [
        ((0, 2, 1), "x", "rotate the volume by 90° about z"),
        ((2, 0, 1), "x", "rotate the volume such that the tilt axis is y"),  # beam along y
        ((1, 0, 2), "z", "rotate the volume by 90° about x (IMOD: trimvol -rx)"),
        ((1, 2, 0), "z", "rotate the volume such that the tilt axis is y"),  # beam along x
    ],
)
def test_a_wrong_tilt_axis_is_named(tmp_path, data, order, axis, sentence):
    result = check(tmp_path, data.transpose(order))
    assert (result.result, result.fit.axis) == ("axis", axis)
    assert result.assumed_power_ratio > 5 * result.fit.power_ratio
    assert sentence in result.verdict


def test_an_inclined_tilt_axis_is_measured(tmp_path, data):
    inclined = ndimage.rotate(data, 15, axes=(1, 2), reshape=False, order=1, mode="reflect")
    result = check(tmp_path, inclined)
    assert result.result == "axis"
    assert result.fit.axis_offset_degrees == pytest.approx(15, abs=2)
    assert "about y, inclined by" in result.verdict


def test_low_pass_filtered_bytes_are_measured(tmp_path, data):
    smooth = ndimage.gaussian_filter(data, 1.0)
    quantised = np.rint(40 * smooth / smooth.std())
    assert check(tmp_path, quantised).result == "agrees"


def keep(half_width, edge):
    """Return a low-pass filter, constant to the first frequency, with a Gaussian edge."""
    return lambda frequency: np.exp(-0.5 * (np.maximum(frequency - half_width, 0.0) / edge) ** 2)


@pytest.fixture(scope="module")
def wedge_noise():
    return with_missing_wedge(np.random.default_rng(1).normal(size=(64, 64, 64)), 0.0, 0, RANGE)


@pytest.mark.parametrize(
    ("low_pass", "result"),
    [
        (keep(0.2, 1e-6), "agrees"),
        (keep(0.15, 0.03), "agrees"),
        (keep(0.0, 1 / (2 * np.pi * 2.5)), "agrees"),  # Gaussian of 2.5 voxels
        (keep(0.0, 1 / (2 * np.pi * 5)), "filled"),
        (keep(0.1, 1e-6), "filled"),
    ],
)
@pytest.mark.parametrize("tilt_range", [RANGE, (-66.0, 50.0)])
def test_frequencies_that_a_filter_removed_are_left_out(tmp_path, wedge_noise, low_pass, result, tilt_range):
    frequency = np.sqrt(sum(f**2 for f in np.meshgrid(*[np.fft.fftfreq(64)] * 3)))
    filtered = np.fft.ifftn(np.fft.fftn(wedge_noise) * low_pass(frequency)).real
    expected = "sign" if result == "agrees" and tilt_range != RANGE else result
    assert check(tmp_path, filtered, tilt_range).result == expected


@pytest.mark.parametrize("sigma", [2.5, 3.0])
def test_smoothed_tomograms_are_measured(tmp_path, wedge_noise, sigma):
    assert check(tmp_path, ndimage.gaussian_filter(wedge_noise, sigma)).result in {"agrees", "filled"}


@pytest.mark.parametrize("shape", [(4, 4, 4), (8, 8, 8), (9, 9, 9), (64, 9, 64)])
def test_small_tomograms_cannot_be_measured(tmp_path, shape):
    result = check(tmp_path, np.random.default_rng(3).normal(size=shape))
    assert (result.result, result.fit, result.assumed_power_ratio) == ("filled", None, None)
    assert "cannot be measured: the tomogram is constant, too small" in result.verdict


def test_every_contradiction_is_stated_once(tmp_path, data, caplog):
    ranges = {"first": (-70.0, 70.0), "second": RANGE, "third": (-40.0, 40.0)}
    tomograms = [tomogram(tmp_path, data, tilt_range, name) for name, tilt_range in ranges.items()]
    caplog.set_level("INFO")
    with pytest.raises(SpisonetError, match=r"^first: .* 1 more tomograms differ"):
        check_wedges(tomograms, refuse=True)
    logged = [record.getMessage().split(":")[0] for record in caplog.records]
    assert logged == ["second", "third"]  # the first is in the error


@pytest.mark.parametrize("kind", ["corrected", "noise", "constant"])
def test_a_filled_wedge_cannot_be_measured(tmp_path, kind):
    rng = np.random.default_rng(3)
    filled = {
        "corrected": slab_of_rods(SHAPE, 30, 0),
        "noise": rng.normal(size=SHAPE),
        "constant": np.ones(SHAPE),
    }
    result = check(tmp_path, filled[kind], (-60.0, 60.0))
    assert result.result == "filled"
    assert "cannot be measured" in result.verdict
    require_agreement([result])
