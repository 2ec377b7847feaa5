"""What null half maps are made of, and what is measured on their corrections."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spisonet.fourier.grids import frequency_axes_rfft, irfft3, radius_rfft, rfft3
from spisonet.fourier.shells import fourier_shell_correlation
from spisonet.io.mrc import Volume
from spisonet.validation.null_maps import noise_halves, randomised_halves, read_domain, without_domain
from spisonet.validation.null_tests import NullTestOutcome, added_correlation, deleted_domain

N = 32


def white(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(N, N, N)).astype(np.float32)


def ball(radius: float, centre: tuple[float, float, float] = (16, 16, 16)) -> np.ndarray:
    distance = np.linalg.norm(np.indices((N, N, N)) - np.reshape(centre, (3, 1, 1, 1)), axis=0)
    return np.clip(radius + 0.5 - distance, 0, 1).astype(np.float32)


def test_noise_is_as_strong_as_that_of_the_half_maps_in_every_direction_and_knows_nothing_of_them():
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


def test_phases_are_random_beyond_the_shell_only_and_apart_in_the_halves():
    halves = (white(4), white(4))
    first, second = (rfft3(half) for half in randomised_halves(halves, 8, 0))
    fsc = fourier_shell_correlation(first, second, N)
    assert fsc[:8] == pytest.approx(1, abs=1e-4)
    assert np.abs(fsc[9:]).max() < 0.2


def test_a_deleted_domain_is_gone_from_half_maps_that_show_it_and_what_returns_is_measured():
    mask, domain = ball(12), ball(3, (16, 22, 16))
    density = ball(10) + 2 * ball(2.5, (16, 22, 16))
    halves = (density + 0.05 * white(5), density + 0.05 * white(6))
    null, deleted = without_domain(halves, density, domain)
    inside = domain > 0.5
    assert abs(null[0][inside].mean()) < 0.15 * density[inside].mean()
    noise = 0.05 * white(7)
    absent = deleted_domain(density + noise, density - deleted + noise, deleted, domain, mask)
    assert absent.original > 20
    assert abs(absent.after) < 3
    assert absent.outcome is NullTestOutcome.PASSED
    assert abs(absent.pattern_fraction) < 0.25  # the soft edge of the mask leaves some of its surroundings
    returned = deleted_domain(density + noise, density + noise, deleted, domain, mask)
    assert returned.outcome is NullTestOutcome.FAILED
    assert returned.pattern_fraction == pytest.approx(1, abs=0.1)
    assert replace(absent, original=4.0).outcome is NullTestOutcome.INCONCLUSIVE
    assert (
        replace(absent, pattern_fraction=0.9).outcome is NullTestOutcome.FAILED
    )  # however noisy the solvent is


def test_structure_that_both_halves_gained_is_noticed():
    noise = (white(8), white(9))
    gained = (noise[0] + white(10), noise[1] + white(10))
    mask = ball(12)
    unchanged = added_correlation(noise, noise, white(11), mask, slice(4, 16))
    assert unchanged.outcome is NullTestOutcome.PASSED
    assert replace(unchanged, attempted=0.0).outcome is NullTestOutcome.NOT_ATTEMPTED
    found = added_correlation(noise, gained, white(10), mask, slice(4, 16))
    assert found.outcome is NullTestOutcome.FAILED
    assert found.after > 0.3
    assert found.with_original > 0.5


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
