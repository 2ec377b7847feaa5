"""The FSC measured among coefficients of equal predicted SSNR."""

from __future__ import annotations

import numpy as np
import pytest

from spisonet.analysis.measured_fsc import measure_fsc_by_ssnr
from spisonet.fourier.grids import frequency_axes_rfft, radius_rfft, rfft3

N, FIRST, LAST = 40, 3, 18


def spectra(fsc: np.ndarray, seed: int = 0, amplitude: np.ndarray | float = 1.0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    signal, *noise = (rfft3(rng.normal(size=(N, N, N)).astype(np.float32)) for _ in range(3))
    return [(amplitude * (np.sqrt(fsc) * signal + np.sqrt(1 - fsc) * n)).astype(np.complex64) for n in noise]


def band() -> np.ndarray:
    radius = radius_rfft((N, N, N))
    return (radius >= FIRST + 2) & (radius <= LAST - 1)


def axis_angle_cosine() -> np.ndarray:
    kz, _, _ = frequency_axes_rfft((N, N, N))
    return np.abs(kz) / np.maximum(radius_rfft((N, N, N)), 1)


def test_the_fsc_is_that_of_the_data_where_the_prediction_only_has_the_right_order():
    predicted = (30 * (1 - axis_angle_cosine()) + 0.01).astype(np.float32)
    true = np.clip(predicted / 30, 0, 1) ** 3  # falls much faster than SSNR / (1 + SSNR) of the prediction
    found = measure_fsc_by_ssnr(*spectra(true), predicted, FIRST, LAST)
    assert np.abs(found - true)[band()].mean() < 0.03
    assert np.abs(predicted / (1 + predicted) - true)[band()].mean() > 0.3


def test_amplified_noise_where_little_was_sampled_changes_nothing():
    predicted = (30 * (1 - axis_angle_cosine()) + 0.01).astype(np.float32)
    true = np.clip(predicted / 30, 0, 1)
    amplified = measure_fsc_by_ssnr(*spectra(true, amplitude=1 / np.sqrt(predicted)), predicted, FIRST, LAST)
    plain = measure_fsc_by_ssnr(*spectra(true), predicted, FIRST, LAST)
    assert np.abs(amplified - plain)[band()].mean() < 0.02


def test_noise_alone_is_not_measured():
    predicted = (30 * (1 - axis_angle_cosine()) + 0.01).astype(np.float32)
    found = measure_fsc_by_ssnr(*spectra(np.zeros_like(predicted)), predicted, FIRST, LAST)
    assert found[band()].mean() < 0.05


def test_it_increases_with_the_prediction_and_is_zero_in_other_shells():
    predicted = (30 * (1 - axis_angle_cosine()) + 0.01).astype(np.float32)
    found = measure_fsc_by_ssnr(*spectra(np.clip(predicted / 30, 0, 1)), predicted, FIRST, LAST)
    radius = np.rint(radius_rfft((N, N, N)))
    order = np.argsort(predicted[radius == 12])
    assert (np.diff(found[radius == 12][order]) >= 0).all()
    assert found[(radius < FIRST) | (radius > LAST)].max() == 0
    assert found.max() <= 1


@pytest.mark.parametrize("n", [16, 17])
def test_small_shells_are_measured_with_their_neighbours(n):
    rng = np.random.default_rng(1)
    half = rfft3(rng.normal(size=(n, n, n)).astype(np.float32))
    found = measure_fsc_by_ssnr(half, half, np.ones(half.shape, np.float32), 3, n // 2)
    assert found[np.rint(radius_rfft((n, n, n))) == 3].min() > 0.99
