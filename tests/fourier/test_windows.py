"""Soft edges of filters and masks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spisonet.fourier.grids import distance_from_centre, radius_rfft
from spisonet.fourier.windows import cosine_edge, soft_lowpass_weights, soft_sphere

boxes = st.sampled_from([16, 17, 24])


def test_cosine_edge_passes_a_half_in_the_middle():
    window = cosine_edge(np.array([0, 3, 4, 5, 6, 7, 9]), 3, 4)
    quarter = 0.5 + 0.5 * np.cos(np.pi / 4)
    np.testing.assert_allclose(window, [1, 1, quarter, 0.5, 1 - quarter, 0, 0], atol=1e-12)


def test_no_width_is_a_sharp_edge():
    np.testing.assert_array_equal(cosine_edge(np.array([2.9, 3.0, 3.1]), 3, 0), [1, 1, 0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cosine_edge_keeps_the_type(dtype):
    assert cosine_edge(np.arange(4, dtype=dtype), 1, 2).dtype == dtype


@given(n=boxes, shell=st.floats(0, 12), width=st.floats(0, 6))
@settings(deadline=None)
def test_soft_lowpass_falls_from_one_to_zero(n, shell, width):
    weights, radius = soft_lowpass_weights(n, shell, width), radius_rfft((n, n, n))
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights[radius <= shell], 1, atol=1e-6)
    np.testing.assert_allclose(weights[radius >= shell + width + 1e-3], 0, atol=1e-6)
    order = np.argsort(radius, axis=None)
    assert (np.diff(weights.ravel()[order]) <= 1e-6).all()


@pytest.mark.parametrize("n", [16, 17])
def test_soft_sphere_is_centred_and_ends(n):
    mask, distance = soft_sphere(n, 4, 3), distance_from_centre(n)
    assert mask.dtype == np.float32
    np.testing.assert_array_equal(mask[distance <= 4], 1)
    np.testing.assert_allclose(mask[distance >= 7], 0, atol=1e-7)
    assert mask[n // 2, n // 2, n // 2 + 5] == pytest.approx(0.75)
