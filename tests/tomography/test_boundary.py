"""Regions inside the contours of a boundary."""

from __future__ import annotations

import numpy as np
import pytest

from spisonet.tomography.boundary import inside_contours


def test_contours_on_two_planes_enclose_the_region_between_them():
    square = np.array([(5, 5, 4), (15, 5, 4), (15, 12, 4), (5, 12, 4)], dtype=float)
    high = square * (1, 1, 0) + (0, 0, 9)
    contours = [square, high]
    mask = np.stack(list(inside_contours(contours, (14, 20, 20))))
    assert mask[6, 8, 10]
    assert not mask[6, 8, 3]
    assert not mask[2].any()
    assert not mask[11].any()
    alone = np.stack(list(inside_contours(contours[:1], (14, 20, 20))))
    assert alone[0, 8, 10]  # a single contour applies to all planes
    half = np.stack(list(inside_contours(contours, (7, 10, 10), 2)))
    assert half[3, 4, 5]
    assert not half[1].any()


def test_two_last_points_of_a_boundary_are_its_first_and_last_plane():
    square = [(5, 5, 20), (15, 5, 20), (15, 12, 20), (5, 12, 20)]
    clicks = [(1, 1, 8), (2, 2, 30)]
    in_one = [np.array(square + clicks, dtype=np.float32)]
    apart = [np.array(part, dtype=np.float32) for part in (square, clicks[:1], clicks[1:])]
    for contours in (in_one, apart):
        mask = np.stack(list(inside_contours(contours, (40, 20, 20))))
        assert np.flatnonzero(mask.any(axis=(1, 2))).tolist() == list(range(8, 31))
        assert mask[20].sum() == mask[9].sum() == pytest.approx(70, abs=20)
