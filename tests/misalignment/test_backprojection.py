"""Reconstruction from accumulators: against insertion by hand, and against RELION's own program."""

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
from tests.misalignment.accumulators import back_projector_of_map, blob_map, insert_samples, write_call


def test_uniform_accumulators_give_the_map_without_a_prior():
    truth = blob_map(24)
    for padding in (1, 2):
        found = back_projector_of_map(truth, padding, r_max=11).reconstruct(regularised=False)
        assert np.corrcoef(found.ravel(), truth.ravel())[0, 1] > 0.995
        centre = slice(6, 18)
        inner = (centre, centre, centre)
        assert found[inner].sum() == pytest.approx(truth[inner].sum(), rel=0.05)


def test_the_prior_attenuates_by_the_data_weight():
    back_projector = back_projector_of_map(blob_map(24), 1, r_max=11, weight=3.0, tau2=0.5)
    weight = back_projector.data_weight_rfft()
    inside = radius_rfft((24, 24, 24)) < 10
    assert weight[inside] == pytest.approx(3 * 0.5 / (1 + 3 * 0.5), abs=1e-6)
    plain, regularised = (rfft3(back_projector.reconstruct(regularised=flag)) for flag in (False, True))
    inside[0, 0, 0] = False
    strong = inside & (np.abs(plain) > 0.05 * np.abs(plain[inside]).max())
    assert np.abs(regularised[strong] / plain[strong]) == pytest.approx(0.6, abs=0.05)


@given(seed=st.integers(0, 50), padding=st.sampled_from([2, 3]))
def test_padded_weights_sum_to_those_of_an_unpadded_insertion(seed, padding):
    rng = np.random.default_rng(seed)
    box, r_max = 12, 5
    positions = rng.uniform(-2.2, 2.2, (40, 3))
    weights = rng.uniform(0.5, 2, 40)
    coarse = insert_samples(positions, weights, box, 1)
    fine = insert_samples(positions, weights, box, padding)
    back_projector = BackProjector(
        np.zeros(fine.shape, np.complex64), fine, np.ones(box // 2 + 1), box, padding, r_max
    )
    assert back_projector.unpadded_weight_rfft == pytest.approx(coarse, abs=1e-4)


@given(seed=st.integers(0, 100), scale=st.floats(1e-3, 1e3))
def test_data_weights_are_fractions_and_grow_with_the_data(seed, scale):
    rng = np.random.default_rng(seed)
    back_projector = back_projector_of_map(
        blob_map(16), 1, r_max=7, weight=rng.uniform(0, scale, (16, 16, 9))
    )
    weight = back_projector.data_weight_rfft()
    assert (weight >= 0).all()
    assert (weight <= 1).all()
    more = back_projector_of_map(blob_map(16), 1, r_max=7, weight=2 * back_projector.weight_rfft)
    assert (more.data_weight_rfft() >= weight).all()


def test_the_data_weight_is_zero_from_r_max_on():
    weight = back_projector_of_map(blob_map(16), 1, r_max=5).data_weight_rfft()
    assert not weight[radius_rfft((16, 16, 16)) >= 5].any()


def test_coefficients_without_data_stay_empty_with_a_zero_prior():
    back_projector = back_projector_of_map(blob_map(16), 1, r_max=7, tau2=0.0)
    kz, ky, kx = frequency_axes_rfft((16, 16, 16))
    seen = np.abs(kz) + 0 * ky + 0 * kx < 3
    emptied = BackProjector(
        back_projector.data_rfft * seen, back_projector.weight_rfft * seen, back_projector.tau2, 16, 1, 7
    )
    for regularised in (True, False):
        for gridding in (True, False):
            power = np.abs(rfft3(emptied.reconstruct(regularised, gridding))) ** 2
            away = np.abs(kz) + 0 * ky + 0 * kx > 6  # mask and interpolation spread over some voxels
            assert power[away].mean() < 1e-3 * power[seen].mean()


@pytest.mark.relion
@pytest.mark.parametrize("padding", [1, 2])
def test_relion_reconstructs_the_same(tmp_path, padding):
    rng = np.random.default_rng(3)
    box = 24
    positions = rng.uniform(-9, 9, (4000, 3)) * (1, 1, 0.3)  # some coefficients have no weight at all
    weight = insert_samples(positions, rng.uniform(1, 2, 4000), box, padding)
    exact = back_projector_of_map(blob_map(box), padding, r_max=9, weight=weight)
    falling = 0.5 * np.exp(-np.arange(box // 2 + 1) / 3)
    back_projector = replace(exact, tau2=falling, tau2_fudge=2.0)
    star = write_call(tmp_path, "run_it003_half1_class001", back_projector)
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
        mine = back_projector.reconstruct(regularised, gridding)
        assert np.abs(mine - theirs).max() < 1e-5 * np.abs(theirs).max()
