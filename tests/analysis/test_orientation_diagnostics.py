"""The diagnosis of half maps: what is missing, what is misaligned, and what to do."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from spisonet.analysis.half_maps import HalfMaps
from spisonet.analysis.orientation_diagnostics import (
    PSF_ASPECT_RATIO_LIMIT,
    EvaluationPoints,
    Strategy,
    diagnose,
)
from spisonet.analysis.recommendation import recommend
from spisonet.geometry.rotations import random_rotations
from spisonet.io.mrc import Volume
from tests.analysis.misaligned import simulate_misaligned
from tests.anisotropy.simulation import even_views, simulate_half_maps, views_about_z

BOX, VOXEL_SIZE, LIMIT_SHELL = 40, 3.0, 16.0


@cache
def truth() -> np.ndarray:
    """Some atoms in a ball."""
    rng = np.random.default_rng(1)
    axis = np.arange(BOX) - BOX // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    density = np.zeros((BOX,) * 3)
    for centre in rng.normal(size=(60, 3)) * BOX / 9:
        density += np.exp(-((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2) / 2.5)
    return (density / density.std()).astype(np.float32)


def two_clusters() -> np.ndarray:
    """Views about z, and about an axis 70 degrees from it."""
    first, second = views_about_z(10, n=1000), views_about_z(10, n=1000, seed=3)
    c, s = np.cos(np.radians(70)), np.sin(np.radians(70))
    return np.concatenate([first, second @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T])


def half_maps(halves: list[np.ndarray]) -> HalfMaps:
    return HalfMaps(*(Volume(half, VOXEL_SIZE) for half in halves))


SAMPLED = {
    Strategy.NONE: even_views(2000),
    Strategy.ANISOTROPY: two_clusters(),
    Strategy.SEVERE: views_about_z(6),
}


@pytest.mark.parametrize("strategy", SAMPLED)
def test_true_poses_need_what_the_views_lack(strategy):
    views = SAMPLED[strategy]
    halves = simulate_half_maps(truth(), views, LIMIT_SHELL)
    found = diagnose(half_maps(halves), None, 2, views, len(views))
    assert found.strategy is strategy
    assert found.particles is not None
    assert found.particles.low_correlation_fraction < 0.05
    assert found.particles.inconsistent_fraction < 0.1
    # The half maps alone give the same strategy and sampling as the angles.
    assert diagnose(half_maps(halves), None, 2).strategy is strategy
    assert found.measured.undersampled_fraction == pytest.approx(
        found.particles.sampling.undersampled_fraction, abs=0.1
    )
    assert found.measured.psf_aspect_ratio == pytest.approx(
        found.particles.sampling.psf_aspect_ratio, rel=0.15
    )


@pytest.mark.parametrize("wrong_share", [0.15, 0.4])
def test_what_is_sampled_but_does_not_correlate_is_misaligned(wrong_share):
    """Some of the particles that show the top were given any view and any angle."""
    right = views_about_z(8, n=round(2000 * (1 - wrong_share)))
    halves, angles = simulate_misaligned(
        truth(),
        right,
        even_views(round(2000 * wrong_share)),
        lambda rng: random_rotations(12, rng),
        LIMIT_SHELL,
    )
    found = diagnose(half_maps(halves), None, 2, angles, 2000)
    assert found.particles is not None
    assert found.particles.low_correlation_fraction > 0.3
    assert found.particles.inconsistent_fraction < 0.1
    assert found.strategy is Strategy.MISALIGNMENT
    recommendation = recommend(found, *(SimpleNamespace(__str__=lambda _: "x") for _ in range(2)), None)
    assert any("--external_reconstruct" in line for line in recommendation.commands)


def test_angles_of_other_particles_or_without_the_symmetry_are_left_out():
    """Top views alone cannot have measured what these halves hold in all directions."""
    halves, top = simulate_half_maps(truth(), even_views(2000), LIMIT_SHELL), views_about_z(6)
    found = diagnose(half_maps(halves), None, 2, top, len(top))
    assert found.particles is not None
    assert found.particles.inconsistent_fraction > 0.5
    assert found.strategy is Strategy.NONE
    recommendation = recommend(found, Path("a.mrc"), Path("b.mrc"), None)
    assert any("inconsistent" in reason and "--sym" in reason for reason in recommendation.reasons)


def test_small_errors_of_even_views_are_no_misalignment():
    halves, angles = simulate_misaligned(
        truth(),
        even_views(50),
        even_views(2000),
        lambda rng: small_rotations(rng, degrees=2.0),
        LIMIT_SHELL,
    )
    assert diagnose(half_maps(halves), None, 2, angles, 2000).strategy is Strategy.NONE


def small_rotations(rng: np.random.Generator, degrees: float) -> np.ndarray:
    from spisonet.geometry.rotations import rotation_vector_matrices

    return rotation_vector_matrices(np.radians(degrees) * rng.normal(size=(12, 3)) / np.sqrt(3))


@pytest.mark.parametrize("half_angle", [20.0, 40.0, 54.7, 70.0])
def test_elongation_is_that_of_a_missing_cone(half_angle):
    """Radermacher (1988): sqrt((3 - cos²α) / (2 cos²α)) for a missing cone of half-angle α."""
    points = EvaluationPoints(20)
    cosine = np.cos(np.radians(half_angle))

    class Cone:
        def at(self, frequencies):
            outside = np.abs(frequencies[:, 2]) <= cosine * np.linalg.norm(frequencies, axis=1)
            return outside.astype(np.float32)

    sampling = points.statistics(Cone(), np.full(len(points.radius), 1e6))
    assert sampling.psf_aspect_ratio == pytest.approx(np.sqrt((3 - cosine**2) / (2 * cosine**2)), rel=0.05)
    assert sampling.undersampled_fraction == pytest.approx(1 - cosine, abs=0.02)


def test_a_point_is_twice_as_long_at_the_magic_angle():
    cosine2 = 1 / 3
    assert np.sqrt((3 - cosine2) / (2 * cosine2)) == pytest.approx(PSF_ASPECT_RATIO_LIMIT)
