"""Scores of maps against the truth of a case."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality import Case, ConeCase, Particle, score_map
from benchmarks.quality.scoring import scored_shells
from spisonet.fourier.grids import frequency_axes_rfft, irfft3, radius_rfft, rfft3

N, VOXEL_SIZE = 32, 4.0


@pytest.fixture
def case() -> Case:
    """A case whose mask is everything, with views that leave an empty and a weak region."""
    rng = np.random.default_rng(0)
    truth, noise1, noise2 = rng.normal(size=(3, N, N, N)).astype(np.float32)
    kz, ky, kx = np.broadcast_arrays(*frequency_axes_rfft((N, N, N)))
    cosine = np.abs(kz) / np.maximum(np.sqrt(kz**2 + ky**2 + kx**2), 1)
    sampling = np.select([cosine > 0.8, cosine > 0.5], [0.0, 0.1], 1.5).astype(np.float32)
    ones = np.ones_like(truth)
    return Case(
        *(Path(), ConeCase(Particle("noise", "noise.mrc", N, VOXEL_SIZE)), truth, truth + noise1),
        *(truth + noise2, ones, ones, sampling, VOXEL_SIZE, 9.0),
    )


def filtered(volume: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return irfft3((rfft3(volume) * weight).astype(np.complex64), volume.shape)


def test_the_truth_agrees_with_itself(case):
    score = score_map(case, case.truth)
    assert [*score.fsc.values(), *score.fine.values(), score.ccmask] == pytest.approx([1] * 9)
    assert (score.power, score.optimal_power) == pytest.approx((1, 1))


def test_shells_reach_from_25_angstrom_to_the_resolution(case):
    assert scored_shells(case) == (5, 14)
    first, last = scored_shells(case)
    radius = np.rint(radius_rfft((N, N, N)))
    noise = np.random.default_rng(1).normal(size=case.truth.shape).astype(np.float32)
    beyond = filtered(noise, 10 * ((radius < first) | (radius > last)))
    assert score_map(case, case.truth + beyond).fsc["all"] == pytest.approx(1, abs=1e-5)


def test_zones_are_scored_separately(case):
    empty = case.sampling_rfft == 0
    damaged = score_map(case, filtered(case.truth, np.where(empty, -0.5, 3.0)))
    assert damaged.fsc["empty"] == pytest.approx(-1)
    assert (damaged.fsc["weak"], damaged.fsc["good"]) == pytest.approx((1, 1))
    assert damaged.power == pytest.approx((0.5 / 3) ** 2, rel=1e-4)
    assert damaged.optimal_power == 0
    assert damaged.ccmask < 0.9


def test_the_fsc_is_that_of_signal_and_noise(case):
    score = score_map(case, case.half1)
    for zone in ("empty", "weak", "good", "all"):
        assert score.fsc[zone] == pytest.approx(0.5**0.5, abs=0.05)
    assert score.power == pytest.approx(1, abs=0.1)
    # The power with the smallest squared error: signal and noise are equal.
    assert score.optimal_power == pytest.approx(0.5, abs=0.05)
    average = score_map(case, case.average)
    assert average.fsc["all"] == pytest.approx((1 / 1.5) ** 0.5, abs=0.03)


def test_the_finer_half_of_the_shells_is_scored_too(case):
    first, last = scored_shells(case)
    radius = np.rint(radius_rfft((N, N, N)))
    coarse = score_map(case, filtered(case.truth, np.where(radius < (first + last) // 2, -1, 1)))
    assert coarse.fine["good"] == pytest.approx(1)
    assert coarse.fsc["good"] < 0.5


def test_a_case_without_empty_directions_has_no_score_for_them(case):
    even = Case(**{**vars(case), "sampling_rfft": np.ones_like(case.sampling_rfft)})
    score = score_map(even, even.half1)
    assert np.isnan([score.fsc["empty"], score.fsc["weak"], score.power, score.optimal_power]).all()
    assert score.fsc["good"] == score.fsc["all"]
