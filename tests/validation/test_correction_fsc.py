"""FSC curves of a correction."""

from __future__ import annotations

import numpy as np
import pytest

from spisonet.io.mrc import Volume
from spisonet.validation.correction_fsc import correction_fsc

N, VOXEL_SIZE = 24, 2.0


def volume(data: np.ndarray) -> Volume:
    return Volume(data.astype(np.float32), VOXEL_SIZE)


def white(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(N, N, N))


def test_curves_are_between_the_halves_and_between_before_and_after():
    half1, half2 = volume(white(0)), volume(white(1))
    same = volume(white(2))
    found = correction_fsc([half1, half2], [same, same], None)
    assert found.frequency_per_angstrom[-1] == pytest.approx(1 / (2 * VOXEL_SIZE))
    assert np.abs(found.halves_before[4:]).max() < 0.25
    assert found.halves_after == pytest.approx(1)
    assert len(found.before_and_after) == 2
    assert np.abs(found.before_and_after[0][4:]).max() < 0.25
    assert not found.masked


def test_outside_of_the_mask_nothing_counts():
    mask = (np.sum((np.indices((N, N, N)) - N // 2) ** 2, axis=0) < 8**2).astype(np.float32)
    signal = white(3) * mask
    halves = [volume(signal + 5 * (1 - mask) * white(seed)) for seed in (4, 5)]
    assert correction_fsc(halves, halves, mask).halves_before[2:].min() > 0.95
    assert correction_fsc(halves, halves, None).halves_before[4:].max() < 0.5


def test_a_single_map_has_no_curve_of_halves():
    found = correction_fsc([volume(white(6))], [volume(white(6))], None)
    assert found.halves_before is None
    assert found.halves_after is None
    assert found.before_and_after[0] == pytest.approx(1)
