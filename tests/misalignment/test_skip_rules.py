"""When a refinement iteration is skipped."""

from __future__ import annotations

import numpy as np
import pytest

from spisonet.misalignment.anisotropy_check import check_anisotropy
from spisonet.misalignment.settings import MisalignmentSettings
from spisonet.misalignment.skip_rules import skip_reason
from tests.misalignment.accumulators import back_projector_of_map, blob_map, uneven_weight

FSC = np.concatenate([np.ones(8), np.linspace(1, 0, 9)])  # 0.5 at shell 12, 0.143 just before 15


def check(weight, fsc=FSC):
    return check_anisotropy(back_projector_of_map(blob_map(32), 1, 15, weight), fsc, 4.0)


def test_even_views_are_skipped_and_uneven_ones_are_not():
    assert skip_reason(check(1.0), MisalignmentSettings(), 3).code == "even_views"
    noisy = np.random.default_rng(0).gamma(8, size=(32, 32, 17)) / 8
    assert skip_reason(check(noisy), MisalignmentSettings(), 3).code == "even_views"
    assert skip_reason(check(uneven_weight(32, 40)), MisalignmentSettings(), 3) is None


def test_published_thresholds_replace_the_decision_by_views():
    uneven, even = check(uneven_weight(32, 40)), check(1.0)
    thresholds = MisalignmentSettings(start_healpix=3, start_resolution=15.0)
    assert skip_reason(uneven, thresholds, 2).code == "before_start_healpix"
    assert skip_reason(even, thresholds, 3) is None
    reason = skip_reason(uneven, MisalignmentSettings(start_resolution=9.0), 3)
    assert reason.code == "before_start_resolution"
    assert "ISONET_START_RESOLUTION=9" in reason.message


def test_a_low_resolution_is_skipped():
    coarse = np.where(np.arange(17) < 4, 1.0, 0.0)
    reason = skip_reason(check(uneven_weight(32, 40), coarse), MisalignmentSettings(), 3)
    assert reason.code == "resolution_too_low"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ({"joins_halves": True}, "final_iteration"),
        ({"is_body": True}, "multi_body"),
        ({"is_of_subtomograms": True}, "subtomograms"),
    ],
)
def test_iterations_that_are_never_corrected(kind, code):
    assert skip_reason(check(uneven_weight(32, 40)), MisalignmentSettings(), 3, **kind).code == code


def test_subtomograms_are_corrected_on_request():
    settings = MisalignmentSettings(subtomograms=True)
    assert skip_reason(check(uneven_weight(32, 40)), settings, 3, is_of_subtomograms=True) is None
