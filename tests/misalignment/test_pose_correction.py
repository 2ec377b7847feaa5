"""Collective motions, local refinement, and the recovery of known poses by both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import fourier_shift
from scipy.spatial.transform import Rotation

from spisonet.geometry.rotations import random_rotations
from spisonet.geometry.symmetry import symmetry_rotations
from spisonet.misalignment.cross_half_likelihood import cross_half_likelihood
from spisonet.misalignment.half_map_model import HalfMapModel
from spisonet.misalignment.image_band import ImageBand, Poses
from spisonet.misalignment.local_refinement import refine_locally
from spisonet.misalignment.motion_search import find_motion, likelihood_curve, rotation_vectors_between
from spisonet.misalignment.particle_images import read_particle_images
from spisonet.misalignment.pose_correction import MOTION_DEGREES, correct_poses
from spisonet.misalignment.pose_motion import motion_fields, moved
from spisonet.misalignment.superposition import shift_between, superimposed
from tests.misalignment.particle_sets import BOX, PIXEL, SimulatedSet, simulate_particles

DRIFT = 1.0  # relative increase of the angle to the axis


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> SimulatedSet:
    return simulate_particles(tmp_path_factory.mktemp("particles"), n=400)


@pytest.fixture(scope="module")
def model(simulated: SimulatedSet) -> HalfMapModel:
    band = ImageBand(read_particle_images(simulated.star), BOX * PIXEL / 9.01, torch.device("cpu"))
    return HalfMapModel(band, simulated.mask, "C1")


def drifted(poses: Poses, factor: float) -> Poses:
    """Move views away from z, as far as 40 degrees."""
    views = poses.rotations[:, 2]
    outwards = np.cross([0.0, 0.0, 1.0], views) * np.sign(views[:, 2:])
    sine = np.linalg.norm(outwards, axis=1, keepdims=True)
    angle = np.arcsin(np.minimum(sine, 1))
    return replace(
        poses, rotations=moved(poses.rotations, outwards / sine * factor * angle * (angle < np.radians(40)))
    )


def errors_degrees(model: HalfMapModel, simulated: SimulatedSet, poses: Poses) -> np.ndarray:
    """Angles to the true poses after the best rotation of the whole map."""
    turns = Rotation.from_matrix(poses.rotations.transpose(0, 2, 1) @ simulated.rotations)
    frame = turns.mean()
    for _ in range(10):
        near = (frame.inv() * turns).magnitude()
        frame = turns[near <= np.median(near)].mean()
    return np.degrees((frame.inv() * turns).magnitude())


@pytest.mark.parametrize("sym", ["C1", "C3", "D2"])
def test_motion_fields_are_orthonormal_even_and_symmetric(sym):
    rotations, group = random_rotations(400, np.random.default_rng(0)), symmetry_rotations(sym)
    opposite = np.diag([1.0, -1.0, -1.0]) @ rotations
    mates = rotations[:200] @ group[-1].T
    everything = np.concatenate([rotations, opposite, mates])
    fields = motion_fields(everything, group, 4).values
    gram = np.einsum("anc,bnc->ab", fields, fields) / len(everything)
    assert gram == pytest.approx(np.eye(len(fields)), abs=1e-8)
    assert fields[:, 400:800] == pytest.approx(fields[:, :400], abs=1e-8)
    assert fields[:, 800:] == pytest.approx(fields[:, :200] @ group[-1].T, abs=1e-8)


def test_motion_fields_do_not_contain_rotations_of_the_whole_map():
    rotations = random_rotations(500, np.random.default_rng(0))
    fields = motion_fields(rotations, symmetry_rotations("C1"), 4)
    assert fields.derivative(np.ones((500, 3))) == pytest.approx(np.zeros(len(fields)), abs=1e-6)


@pytest.mark.parametrize(("sym", "degree"), [("O", 2), ("I", 2), ("I", 4)])
def test_point_groups_without_fields_of_a_degree_have_none(sym, degree):
    rotations = random_rotations(100, np.random.default_rng(0))
    assert len(motion_fields(rotations, symmetry_rotations(sym), degree)) == 0


def test_half_sets_can_turn_against_each_other_only_about_axes_that_the_point_group_allows():
    rotations, halves = random_rotations(400, np.random.default_rng(0)), np.arange(400) % 2 + 1
    counts = {
        sym: [len(motion_fields(rotations, symmetry_rotations(sym), 2, h)) for h in (None, halves)]
        for sym in ("C1", "C3", "D2")
    }
    assert [with_halves - without for without, with_halves in counts.values()] == [3, 1, 0]


def test_half_maps_are_superimposed_along_the_axis_of_the_point_group(simulated):
    density = simulated.density()
    shift = np.array([0.0, 0.0, 1.4])
    shifted = np.fft.ifftn(fourier_shift(np.fft.fftn(density), -shift[::-1])).real.astype(np.float32)
    assert shift_between(density, shifted, 10, np.array([[0.0, 0.0, 1.0]])) == pytest.approx(shift, abs=0.051)


def test_a_shift_of_one_half_set_is_undone(simulated):
    particles = read_particle_images(simulated.star)
    band = ImageBand(particles, BOX * PIXEL / 9.01, torch.device("cpu"))
    model = HalfMapModel(band, simulated.mask, "C1")
    true = Poses.of(particles)
    shift = np.where(particles.half_sets == 2, 4.0, 0.0)[:, None]
    moved_half = replace(
        true, origins_angstrom=true.origins_angstrom + shift * (true.rotations @ [0.0, 0.6, 0.8])[:, :2]
    )
    before = cross_half_likelihood(model, moved_half)
    after = cross_half_likelihood(model, superimposed(model, moved_half, before.half_maps))
    assert after.mean > before.mean
    assert after.mean == pytest.approx(cross_half_likelihood(model, true).mean, rel=0.02)


def test_a_collective_drift_is_found_and_mostly_undone(simulated, model):
    start = drifted(Poses.of(model.band.particles), DRIFT)
    before = np.median(errors_degrees(model, simulated, start))
    fit = find_motion(model, start)
    after = np.median(errors_degrees(model, simulated, fit.poses))
    assert fit.rms_degrees > 2 * MOTION_DEGREES
    assert fit.p_value < 0.01
    assert after < 0.65 * before
    curve = likelihood_curve(model, start, fit.vectors, (-0.5, 0.0, 1.0))
    assert curve.rise[0] < -3 * curve.standard_error[0]
    assert curve.rise[2] > 3 * curve.standard_error[2]
    assert curve.rise[1] == 0


def test_true_poses_do_not_move(model):
    fit = find_motion(model, Poses.of(model.band.particles))
    assert fit.rms_degrees < MOTION_DEGREES
    assert fit.p_value > 0.001


def test_local_refinement_undoes_random_errors_of_poses(simulated, model):
    true = Poses.of(model.band.particles)
    rng = np.random.default_rng(1)
    start = Poses(
        moved(true.rotations, rng.normal(0, np.radians(3), (len(true.rotations), 3))),
        true.origins_angstrom + rng.normal(0, 3.0, true.origins_angstrom.shape),
    )
    refined = refine_locally(model, start, seed=0)
    turned = [np.median(errors_degrees(model, simulated, poses)) for poses in (start, refined)]
    shifted = [
        np.median(np.linalg.norm(poses.origins_angstrom - true.origins_angstrom, axis=1))
        for poses in (start, refined)
    ]
    assert turned[1] < 0.75 * turned[0]
    assert shifted[1] < 0.75 * shifted[0]


def test_rounds_recover_the_poses_and_keep_the_most_likely(simulated, model):
    start = drifted(Poses.of(model.band.particles), DRIFT)
    correction = correct_poses(model, start, max_rounds=2)
    assert np.median(errors_degrees(model, simulated, correction.poses)) < 0.6 * np.median(
        errors_degrees(model, simulated, start)
    )
    assert correction.rise > 3 * correction.rise_standard_error
    reached = [(r.after_motion.total, r.after_refinement.total) for r in correction.rounds]
    assert correction.after.total == max(value for both in reached for value in both)
    assert correction.is_improved


def test_a_motion_is_kept_if_local_refinement_makes_the_poses_worse(model, monkeypatch):
    def disturbed(model, poses, seed):
        noise = np.random.default_rng(seed).normal(0, 0.2, (len(poses.rotations), 3))
        return replace(poses, rotations=moved(poses.rotations, noise))

    monkeypatch.setattr("spisonet.misalignment.pose_correction.refine_locally", disturbed)
    correction = correct_poses(model, drifted(Poses.of(model.band.particles), DRIFT), max_rounds=1)
    assert correction.poses is correction.first_motion.poses
    assert correction.is_improved


def test_rotation_vectors_between_poses_are_those_of_a_motion():
    rotations = random_rotations(20, np.random.default_rng(0))
    vectors = 0.1 * np.random.default_rng(1).normal(size=(20, 3))
    before, after = (Poses(r, np.zeros((20, 2))) for r in (rotations, moved(rotations, vectors)))
    assert rotation_vectors_between(before, after) == pytest.approx(vectors, abs=1e-9)
