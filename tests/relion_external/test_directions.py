"""Directional resolution and views of an iteration."""

from __future__ import annotations

import numpy as np
import pytest

from relion_external.call import read_call
from relion_external.directions import (
    N_RINGS,
    N_SECTORS,
    directional_resolution,
    view_histogram,
    view_metrics,
)
from relion_external.refinement import read_refinement
from spisonet.geometry.symmetry import symmetry_rotations
from spisonet.io.mrc import Volume, write_volume
from tests.relion_external.conftest import uneven_back_projector


def cone(tilt_degrees: float, n: int = 36, first_degrees: float = 0.0) -> np.ndarray:
    """Return view directions ``(n, 3)`` at an angle from z."""
    rot, tilt = np.radians(first_degrees + np.arange(n) * 360 / n), np.radians(tilt_degrees)
    return np.stack(
        [np.sin(tilt) * np.cos(rot), np.sin(tilt) * np.sin(rot), np.full(n, np.cos(tilt))], axis=1
    )


def test_angles_are_measured_from_the_principal_axis():
    metrics = view_metrics(np.concatenate([cone(10), -cone(40)]), None, symmetry_rotations("C1"))
    assert metrics["preferred_axis"] == pytest.approx([0, 0, 1], abs=1e-3)
    assert metrics["median_view_angle_degrees"] == pytest.approx(25, abs=0.1)
    assert metrics["fraction_near_axis"] == pytest.approx(0.5)
    assert "median_view_change_degrees" not in metrics


@pytest.mark.parametrize(("symmetry", "is_changed"), [("C1", True), ("C3", False)])
def test_a_change_to_a_symmetry_mate_is_no_change(symmetry, is_changed):
    views, previous = cone(20, n=6), cone(20, n=6, first_degrees=120)
    metrics = view_metrics(views, previous, symmetry_rotations(symmetry))
    expected = np.degrees(np.arccos(np.sum(views * previous, axis=1).mean())) if is_changed else 0
    assert metrics["median_view_change_degrees"] == pytest.approx(expected, abs=0.01)


def test_another_number_of_particles_gives_no_change():
    metrics = view_metrics(cone(20, n=6), cone(20, n=7), symmetry_rotations("C1"))
    assert "median_view_change_degrees" not in metrics


def test_a_weakly_measured_cone_has_the_worst_resolution(make_job, tmp_path):
    job = make_job()
    refinement = read_refinement(read_call(job.write_call(3)))
    paths = [tmp_path / f"half{half}.mrc" for half in (1, 2)]
    projectors = [uneven_back_projector(half) for half in (1, 2)]
    for path, back_projector in zip(paths, projectors, strict=True):
        write_volume(path, Volume(back_projector.reconstruct(regularised=False), 4.0))
    r_max = projectors[0].r_max
    metrics = directional_resolution(*paths, refinement, 4.0, r_max)
    assert metrics["best_direction_angstrom"] is None  # to the end of the accumulators
    assert metrics["worst_direction_angstrom"] > 32 * 4.0 / (r_max - 1)
    assert metrics["sphericity"] < 1
    noise = [path.with_stem(f"noise_{path.stem}") for path in paths]
    for seed, path in enumerate(noise):
        data = np.random.default_rng(seed).normal(size=(32,) * 3).astype(np.float32)
        write_volume(path, Volume(data, 4.0))
    assert directional_resolution(*noise, refinement, 4.0, r_max) == {}


def test_the_histogram_of_views_is_one_for_uniform_views_and_zero_at_an_empty_pole():
    rng = np.random.default_rng(0)
    views = rng.normal(size=(60_000, 3))
    views /= np.linalg.norm(views, axis=1, keepdims=True)
    identity = symmetry_rotations("C1")
    uniform = np.array(view_histogram(views, identity))
    assert uniform.shape == (N_RINGS, N_SECTORS)
    np.testing.assert_allclose(uniform, 1, atol=0.35)
    assert uniform.mean() == pytest.approx(1, abs=0.01)
    side = views[np.abs(views[:, 2]) < 0.5]
    empty = np.array(view_histogram(side, identity))
    assert not empty[: N_RINGS // 2].any()
    assert (empty[N_RINGS // 2 :] > 1).all()
    # Opposite directions and symmetry mates are the same view.
    half = views[(views[:, 0] > 0) & (views[:, 2] > 0)]
    assert (np.array(view_histogram(half, symmetry_rotations("C2"))) > 0.5).all()
    np.testing.assert_array_equal(view_histogram(-half, identity), view_histogram(half, identity))
