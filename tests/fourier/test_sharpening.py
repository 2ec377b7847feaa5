"""Sharpening by a B-factor: estimated by a Guinier fit, or given."""

from __future__ import annotations

import numpy as np
import pytest

from spisonet.errors import SpisonetError
from spisonet.fourier.filters import shell_mean_amplitude
from spisonet.fourier.grids import irfft3, radius_rfft, rfft3
from spisonet.fourier.sharpening import sharpen

N, VOXEL_SIZE, LIMIT = 40, 1.5, 4.0
BOX_ANGSTROM = N * VOXEL_SIZE
PERFECT = np.ones(N // 2 + 1)
SHELLS = np.arange(7, 15)  # within 10 Å to the limit


def map_with_decay(b_factor: float) -> np.ndarray:
    """White noise about a grey level of 3 whose amplitudes decay by a B-factor to the limit."""
    white = np.random.default_rng(0).normal(size=(N, N, N)).astype(np.float32)
    frequency = radius_rfft((N, N, N)) / BOX_ANGSTROM
    decay = np.exp(-b_factor * frequency**2 / 4) * (frequency < 1 / LIMIT)
    return irfft3((rfft3(white) * decay).astype(np.complex64), white.shape) + np.float32(3)


def amplitudes(volume: np.ndarray) -> np.ndarray:
    return shell_mean_amplitude(rfft3(volume - volume.mean()), N)[SHELLS]


def test_the_estimated_b_factor_removes_the_decay():
    decayed = map_with_decay(120.0)
    found = sharpen(decayed, PERFECT, VOXEL_SIZE, LIMIT)
    assert found.b_factor_square_angstrom == pytest.approx(-120, abs=15)
    assert found.data.mean() == pytest.approx(decayed.mean(), abs=1e-4)
    before, after = amplitudes(decayed), amplitudes(found.data)
    assert before[-1] < 0.4 * before[0]
    assert after[-1] == pytest.approx(after[0], rel=0.2)
    beyond = radius_rfft((N, N, N)) > BOX_ANGSTROM / LIMIT + 1
    assert np.abs(rfft3(found.data - 3)[beyond]).max() < 1e-3 * np.abs(rfft3(decayed - 3)).max()


def test_a_given_b_factor_is_used_and_shells_are_weighted_by_the_fsc_of_the_full_map():
    decayed = map_with_decay(0.0)
    fsc = np.linspace(1, -0.2, N // 2 + 1)
    found = sharpen(decayed, fsc, VOXEL_SIZE, LIMIT, b_factor_square_angstrom=-60.0)
    assert found.b_factor_square_angstrom == -60
    clipped = np.clip(fsc, 0, 1)[SHELLS]
    gain = np.sqrt(2 * clipped / (1 + clipped)) * np.exp(60 * (SHELLS / BOX_ANGSTROM) ** 2 / 4)
    np.testing.assert_allclose(amplitudes(found.data) / amplitudes(decayed), gain, rtol=0.02)


def test_the_solvent_does_not_enter_the_fit():
    """Noise outside the mask is white, so that it would make the decay look weaker."""
    inside = np.zeros((N, N, N), np.float32)
    inside[10:30, 10:30, 10:30] = 1
    noise = np.random.default_rng(1).normal(size=inside.shape).astype(np.float32)
    noisy = (map_with_decay(150.0) - 3) * inside + 0.2 * noise * (1 - inside)
    masked, whole = (sharpen(noisy, PERFECT, VOXEL_SIZE, LIMIT, mask) for mask in (inside, None))
    assert masked.b_factor_square_angstrom < whole.b_factor_square_angstrom - 20


def test_too_few_shells_for_a_fit_need_a_given_b_factor():
    volume = map_with_decay(50.0)
    with pytest.raises(SpisonetError, match="give --b_factor") as raised:
        sharpen(volume, PERFECT, VOXEL_SIZE, 9.0)
    assert raised.value.field == "b_factor"
    assert sharpen(volume, PERFECT, VOXEL_SIZE, 9.0, None, -20.0).b_factor_square_angstrom == -20
