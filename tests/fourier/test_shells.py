"""Shell sums, FSC and resolutions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spisonet.fourier.grids import rfft3
from spisonet.fourier.shells import (
    fourier_shell_correlation,
    resolution_at_threshold,
    shell_counts,
    shell_sums,
    threshold_crossing,
)

seeds = st.integers(0, 2**32 - 1)
boxes = st.integers(6, 17)


def noise_spectrum(n: int, seed: int) -> np.ndarray:
    return rfft3(np.random.default_rng(seed).standard_normal((n, n, n), dtype=np.float32))


def full_fsc(volume1: np.ndarray, volume2: np.ndarray) -> np.ndarray:
    """FSC by its definition, over the whole spectrum."""
    n = len(volume1)
    spectrum1, spectrum2 = np.fft.fftn(volume1), np.fft.fftn(volume2)
    axis = np.rint(np.fft.fftfreq(n) * n)
    shell = np.rint(np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)).astype(int)
    fsc = np.ones(n // 2 + 1)
    for number in range(1, n // 2 + 1):
        part1, part2 = spectrum1[shell == number], spectrum2[shell == number]
        power = (np.abs(part1) ** 2).sum() * (np.abs(part2) ** 2).sum()
        fsc[number] = (part1 * part2.conj()).real.sum() / np.sqrt(power)
    return fsc


@pytest.mark.parametrize("n", [16, 17])
@pytest.mark.parametrize("workers", [1, 2])
def test_fsc_agrees_with_its_definition(n: int, workers: int) -> None:
    generator = np.random.default_rng(n)
    common = generator.standard_normal((n, n, n))
    halves = [(common + generator.standard_normal((n, n, n))).astype(np.float32) for _ in range(2)]
    fsc = fourier_shell_correlation(rfft3(halves[0]), rfft3(halves[1]), n, workers)
    np.testing.assert_allclose(fsc, full_fsc(*halves), atol=1e-5)


@given(n=boxes, seed=seeds)
@settings(max_examples=20, deadline=None)
def test_fsc_of_a_map_with_itself_is_one(n: int, seed: int) -> None:
    spectrum = noise_spectrum(n, seed)
    np.testing.assert_allclose(fourier_shell_correlation(spectrum, spectrum, n), 1, atol=1e-6)


@given(n=boxes, seed=seeds, scale=st.floats(1e-6, 1e6))
@settings(max_examples=20, deadline=None)
def test_fsc_is_symmetric_and_free_of_scale(n: int, seed: int, scale: float) -> None:
    half1, half2 = noise_spectrum(n, seed), noise_spectrum(n, seed + 1)
    fsc = fourier_shell_correlation(half1, half2, n)
    assert np.all(np.abs(fsc) <= 1 + 1e-6)
    np.testing.assert_allclose(fourier_shell_correlation(half2, half1, n), fsc, atol=1e-6)
    np.testing.assert_allclose(
        fourier_shell_correlation(np.complex64(scale) * half1, half2, n), fsc, atol=1e-5
    )


def test_fsc_without_power_is_zero() -> None:
    empty = np.zeros((8, 8, 5), dtype=np.complex64)
    np.testing.assert_array_equal(fourier_shell_correlation(empty, empty, 8), [1, 0, 0, 0, 0])


@pytest.mark.parametrize("n", [8, 9])
def test_shell_counts_cover_the_whole_spectrum(n: int) -> None:
    axis = np.rint(np.fft.fftfreq(n) * n)
    shell = np.rint(np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)).astype(int)
    np.testing.assert_array_equal(shell_counts(n), np.bincount(shell.ravel())[: n // 2 + 1])


def test_shell_sums_are_linear() -> None:
    n = 12
    values = np.random.default_rng(0).random((n, n, n // 2 + 1), dtype=np.float32)
    np.testing.assert_allclose(shell_sums(3 * values, n), 3 * shell_sums(values, n), rtol=1e-6)


@pytest.mark.parametrize(
    ("fsc", "crossing"),
    [
        ([1, 1, 0.5, 0, 0], 2 + (0.5 - 0.143) / 0.5),
        ([1, 1, 1, 1, 1], None),
        ([1, 0, 0, 0, 0], 1 - 0.143),
        ([1, 1, 0.1, 1, 1], None),  # a dip from which the curve recovers
        ([1, 1, 0, 0, 0.9, 0.8, 0.5, 0, 0], 6 + (0.5 - 0.143) / 0.5),  # a longer one
        ([1, 1, 0.5, 0, 0, 0.3, 0, 0, 0], 2 + (0.5 - 0.143) / 0.5),  # a peak of the noise
    ],
)
def test_resolution_is_interpolated_at_the_crossing_with_the_largest_sum_before_it(
    fsc: list[float], crossing: float | None
) -> None:
    curve = np.array(fsc)
    assert threshold_crossing(curve, 0.143) == (None if crossing is None else pytest.approx(crossing))
    last = len(fsc) - 1 if crossing is None else crossing
    assert resolution_at_threshold(curve, 0.143, 100.0) == pytest.approx(100 / last)
