"""Validations compared with the truth, and null tests."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.quality.nulls import domain_of, mirrored
from benchmarks.quality.trust import (
    KnownTruth,
    direction_agreement,
    recovery,
    recovery_in_mask,
    residual,
    voxel_agreement,
)
from spisonet.fourier.grids import irfft3, rfft3


@pytest.fixture
def known(cone_case):
    return KnownTruth.of_case(cone_case)


def test_recovery_is_that_of_the_missing_region(known):
    assert recovery(known.truth, known) == pytest.approx(1, abs=1e-6)
    assert recovery_in_mask(known.truth, known) == pytest.approx(1, abs=1e-6)
    assert abs(recovery(known.half1, known)) < 0.1
    # Without a mask nothing else counts.
    missing_only = irfft3(rfft3(known.truth) * known.empty_rfft, known.truth.shape)
    assert recovery(missing_only, known) == pytest.approx(1, abs=1e-6)


def test_an_attenuated_truth_has_no_residual(known):
    uneven = irfft3(rfft3(known.truth) * (1 + known.good_rfft), known.truth.shape)
    size = np.abs(known.truth).max()
    assert np.abs(residual(3 * known.truth, known)).max() < 0.05 * size
    assert np.abs(residual(uneven, known)).max() > 0.1 * size


def test_a_perfect_uncertainty_ranks_the_voxels(known):
    error = np.abs(residual(known.half1, known))
    found = voxel_agreement(known.half1, error, known)
    assert found["auc"] == pytest.approx(1)
    assert found["rms_error"] == pytest.approx(found["rms_uncertainty"])
    assert voxel_agreement(known.half1, -error, known)["auc"] == pytest.approx(0)


def test_expected_errors_are_compared_by_direction(known):
    empty = known.empty_rfft.astype(np.float32)
    found = direction_agreement(known.half1, empty, 1 - empty, known)
    assert found["direction_r"] > 0.7
    assert found["direction_auc"] > 0.95
    assert found["weight_auc"] > 0.95
    assert found["true_unmeasured"] < 0.4
    assert found["expected_unmeasured"] < 0.6
    wrong = direction_agreement(known.half1, 1 - empty, empty, known)
    assert wrong["direction_r"] < 0
    assert wrong["weight_auc"] < 0.5


def test_maps_are_mirrored_about_the_centre():
    volume = np.zeros((8, 8, 8), np.float32)
    volume[4, 4, 4] = volume[2, 3, 6] = 1
    image = mirrored(volume)
    assert image[4, 4, 4] == image[2, 3, 2] == 1
    assert np.array_equal(mirrored(image), volume)


def test_the_domain_is_at_the_end_of_the_particle():
    z, y, x = np.indices((32,) * 3) - 16
    rod = np.exp(-(x**2 + y**2) / 8 - (z / 9) ** 4).astype(np.float32)
    ball = domain_of(rod, 4.0)
    assert 0 < ball.sum() < 400
    centre = np.argwhere(ball > 0.5).mean(axis=0)
    assert centre[0] > 20
    assert centre[1:] == pytest.approx([16, 16], abs=1)
