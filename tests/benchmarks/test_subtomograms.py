"""The benchmark of subtomograms: volumes in the methods for images, and references of its arms."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from benchmarks.subtomograms import references
from benchmarks.subtomograms.local import ArmModel
from benchmarks.subtomograms.regimes import append_result, read_results, table
from benchmarks.subtomograms.score import score_poses
from benchmarks.subtomograms.simulate import Case
from benchmarks.subtomograms.volumes import VolumeBand, read_subtomograms
from spisonet.geometry.rotations import random_rotations, rotation_vector_matrices
from spisonet.io.mrc import read_volume
from spisonet.misalignment.local_refinement import refine_locally
from tests.subtomogram_case import simulate_phantom

BOX, PIXEL, FINEST = 24, 6.0, 18.0


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("subtomograms")
    case = Case(n=24, noise=1.0, jitter=8.0, axis="x", offset=0.3)
    simulate_phantom(folder, BOX, PIXEL, case)
    return folder


@pytest.fixture(scope="module")
def model(place):
    particles = read_subtomograms(place / "particles.star", place)
    made = ArmModel(VolumeBand(particles, FINEST), read_volume(place / "mask.mrc").data, "C1")
    made.truth = read_volume(place / "truth.mrc").data
    made.reference = references.maximum_a_posteriori
    return made


def test_local_refinement_of_volumes_finds_the_poses(place, model):
    true = read_subtomograms(place / "truth.star", place).poses
    start = read_subtomograms(place / "particles.star", place).poses
    found = refine_locally(model, start, 0, (1.0,) * 6)
    before, after = (
        np.median(score_poses(true.rotations, poses.rotations).errors_degrees) for poses in (start, found)
    )
    assert before > 5
    assert after < 0.5 * before
    assert (
        np.abs(found.origins_angstrom - true.origins_angstrom).mean() < np.abs(true.origins_angstrom).mean()
    )


def test_references_of_the_arms(place, model):
    true = read_subtomograms(place / "truth.star", place).poses
    mask = model.mask
    density = model.grid.table_of(torch.from_numpy(model.truth) * mask)

    def correlation_with_truth(reference):
        model.reference = reference
        found = model.references(true)[0, :, :2]
        return float((found * density).sum() / (found.norm() * density.norm()))

    own = correlation_with_truth(references.maximum_a_posteriori)
    assert own < correlation_with_truth(references.filled_with_truth)
    assert correlation_with_truth(references.truth_reference) > 0.97
    model.reference = references.maximum_a_posteriori
    by_relion = model.references(true)[..., :2]
    by_model = super(ArmModel, model).references(true)[..., :2]
    for half in (0, 1):
        product = (by_relion[half] * by_model[half]).sum()
        assert float(product / (by_relion[half].norm() * by_model[half].norm())) > 0.99


def test_motion_away_from_the_common_wedge_is_signed():
    rng = np.random.default_rng(1)
    vectors = rng.normal(0, 0.15, (200, 3)) * [1, 1, 0]
    spin = random_rotations(1, rng)[0]
    # Rotations that tilt the beam away from z by the length of the vector.
    true = rotation_vector_matrices(vectors) @ spin
    further = rotation_vector_matrices(1.5 * vectors) @ spin
    score = score_poses(true, further)
    assert score.outward_degrees == pytest.approx(0.5 * score.beam_angles_degrees, abs=1.0)
    assert np.median(score.errors_degrees) > 2


def test_the_table_compares_with_the_plain_arm_of_the_same_seed(tmp_path):
    row = {"regime": "few", "outward": [0.1, None, 0.2]}
    for seed, arm, error, fsc in (
        (1, "plain", 4.0, 0.5),
        (2, "plain", 2.0, 0.4),
        (1, "truth", 3.0, 0.6),
        (2, "truth", 1.5, 0.5),
    ):
        result = row | {"seed": seed, "arm": arm, "median": error, "half maps": [fsc] * 3}
        append_result(tmp_path / "results.jsonl", result)
    assert json.loads((tmp_path / "results.jsonl").read_text().splitlines()[0])["median"] == 4.0
    last = table(read_results(tmp_path / "results.jsonl")).splitlines()[-1]
    assert last.startswith("| few | truth | 2 | 2.25 ± 1.06 | -25 ± 0 % |")
    assert "0.100 ± 0.000" in last
