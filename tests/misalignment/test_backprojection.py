"""Reconstruction from sums: against insertion by hand, and against RELION's own program."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spisonet.fourier.grids import frequency_axes_rfft, radius_rfft, rfft3
from spisonet.io.mrc import read_volume
from spisonet.misalignment.backprojection import BackProjector
from tests.misalignment.sums import blob_map, insert_samples, sums_of_map, write_call


def test_the_unregularised_map_of_evenly_weighted_sums_is_the_map():
    truth = blob_map(24)
    for padding in (1, 2):
        found = sums_of_map(truth, padding, last_shell=11).reconstruct(regularised=False)
        assert np.corrcoef(found.ravel(), truth.ravel())[0, 1] > 0.995
        centre = slice(6, 18)
        inner = (centre, centre, centre)
        assert found[inner].sum() == pytest.approx(truth[inner].sum(), rel=0.05)


def test_the_prior_attenuates_by_the_measurement_weight():
    sums = sums_of_map(blob_map(24), 1, last_shell=11, weight=3.0, tau2=0.5)
    weight = sums.measurement_weight()
    inside = radius_rfft((24, 24, 24)) < 10
    assert weight[inside] == pytest.approx(3 * 0.5 / (1 + 3 * 0.5), abs=1e-6)
    plain, regularised = (rfft3(sums.reconstruct(regularised=flag)) for flag in (False, True))
    inside[0, 0, 0] = False
    strong = inside & (np.abs(plain) > 0.05 * np.abs(plain[inside]).max())
    assert np.abs(regularised[strong] / plain[strong]) == pytest.approx(0.6, abs=0.05)


@given(seed=st.integers(0, 50), padding=st.sampled_from([2, 3]))
def test_padded_weights_are_gathered_to_what_unpadded_insertion_gives(seed, padding):
    rng = np.random.default_rng(seed)
    box, last_shell = 12, 5
    positions = rng.uniform(-2.2, 2.2, (40, 3))
    weights = rng.uniform(0.5, 2, 40)
    coarse = insert_samples(positions, weights, box, 1)
    fine = insert_samples(positions, weights, box, padding)
    sums = BackProjector(
        np.zeros(fine.shape, np.complex64), fine, np.ones(box // 2 + 1), box, padding, last_shell
    )
    assert sums.gathered_weight == pytest.approx(coarse, abs=1e-4)


@given(seed=st.integers(0, 100), scale=st.floats(1e-3, 1e3))
def test_weights_are_shares_and_grow_with_the_data(seed, scale):
    rng = np.random.default_rng(seed)
    sums = sums_of_map(blob_map(16), 1, last_shell=7, weight=rng.uniform(0, scale, (16, 16, 9)))
    weight = sums.measurement_weight()
    assert (weight >= 0).all()
    assert (weight <= 1).all()
    more = sums_of_map(blob_map(16), 1, last_shell=7, weight=2 * sums.weight_rfft)
    assert (more.measurement_weight() >= weight).all()


def test_nothing_is_known_beyond_the_sums():
    weight = sums_of_map(blob_map(16), 1, last_shell=5).measurement_weight()
    assert not weight[radius_rfft((16, 16, 16)) >= 5].any()


def test_empty_shells_and_a_zero_prior_give_a_finite_map():
    sums = sums_of_map(blob_map(16), 1, last_shell=7, tau2=0.0)
    kz, ky, kx = frequency_axes_rfft((16, 16, 16))
    seen = np.abs(kz) + 0 * ky + 0 * kx < 3
    emptied = BackProjector(sums.data_rfft * seen, sums.weight_rfft * seen, sums.tau2, 16, 1, 7)
    for regularised in (True, False):
        for gridding in (True, False):
            assert np.isfinite(emptied.reconstruct(regularised, gridding)).all()


@pytest.mark.relion
@pytest.mark.parametrize("padding", [1, 2])
def test_relion_reconstructs_the_same(tmp_path, padding):
    rng = np.random.default_rng(3)
    box = 24
    positions = rng.uniform(-9, 9, (4000, 3)) * (1, 1, 0.3)  # some coefficients have no weight at all
    weight = insert_samples(positions, rng.uniform(1, 2, 4000), box, padding)
    exact = sums_of_map(blob_map(box), padding, last_shell=9, weight=weight)
    falling = 0.5 * np.exp(-np.arange(box // 2 + 1) / 3)
    sums = replace(exact, tau2=falling, tau2_fudge=2.0)
    star = write_call(tmp_path, "run_it003_half1_class001", sums)
    for flags, regularised, gridding in (
        (["--skip_gridding"], True, False),
        ([], True, True),
        (["--skip_gridding", "--no_map"], False, False),
        (["--no_map"], False, True),
    ):
        words = ["relion_external_reconstruct", star.name, *flags, "--o", "theirs.mrc"]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        theirs = read_volume(tmp_path / "theirs.mrc", 1.0).data
        mine = sums.reconstruct(regularised, gridding)
        assert np.abs(mine - theirs).max() < 1e-5 * np.abs(theirs).max()
