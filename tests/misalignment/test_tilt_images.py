"""Tilt images of subtomograms: their poses, and motions that turn all images of a particle alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import starfile
import torch

from spisonet.errors import SpisonetError
from spisonet.io.tilt_series import find_tomograms, read_projection_directions
from spisonet.misalignment.drift_measurement import measure_drift
from spisonet.misalignment.half_map_model import HalfMapModel
from spisonet.misalignment.image_band import ImageBand, Poses
from spisonet.misalignment.motion_search import find_motion
from spisonet.misalignment.pose_motion import motion_fields, moved
from spisonet.misalignment.tilt_images import (
    MATRIX_ROWS,
    read_images,
    read_tilt_images,
    read_tilt_series,
)
from tests.misalignment.particle_sets import BOX, PIXEL, simulate_tilt_stacks


def model_of(simulated, last_shell: int) -> HalfMapModel:
    particles = read_tilt_images(simulated.star, simulated.star.with_name("tomograms.star"))
    band = ImageBand(particles, BOX * PIXEL / (last_shell + 0.01), torch.device("cpu"))
    return HalfMapModel(band, simulated.mask, "C1")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    return simulate_tilt_stacks(tmp_path_factory.mktemp("stacks"), n=120)


@pytest.fixture(scope="module")
def model(simulated):
    return model_of(simulated, 7)


@pytest.mark.parametrize("form", [{}, {"all_tilts": True}, {"relion5": True}], ids=str)
def test_half_maps_of_tilt_images_show_the_density(tmp_path, form):
    simulated = simulate_tilt_stacks(tmp_path, n=40, noise=0.2, **form)
    model = model_of(simulated, 12)
    maps = model.half_maps(model.insert(Poses.of(model.band.particles))).numpy()
    inside = simulated.mask > 0.5
    assert np.corrcoef(maps.mean(axis=0)[inside], simulated.density()[inside])[0, 1] > 0.95


def test_images_of_a_particle_share_its_number(model):
    particles = model.band.particles
    assert particles.n_particles == 120
    assert len(particles) == 60 * 7 + 60 * 5
    some = particles.random_particles(30, 0)
    assert some.n_particles == 30
    counts = np.bincount(some.particle_numbers)
    assert set(counts) == {5, 7}


def test_a_measured_drift_says_that_it_is_of_subtomograms(model):
    drift = measure_drift(model.band.particles, None, "C1", 25.0, torch.device("cpu"), 120, stages=())
    assert drift.of_subtomograms
    assert drift.numbers["of_subtomograms"] is True


def test_a_collective_motion_of_subtomograms_is_undone(model):
    particles = model.band.particles
    true = Poses.of(particles)
    fields = motion_fields(true.rotations, np.eye(3)[None], 2, None, particles.particle_numbers)
    coefficients = np.zeros(len(fields))
    coefficients[0] = np.radians(10)
    drifted = replace(true, rotations=moved(true.rotations, fields.vectors(coefficients)))
    fit = find_motion(model, drifted, stages=(2,))
    assert fit.p_value < 1e-3 < find_motion(model, true, stages=()).p_value
    assert fit.after.total > fit.before.total
    assert len(fit.after.by_particle) == 120
    # The images of a particle turn together.
    between = [poses[:-1] @ poses[1:].transpose(0, 2, 1) for poses in (true.rotations, fit.poses.rotations)]
    same = np.diff(particles.particle_numbers) == 0
    assert between[1][same] == pytest.approx(between[0][same], abs=1e-9)
    turned = fit.poses.rotations.transpose(0, 2, 1) @ true.rotations
    left = np.degrees(np.arccos(np.clip((np.trace(turned, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    assert np.sqrt((left**2).mean()) < 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rlnTomoName": "TS_9"}, "does not list tomogram TS_9"),
        ({"rlnTomoVisibleFrames": "[1,1,1,0,0,0,0]"}, "images, but .* lists 3 visible tilts of 7"),
        ({"rlnTomoVisibleFrames": "[1,1,1,1,1]"}, "lists 5 visible frames .* has 7 tilts"),
        ({"rlnImageName": "none.mrcs"}, "does not exist"),
        ({"rlnRandomSubset": 1}, "half sets other than 1 and 2"),
    ],
)
def test_files_that_do_not_belong_together_are_named(simulated, tmp_path, change, message):
    tables = starfile.read(simulated.star, always_dict=True)
    tables["particles"] = tables["particles"].assign(**change)
    star = tmp_path / "changed.star"
    starfile.write(tables, star)
    with pytest.raises(SpisonetError, match=message):
        read_tilt_images(star, simulated.star.with_name("tomograms.star"), simulated.star.parent)


def test_a_table_without_matrices_is_named(simulated, tmp_path):
    path = tmp_path / "tomograms.star"
    starfile.write({"global": starfile.read(simulated.star.with_name("tomograms.star"))["global"]}, path)
    with pytest.raises(SpisonetError, match="has no rlnTomoProjX of tomogram TS_1"):
        read_tilt_images(simulated.star, path)


def test_poses_of_relion5_are_rotated_about_x_first(simulated, tmp_path):
    """As `Rz Ry Rx`; matrices of RELION 4 take precedence, as in RELION 5."""
    tables = starfile.read(simulated.star.with_name("tomograms.star"), always_dict=True)
    path, angles = (
        tmp_path / "tomograms.star",
        {"rlnTomoXTilt": 90.0, "rlnTomoYTilt": 90.0, "rlnTomoZRot": 0.0},
    )
    both = {name: table.assign(**angles) for name, table in tables.items() if name != "global"}
    starfile.write({"global": tables["global"], **both}, path)
    matrices = read_tilt_series(simulated.star.with_name("tomograms.star"))["TS_1"].rotations
    assert read_tilt_series(path)["TS_1"].rotations == pytest.approx(matrices)
    without = {name: table.drop(columns=list(MATRIX_ROWS)) for name, table in both.items()}
    starfile.write({"global": tables["global"], **without}, path, overwrite=True)
    rotations = read_tilt_series(path)["TS_1"].rotations
    assert rotations[0] == pytest.approx(np.array([[0, 1, 0], [0, 0, -1], [-1, 0, 0]]), abs=1e-12)
    assert read_projection_directions(path)["TS_1"] == pytest.approx(rotations[:, 2], abs=1e-12)


def test_an_optimisation_set_names_both_files(simulated):
    path = simulated.star.with_name("optimisation_set.star")
    path.write_text("data_\n\n_rlnTomoParticlesFile particles.star\n_rlnTomoTomogramsFile tomograms.star\n")
    assert read_images(path).n_particles == 120


def test_the_tomograms_of_a_refinement_are_found_beside_its_particles(simulated, tmp_path):
    assert len(read_images(simulated.star)) == 60 * 7 + 60 * 5
    star = tmp_path / "run_data.star"
    star.write_bytes(simulated.star.read_bytes())
    tomograms = simulated.star.with_name("tomograms.star")
    listed = {"rlnTomoParticlesFile": star, "rlnTomoTomogramsFile": tomograms}
    values = "".join(f"_{label} {path}\n" for label, path in listed.items())
    (tmp_path / "run_optimisation_set.star").write_text(f"data_\n\n{values}")
    assert find_tomograms(star) == tomograms


def test_volumes_are_refused(simulated, tmp_path):
    tables = starfile.read(simulated.star, always_dict=True)
    tables["optics"]["rlnImageDimensionality"] = 3
    star = tmp_path / "volumes.star"
    starfile.write(tables, star)
    with pytest.raises(SpisonetError, match="are volumes; 2D stacks are needed"):
        read_images(star, simulated.star.with_name("tomograms.star"))
