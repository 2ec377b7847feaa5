"""Null tests: what they measure, and their outcomes."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from spisonet.anisotropy.config import ReconstructConfig
from spisonet.validation.finished_run import FinishedRun
from spisonet.validation.null_maps import without_domain
from spisonet.validation.null_tests import (
    AddedCorrelation,
    NullCorrection,
    NullTestOutcome,
    PreparedNullTests,
    added_correlation,
    deleted_domain,
    null_tests,
)

N = 32


def white(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(N, N, N)).astype(np.float32)


def ball(radius: float, centre: tuple[float, float, float] = (16, 16, 16)) -> np.ndarray:
    distance = np.linalg.norm(np.indices((N, N, N)) - np.reshape(centre, (3, 1, 1, 1)), axis=0)
    return np.clip(radius + 0.5 - distance, 0, 1).astype(np.float32)


def test_a_domain_is_deleted_from_the_half_maps_and_its_return_is_measured():
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


def test_structure_added_to_both_halves_fails_the_test():
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


@pytest.mark.parametrize(
    ("with_original", "limits_original", "outcome"),
    [
        (0.2, True, NullTestOutcome.FAILED),
        (0.2, False, NullTestOutcome.PASSED),
        (0.01, True, NullTestOutcome.PASSED),
    ],
)
def test_noise_must_not_come_to_resemble_the_particle(with_original, limits_original, outcome):
    found = AddedCorrelation(0.0, 0.01, with_original, 1.0, limits_original)
    assert found.outcome is outcome
    assert found.numbers == {
        "before": 0.0,
        "after": 0.01,
        "with_original": with_original,
        "attempted": 1.0,
        "result": outcome.value,
        "result_sentence": outcome.sentence,
    }


def test_every_outcome_has_a_sentence():
    sentences = {outcome.sentence for outcome in NullTestOutcome}
    assert len(sentences) == len(NullTestOutcome)


def finished_run(case, folder) -> FinishedRun:
    """A run whose corrected maps are its half maps."""
    for number, path in enumerate((case.half1, case.half2), start=1):
        for suffix in ("", "_filtered"):
            shutil.copy(path, folder / f"corrected_half{number}{suffix}.mrc")
    config = ReconstructConfig.from_options({"i1": case.half1, "i2": case.half2, "mask": case.mask})
    names = [f"corrected_half{number}.mrc" for number in (1, 2)]
    return FinishedRun(folder, config, {"limit_resolution_angstrom": 6.0, "corrected_maps": names})


def test_each_null_map_is_corrected_once_and_judged_by_what_was_added(small_case, tmp_path):
    run = finished_run(small_case, tmp_path)
    n = run.input_maps.half1.box
    domain = np.zeros((n, n, n), np.float32)
    domain[10:14, 10:14, 10:14] = 1
    prepared = PreparedNullTests(run, 9.0, round(n * 2.0 / 9.0), int(n * 2.0 / 6.0), domain)
    corrected = {}

    def leave(name, halves):
        corrected[name] = halves
        return NullCorrection(*halves, halves[0], [1.0] * n)

    found = null_tests(prepared, leave)
    assert list(corrected) == ["noise", "phases", "deletion"]
    assert found.noise.outcome is NullTestOutcome.PASSED
    assert found.noise.after == found.noise.before
    assert found.phases.outcome is NullTestOutcome.PASSED
    assert found.deletion.after < found.deletion.original
    assert set(found.numbers) == {"noise", "phases", "deletion"}
    assert found.numbers["phases"]["beyond_angstrom"] == 9.0

    def hallucinate(name, halves):
        common = halves[0].std() * np.random.default_rng(1).normal(size=(n, n, n)).astype(np.float32)
        half1, half2 = halves[0] + common, halves[1] + common
        return NullCorrection(half1, half2, run.corrected_maps.half1.data, [1.0] * n)

    found = null_tests(prepared, hallucinate)
    assert found.noise.outcome is NullTestOutcome.FAILED
    assert found.phases.outcome is NullTestOutcome.FAILED
    assert found.deletion.pattern_fraction > 0.5
    assert found.deletion.outcome is NullTestOutcome.FAILED


def test_nothing_is_attempted_where_no_shell_is_corrected(small_case, tmp_path):
    run = finished_run(small_case, tmp_path)
    n = run.input_maps.half1.box
    prepared = PreparedNullTests(run, 9.0, round(n * 2.0 / 9.0), int(n * 2.0 / 6.0), None)
    found = null_tests(prepared, lambda _, halves: NullCorrection(*halves, halves[0], [0.0] * n))
    assert found.noise.outcome is NullTestOutcome.NOT_ATTEMPTED
    assert found.deletion is None
    assert set(found.numbers) == {"noise", "phases"}
