"""Check of the anisotropy of an iteration."""

from __future__ import annotations

import numpy as np
import pytest

from spisonet.misalignment.anisotropy_check import check_anisotropy
from tests.misalignment.accumulators import back_projector_of_map, blob_map, uneven_weight

FSC = np.concatenate([np.ones(8), np.linspace(1, 0, 9)])  # 0.5 at shell 12, 0.143 just before 15


def check(weight, fsc=FSC, **words):
    return check_anisotropy(back_projector_of_map(blob_map(32), 1, 15, weight), fsc, 4.0, **words)


def test_the_limit_is_where_the_fsc_falls_below_its_threshold():
    found = check(1.0)
    assert found.limit_shell == 14
    assert found.resolution_angstrom == pytest.approx(128 / 14)
    assert check(1.0, fsc_05=True).limit_shell == 12


def test_without_an_fsc_the_prior_sets_the_limit():
    back_projector = back_projector_of_map(blob_map(32), 1, 15, 1.0, tau2=1.0)
    back_projector.tau2[9:] = 1e-3
    found = check_anisotropy(back_projector, np.zeros(17), 4.0)
    assert found.limit_shell == 8


def test_the_undersampled_fraction_is_the_missing_cone():
    share = 1 - np.cos(np.radians(40))
    assert check(uneven_weight(32, 40)).undersampled_fraction == pytest.approx(share, abs=0.05)
