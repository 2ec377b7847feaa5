"""Transforms, half spectra and centred cubes."""

import numpy as np
import pytest

from spisonet.fourier.grids import (
    centred_from_half,
    crop_or_pad_rfft,
    embed_odd_rfft,
    frequency_axes_rfft,
    half_from_centred,
    hermitian_multiplicity,
    irfft3,
    radius_rfft,
    rfft3,
    shell_index_rfft,
)

BOXES = [8, 9, 12, 15]


def symmetric_half(n: int, seed: int = 0) -> np.ndarray:
    """Power spectrum of a real map: a filter with Friedel symmetry."""
    generator = np.random.default_rng(seed)
    return (np.abs(np.fft.rfftn(generator.standard_normal((n, n, n)))) ** 2).astype(np.float32)


@pytest.mark.parametrize("n", BOXES)
def test_transform_round_trip_stays_in_single_precision(n: int) -> None:
    volume = np.random.default_rng(1).standard_normal((n, n, n), dtype=np.float32)
    spectrum = rfft3(volume)
    assert spectrum.dtype == np.complex64
    restored = irfft3(spectrum, volume.shape)
    assert restored.dtype == np.float32
    np.testing.assert_allclose(restored, volume, atol=1e-5)


@pytest.mark.parametrize("n", BOXES)
def test_frequencies_match_numpy(n: int) -> None:
    kz, ky, kx = frequency_axes_rfft((n, n, n))
    np.testing.assert_array_equal(kz.ravel(), np.rint(np.fft.fftfreq(n) * n))
    np.testing.assert_array_equal(ky.ravel(), kz.ravel())
    np.testing.assert_array_equal(kx.ravel(), np.arange(n // 2 + 1))


def test_shell_is_the_rounded_radius() -> None:
    shape = (10, 10, 10)
    shells = shell_index_rfft(shape)
    assert shells[0, 0, 0] == 0
    assert shells[1, 1, 1] == 2  # sqrt(3) = 1.73
    assert shells[-1, 0, 3] == 3  # sqrt(10) = 3.16
    np.testing.assert_array_equal(shells, np.rint(radius_rfft(shape)))


@pytest.mark.parametrize("n", BOXES)
def test_multiplicity_counts_every_voxel_once(n: int) -> None:
    assert hermitian_multiplicity(n).sum() * n * n == n**3


@pytest.mark.parametrize("n", BOXES)
def test_parseval(n: int) -> None:
    volume = np.random.default_rng(2).standard_normal((n, n, n), dtype=np.float32)
    power = (np.abs(rfft3(volume)) ** 2 * hermitian_multiplicity(n)).sum()
    assert power / n**3 == pytest.approx(float((volume**2).sum()), rel=1e-4)


@pytest.mark.parametrize("n", BOXES)
def test_centred_cube_is_the_shifted_full_spectrum(n: int) -> None:
    volume = np.random.default_rng(0).standard_normal((n, n, n))
    full = np.abs(np.fft.fftn(volume)) ** 2
    cube = centred_from_half(symmetric_half(n), n)
    np.testing.assert_allclose(cube, np.fft.fftshift(full), rtol=1e-5)
    centre = n // 2
    assert cube[centre, centre, centre] == pytest.approx(full[0, 0, 0], rel=1e-5)


@pytest.mark.parametrize("n", BOXES)
def test_half_and_centred_round_trip(n: int) -> None:
    half = symmetric_half(n)
    np.testing.assert_allclose(half_from_centred(centred_from_half(half, n)), half, rtol=1e-6)


@pytest.mark.parametrize("n", BOXES)
def test_half_of_any_cube_keeps_real_maps_real(n: int) -> None:
    cube = np.random.default_rng(3).random((n, n, n), dtype=np.float32)
    half = half_from_centred(cube)
    np.testing.assert_allclose(half_from_centred(centred_from_half(half, n)), half, atol=1e-6)


@pytest.mark.parametrize(("n", "radius"), [(12, 4), (15, 7), (15, 3)])
def test_embedding_an_odd_box_keeps_every_frequency(n: int, radius: int) -> None:
    small = symmetric_half(2 * radius + 1)
    cube = centred_from_half(embed_odd_rfft(small, n), n)
    window = slice(n // 2 - radius, n // 2 + radius + 1)
    np.testing.assert_allclose(
        cube[window, window, window], centred_from_half(small, 2 * radius + 1), rtol=1e-6
    )
    assert np.count_nonzero(cube) == np.count_nonzero(cube[window, window, window])


def test_embedding_up_to_nyquist_averages_the_two_frequencies() -> None:
    n = 8
    small = symmetric_half(n + 1)
    odd, even = centred_from_half(small, n + 1), embed_odd_rfft(small, n)
    assert even.shape == (n, n, n // 2 + 1)
    centre, nyquist = n // 2, n // 2
    # (+4, 1, 2) and (-4, 1, 2) are one voxel of the even box.
    expected = (odd[centre + 4, centre + 1, centre + 2] + odd[centre - 4, centre + 1, centre + 2]) / 2
    assert even[nyquist, 1, 2] == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(half_from_centred(centred_from_half(even, n)), even, rtol=1e-6)


@pytest.mark.parametrize(("n", "new"), [(12, 8), (12, 20), (11, 7), (9, 14)])
def test_cropped_or_padded_spectra_have_the_same_coefficients(n, new):
    spectrum = rfft3(np.random.default_rng(0).normal(size=(n, n, n)).astype(np.float32))
    found = crop_or_pad_rfft(spectrum, new)
    assert found.shape == (new, new, new // 2 + 1)
    limit = (min(n, new) - 1) // 2
    for z, y, x in ((1, -2, 3), (-limit, limit, limit), (0, 0, 0)):
        assert found[z, y, x] == spectrum[z, y, x]
    assert np.count_nonzero(found) == (2 * limit + 1) ** 2 * (limit + 1)
