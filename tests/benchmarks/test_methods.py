"""Methods of the quality benchmark."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest
import torch

from benchmarks.quality import METHODS, CorrectedMaps, Method, Training, register
from benchmarks.quality.published import amplitude_matched, published_measurement, recombine_published
from spisonet.errors import SpisonetError
from spisonet.fourier.grids import radius_rfft, rfft3
from spisonet.fourier.shells import shell_sums

SHORT = Training(1, 4, cube_size=16, filter_base=4, published_filter_base=4)


@pytest.fixture
def registry(monkeypatch):
    """The registry, restored after the test."""
    monkeypatch.setattr("benchmarks.quality.methods.METHODS", dict(METHODS))


def correct(name, case, folder):
    return METHODS[name].correct(case, SHORT, folder)


@pytest.mark.usefixtures("registry")
def test_a_method_can_be_added_once():
    method = Method("mine", lambda case, training, folder: CorrectedMaps(case.half1, case.half2))
    assert register(method) is method
    with pytest.raises(SpisonetError, match="mine"):
        register(method)


def test_a_method_without_a_full_map_has_the_mean_of_its_halves():
    first, second, full = (np.full((2, 2, 2), value, np.float32) for value in (1, 3, 7))
    assert (CorrectedMaps(first, second).full_or_mean == 2).all()
    assert (CorrectedMaps(first, second, full).full_or_mean == 7).all()


def test_the_input_is_not_changed(cone_case, tmp_path):
    maps = correct("input", cone_case, tmp_path)
    assert np.array_equal(maps.half1, cone_case.half1)
    assert np.array_equal(maps.full_or_mean, cone_case.average)


def test_the_lowpass_filter_ends_at_the_resolution(cone_case, tmp_path):
    maps = correct("lowpass", cone_case, tmp_path)
    found, before = rfft3(maps.half2), rfft3(cone_case.half2)
    edge = cone_case.box * cone_case.voxel_size_angstrom / cone_case.resolution_angstrom
    radius = radius_rfft(cone_case.half2.shape)
    assert np.abs(found - before)[radius <= edge].max() < 1e-3
    assert np.abs(found[radius > edge + 3]).max(initial=0) < 1e-3


def test_deconvolution_corrects_the_halves_and_the_full_map(cone_case, tmp_path):
    maps = correct("deconvolve", cone_case, tmp_path)
    assert not np.array_equal(maps.half1, cone_case.half1)
    assert not np.array_equal(maps.half2, maps.half1)
    assert maps.full is not None


@pytest.fixture
def commands(monkeypatch):
    """Note command lines, which fail."""
    lines = []

    def run(words, **_options):
        lines.append(words)
        return subprocess.CompletedProcess(words, 1, stdout="", stderr="Error:\nmask.mrc is empty.\n")

    monkeypatch.setattr(subprocess, "run", run)
    return lines


def test_commands_get_mask_resolution_and_training(cone_case, tmp_path, commands):
    with pytest.raises(SpisonetError, match=r"reconstruct failed on .*: mask\.mrc is empty\."):
        correct("self-training", cone_case, tmp_path)
    words = commands[0]
    assert words.pop(8) == "--no-report"
    options = dict(zip(words[4::2], words[5::2], strict=True))
    assert words[1:4] == ["reconstruct", *(str(cone_case.folder / f"half{n}.mrc") for n in (1, 2))]
    assert options == {
        "--mask": str(cone_case.folder / "mask.mrc"),
        "--limit_res": str(cone_case.resolution_angstrom),
        "--filter_base": "4",
        "--cube_size": "16",
        "--epochs": "1",
        "--n_subvolume": "4",
        "--seed": "0",
        "--output_dir": str(tmp_path / "self-training"),
    }


def test_the_published_method_trains_once(cone_case, tmp_path):
    raw = correct("published-raw", cone_case, tmp_path)
    recombined = correct("published", cone_case, tmp_path)
    assert recombined.seconds == raw.seconds > 0
    assert not np.array_equal(raw.half1, recombined.half1)
    assert np.array_equal(correct("published-raw", cone_case, tmp_path).half2, raw.half2)


def test_published_data_are_normalised_over_the_box(cone_case):
    halves = [3 * cone_case.half1 + 2, cone_case.half2]
    measurement = published_measurement(halves, cone_case.mask, 4.0, 12.0, torch.device("cpu"))
    assert measurement.data.mean(dim=(1, 2, 3)).abs().max() < 1e-5
    assert measurement.data.std(dim=(1, 2, 3)).numpy() == pytest.approx([1, 1], abs=1e-3)
    weight = measurement.fsc_weight_rfft.numpy()
    assert weight.min() == 0
    assert weight[0, 0, 4] > 0.9  # measured, along x
    assert weight[0, 0, 4] > weight[4, 0, 0]  # missing, along z


def test_recombination_matches_amplitudes_and_keeps_the_input_beyond_the_limit(cone_case):
    n, limit = cone_case.box, 10
    prediction = 5 * cone_case.truth
    recombined = recombine_published(prediction, cone_case.half1, cone_case.mask, limit)
    assert recombined.std() == pytest.approx(cone_case.half1.std(), rel=1e-3)
    radius = radius_rfft((n, n, n))
    ratio = rfft3(recombined)[radius > limit + 1] / (rfft3(cone_case.half1)[radius > limit + 1] + 1e-9)
    present = np.abs(rfft3(cone_case.half1)[radius > limit + 1]) > 1
    assert np.ptp(np.abs(ratio[present])) < 1e-2
    ones = np.ones_like(cone_case.mask)
    found, expected = (
        shell_sums(np.abs(rfft3(volume)), n)
        for volume in (amplitude_matched(prediction, cone_case.half1, ones), cone_case.half1)
    )
    assert found[:-1] == pytest.approx(expected[:-1], rel=1e-3)
