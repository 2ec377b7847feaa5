"""Null half maps."""

from __future__ import annotations

import numpy as np
import pytest

from spisonet.fourier.grids import frequency_axes_rfft, irfft3, radius_rfft, rfft3
from spisonet.fourier.shells import fourier_shell_correlation
from spisonet.io.mrc import Volume
from spisonet.validation.null_maps import noise_halves, randomised_halves, read_domain

N = 32


def white(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(N, N, N)).astype(np.float32)


def ball(radius: float, centre: tuple[float, float, float] = (16, 16, 16)) -> np.ndarray:
    distance = np.linalg.norm(np.indices((N, N, N)) - np.reshape(centre, (3, 1, 1, 1)), axis=0)
    return np.clip(radius + 0.5 - distance, 0, 1).astype(np.float32)


def test_noise_halves_have_the_noise_power_of_the_half_maps_and_no_common_signal():
    kz, _, _ = frequency_axes_rfft((N, N, N))
    along = np.abs(kz) > 0.6 * radius_rfft((N, N, N))
    filtered = np.where(along, 0.1, 1).astype(np.float32)
    signal = 5 * ball(8)
    halves = tuple(
        signal + irfft3((rfft3(white(seed)) * filtered).astype(np.complex64), (N, N, N)) for seed in (1, 2)
    )
    first, second = (rfft3(half) for half in noise_halves(halves, 3))
    deep = radius_rfft((N, N, N)) > 6
    power = np.abs(first) ** 2 / N**3
    assert power[deep & (np.abs(kz) < 0.4 * radius_rfft((N, N, N)))].mean() == pytest.approx(1, abs=0.1)
    assert power[deep & (np.abs(kz) > 0.8 * radius_rfft((N, N, N)))].mean() < 0.05
    assert np.abs(fourier_shell_correlation(first, second, N)[4:]).max() < 0.2
    assert np.abs(fourier_shell_correlation(first, rfft3(signal), N)[4:]).max() < 0.25


def test_phases_are_random_beyond_the_shell_only_and_independent_in_the_halves():
    halves = (white(4), white(4))
    first, second = (rfft3(half) for half in randomised_halves(halves, 8, 0))
    fsc = fourier_shell_correlation(first, second, N)
    assert fsc[:8] == pytest.approx(1, abs=1e-4)
    assert np.abs(fsc[9:]).max() < 0.2


def test_a_domain_may_be_given_as_a_model(tmp_path):
    gemmi = pytest.importorskip("gemmi")
    structure = gemmi.read_pdb_string(
        "ATOM      1  CA  ALA A   1      40.000  20.000  30.000  1.00 20.00           C\n"
    )
    structure.write_pdb(str(tmp_path / "domain.pdb"))
    mask = read_domain(tmp_path / "domain.pdb", Volume(white(0), 2.0), None)
    assert mask.max() == 1
    assert np.argwhere(mask > 0.9).mean(axis=0) == pytest.approx((15, 10, 20))
    assert (mask > 0.5).sum() * 2.0**3 == pytest.approx(4 / 3 * np.pi * 4.5**3, rel=0.25)
