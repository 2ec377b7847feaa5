"""Grey values, solvent and the unit of densities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spisonet.analysis.normalisation import (
    GreyScale,
    inscribed_sphere,
    measure_grey_scale,
    particle_region,
    solvent_level,
)
from spisonet.fourier.grids import irfft3
from spisonet.fourier.windows import soft_lowpass_weights

N = 32
BAND = soft_lowpass_weights(N, 8.0, 1.0)


def ball(n: int, radius: float) -> np.ndarray:
    axis = np.arange(n) - n // 2
    r2 = axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2
    return (r2 < radius**2).astype(np.float32)


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_grey_scale_round_trip(solvent, deviation):
    scale = GreyScale(solvent, deviation)
    grey = np.linspace(-2, 2, 11, dtype=np.float32) * deviation + solvent
    np.testing.assert_allclose(scale.restore(scale.normalise(grey)), grey, rtol=1e-4, atol=1e-3 * deviation)


@pytest.mark.parametrize("with_mask", [True, False])
def test_the_solvent_becomes_zero(with_mask):
    volume = 7.0 + 3.0 * ball(N, 8) + np.random.default_rng(0).normal(scale=0.1, size=(N,) * 3)
    mask = ball(N, 10) if with_mask else None
    assert measure_grey_scale(volume.astype(np.float32), mask, BAND).solvent == pytest.approx(7.0, abs=0.02)


def test_neither_empty_space_nor_noise_beyond_the_band_changes_the_unit():
    particle, mask = 5.0 * ball(N, 8), ball(N, 10)
    alone = measure_grey_scale(particle, mask, BAND).deviation
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfftn(rng.normal(size=(N,) * 3)) * (soft_lowpass_weights(N, 10.0, 1.0) == 0)
    noisy = particle + 20 * irfft3(spectrum.astype(np.complex64), (N,) * 3).astype(np.float32)
    assert measure_grey_scale(noisy.astype(np.float32), mask, BAND).deviation == pytest.approx(
        alone, rel=1e-3
    )
    wide_band = soft_lowpass_weights(2 * N, 16.0, 2.0)
    padded, wide_mask = np.pad(particle, N // 2), np.pad(mask, N // 2)
    assert measure_grey_scale(padded, wide_mask, wide_band).deviation == pytest.approx(alone, rel=0.02)


def test_an_empty_band_still_gives_a_unit():
    volume = np.random.default_rng(0).normal(size=(N,) * 3).astype(np.float32)
    assert measure_grey_scale(volume, None, np.zeros_like(BAND)).deviation == pytest.approx(1.0, rel=0.05)


def test_a_mask_without_solvent_leaves_the_mean():
    volume = np.full((N,) * 3, 3.0, np.float32)
    assert solvent_level(volume, np.ones_like(volume)) == pytest.approx(3.0)


def test_the_particle_is_where_the_mask_is_or_in_the_sphere():
    assert particle_region(N, 0.2 * ball(N, 5)).sum() == ball(N, 5).sum()
    assert (particle_region(N, None) == inscribed_sphere(N)).all()
