"""Radial filters and the equalisation of amplitudes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spisonet.fourier.filters import (
    combine_spectra,
    combine_volumes,
    directional_whitening,
    shell_curve_to_rfft,
    shell_mean_amplitude,
    whiten,
)
from spisonet.fourier.grids import frequency_axes_rfft, irfft3, radius_rfft, rfft3

boxes = st.sampled_from([16, 17, 24])


def noise(n, seed=0):
    return np.random.default_rng(seed).normal(size=(n, n, n)).astype(np.float32)


def falling_noise(n, seed=0, decay=0.15):
    """Return noise whose amplitude falls with the frequency, as a map's does."""
    return irfft3(rfft3(noise(n, seed)) * np.exp(-decay * radius_rfft((n, n, n))), (n, n, n))


def polar_noise(n, weak=0.3, seed=0):
    """Return noise that is weak along z, and its squared direction cosine to z."""
    kz, _, _ = frequency_axes_rfft((n, n, n))
    cosine_squared = kz**2 / np.maximum(radius_rfft((n, n, n)), 1) ** 2
    volume = irfft3(rfft3(noise(n, seed)) * (weak + (1 - weak) * (1 - cosine_squared)), (n, n, n))
    return volume, cosine_squared


@given(n=boxes, data=st.data())
@settings(deadline=None)
def test_shell_curves_hold_their_values_on_the_axis(n, data):
    curve = data.draw(arrays(np.float64, n // 2 + 1, elements=st.floats(-10, 10)))
    spread = shell_curve_to_rfft(curve, n)
    assert spread.shape == (n, n, n // 2 + 1)
    np.testing.assert_allclose(spread[0, 0], curve, rtol=1e-6, atol=1e-6)
    assert spread[n // 2, n // 2, -1] == pytest.approx(curve[-1], rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("n", [32, 33])
@pytest.mark.parametrize("masked", [False, True])
def test_whitening_flattens_and_leaves_the_rest(n, masked):
    volume = falling_noise(n)
    mask = np.ones_like(volume)
    mask[: n // 4] = 0
    result = whiten(volume, 4, 11, mask if masked else None)
    seen = mask if masked else np.float32(1)
    before, after = (shell_mean_amplitude(rfft3(v * seen), n) for v in (volume, result))
    np.testing.assert_allclose(after[4:12], before[4], rtol=0.06)
    assert before[11] < 0.5 * before[4]
    gain = np.abs(rfft3(result)) / np.maximum(np.abs(rfft3(volume)), 1e-9)
    radius = radius_rfft((n, n, n))
    np.testing.assert_allclose(gain[radius <= 4], 1, rtol=1e-3)
    np.testing.assert_allclose(gain[radius >= 16], 1, rtol=1e-3)


@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 100))
@settings(max_examples=15, deadline=None)
def test_whitening_is_idempotent_and_linear_in_scale(seed, scale):
    volume = falling_noise(24, seed)
    once = whiten(volume, 3, 9)
    twice = whiten(once, 3, 9)
    assert np.linalg.norm(twice - once) < 0.08 * np.linalg.norm(once)
    np.testing.assert_allclose(
        whiten(volume * np.float32(scale), 3, 9),
        once * scale,
        atol=1e-4 * scale * np.abs(once).max(),
    )


def test_whitening_of_empty_shells_stays_finite():
    n = 24
    empty = irfft3(rfft3(noise(n)) * (radius_rfft((n, n, n)) < 6), (n, n, n))
    assert np.isfinite(whiten(empty, 3, 10)).all()


def test_combined_spectra_are_each_where_they_belong():
    n = 32
    low, high = rfft3(noise(n, 1)), rfft3(noise(n, 2))
    combined = combine_spectra(low, high, n, 8, ramp_shells=5)
    radius = radius_rfft((n, n, n))
    np.testing.assert_allclose(combined[radius <= 5.5], low[radius <= 5.5], rtol=1e-5, atol=1e-3)
    np.testing.assert_array_equal(combined[radius >= 10.5], high[radius >= 10.5])
    np.testing.assert_allclose(combined[radius == 8], (low + high)[radius == 8] / 2, rtol=1e-4, atol=1e-3)


@given(seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_a_map_combined_with_itself_is_itself(seed):
    volume = falling_noise(24, seed)
    for scale in (1, -3, 10):
        combined = combine_volumes(np.float32(abs(scale)) * volume, volume, 6)
        np.testing.assert_allclose(combined, volume, atol=1e-4 * np.abs(volume).max())


def test_combined_maps_keep_the_scale_of_the_high_map():
    low, high = falling_noise(32, 1) * 100 + 5, falling_noise(32, 2, decay=0.05) + 1
    combined = combine_volumes(low, high, 8)
    assert combined.mean() == pytest.approx(high.mean(), abs=1e-5)
    assert combined.std() == pytest.approx(high.std(), rel=1e-5)
    amplitude, expected = (shell_mean_amplitude(rfft3(v), 32) for v in (combined, high))
    np.testing.assert_allclose(amplitude[2:6], expected[2:6], rtol=0.15)

    def correlation(spectrum1, spectrum2, where):
        a, b = spectrum1[where], spectrum2[where]
        return np.real(np.vdot(a, b)) / np.linalg.norm(a) / np.linalg.norm(b)

    radius, spectrum = radius_rfft((32, 32, 32)), rfft3(combined)
    assert correlation(spectrum, rfft3(low), (radius > 0) & (radius <= 5)) > 0.99
    assert correlation(spectrum, rfft3(high), (radius >= 11)) > 0.999


@pytest.mark.parametrize("n", [48, 49])
def test_angular_whitening_equalises_directions(n):
    volume, cosine_squared = polar_noise(n)
    result = directional_whitening(volume, 1.0, n / 5, n / 20)
    radius = radius_rfft((n, n, n))
    band = (radius > 7) & (radius < 18)
    ratios = []
    for v in (volume, result):
        power = np.abs(rfft3(v)) ** 2
        ratios.append(
            power[band & (cosine_squared > 0.9)].mean() / power[band & (cosine_squared < 0.3)].mean()
        )
    assert ratios[0] < 0.2
    assert ratios[1] == pytest.approx(1, abs=0.2)
    before, after = (shell_mean_amplitude(rfft3(v), n) for v in (volume, result))
    np.testing.assert_allclose(after[7:18], before[7:18], rtol=0.15)


def test_angular_whitening_leaves_even_power_and_other_shells():
    n = 48
    volume = noise(n)
    result = directional_whitening(volume, 1.0, n / 12, n / 16)
    gain = np.abs(rfft3(result)) / np.maximum(np.abs(rfft3(volume)), 1e-9)
    radius = radius_rfft((n, n, n))
    np.testing.assert_allclose(gain[(radius < 7) | ((radius > 22) & (radius < 24))], 1, rtol=1e-3)
    assert gain[(radius > 12) & (radius < 16)].std() < 0.15


def test_angular_whitening_gain_is_capped():
    n = 48
    volume, cosine_squared = polar_noise(n, weak=0.001)
    result = directional_whitening(volume, 1.0, n / 5, n / 20, max_gain=5)
    gain = np.abs(rfft3(result)) / np.maximum(np.abs(rfft3(volume)), 1e-12)
    band = (radius_rfft((n, n, n)) > 8) & (radius_rfft((n, n, n)) < 18) & (cosine_squared > 0.95)
    assert np.median(gain[band]) <= 5.01
    assert np.median(gain[band]) > 2


def test_angular_whitening_of_empty_shells_stays_finite():
    n = 24
    empty = irfft3(rfft3(noise(n)) * (radius_rfft((n, n, n)) < 6), (n, n, n))
    assert np.isfinite(directional_whitening(empty, 1.0, n / 3, n / 10)).all()
