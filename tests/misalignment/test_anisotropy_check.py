"""When an iteration is corrected."""

from __future__ import annotations

import numpy as np
import pytest

from spisonet.misalignment.anisotropy_check import check_anisotropy, skip_reason
from spisonet.misalignment.settings import MisalignmentSettings
from tests.misalignment.sums import blob_map, sums_of_map, uneven_weight

FSC = np.concatenate([np.ones(8), np.linspace(1, 0, 9)])  # 0.5 at shell 12, 0.143 just before 15


def assessed(weight, fsc=FSC, **words):
    return check_anisotropy(sums_of_map(blob_map(32), 1, 15, weight), fsc, 4.0, **words)


def test_the_limit_is_where_the_fsc_ends():
    found = assessed(1.0)
    assert found.limit_shell == 14
    assert found.resolution_angstrom == pytest.approx(128 / 14)
    assert assessed(1.0, fsc_05=True).limit_shell == 12


def test_without_an_fsc_the_prior_tells_the_limit():
    sums = sums_of_map(blob_map(32), 1, 15, 1.0, tau2=1.0)
    sums.tau2[9:] = 1e-3
    found = check_anisotropy(sums, np.zeros(17), 4.0)
    assert found.limit_shell == 8


def test_even_views_are_left_alone_and_uneven_ones_are_not():
    assert "even" in skip_reason(assessed(1.0), MisalignmentSettings(), 3)
    noisy = np.random.default_rng(0).gamma(8, size=(32, 32, 17)) / 8
    assert skip_reason(assessed(noisy), MisalignmentSettings(), 3) is not None
    assert skip_reason(assessed(uneven_weight(32, 40)), MisalignmentSettings(), 3) is None


def test_a_sparse_share_is_the_cone_that_is_missing():
    share = 1 - np.cos(np.radians(40))
    assert assessed(uneven_weight(32, 40)).undersampled_fraction == pytest.approx(share, abs=0.05)


def test_published_gates_take_the_place_of_the_rule():
    uneven, even = assessed(uneven_weight(32, 40)), assessed(1.0)
    gates = MisalignmentSettings(start_healpix=3, start_resolution=15.0)
    assert "HEALPix" in skip_reason(uneven, gates, 2)
    assert skip_reason(even, gates, 3) is None
    assert "START_RESOLUTION" in skip_reason(uneven, MisalignmentSettings(start_resolution=9.0), 3)


def test_a_resolution_near_dc_teaches_nothing():
    coarse = np.where(np.arange(17) < 4, 1.0, 0.0)
    assert "coarse" in skip_reason(assessed(uneven_weight(32, 40), coarse), MisalignmentSettings(), 3)
