"""diagnose from the command line: page, numbers, figure and messages."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from spisonet.analysis.orientation_diagnostics import Strategy
from spisonet.api.orientation import measure_pose_drift
from spisonet.commands.main import main
from spisonet.io.mrc import Volume, read_volume, write_volume
from spisonet.misalignment.image_band import Poses
from spisonet.misalignment.particle_images import read_particle_images
from spisonet.misalignment.pose_output import reconstruct_half_maps
from tests.analysis.test_orientation_diagnostics import LIMIT_SHELL, SAMPLED, VOXEL_SIZE, truth
from tests.anisotropy.simulation import simulate_half_maps
from tests.misalignment.particle_sets import PIXEL, simulate_tilt_stacks
from tests.relion_external.refined_project import JOB, write_refined_project


def write_case(folder, halves):
    for number, half in enumerate(halves, start=1):
        write_volume(folder / f"half{number}.mrc", Volume(half, VOXEL_SIZE))
    return [str(folder / "half1.mrc"), str(folder / "half2.mrc")]


def drift_of_the_poses(star=JOB / "run_data.star", tomograms=None, mask=None):
    return measure_pose_drift(star, tomograms, mask, "C1", 15.0, "cpu", 1, 2000, 0)


def test_the_threads_of_the_caller_are_kept(tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        _, reason = drift_of_the_poses(tmp_path / "absent.star")
        assert "absent.star" in reason
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_command_writes_page_numbers_and_figure(tmp_path):
    halves = write_case(tmp_path, simulate_half_maps(truth(), SAMPLED[Strategy.SEVERE], LIMIT_SHELL))
    views = SAMPLED[Strategy.SEVERE]
    tilt = np.degrees(np.arccos(np.clip(views[:, 2], -1, 1)))
    rot = np.degrees(np.arctan2(views[:, 1], views[:, 0]))
    rows = "".join(f"{a:.3f} {b:.3f} 0.0\n" for a, b in zip(rot, tilt, strict=True))
    star = tmp_path / "particles.star"
    star.write_text(
        "data_particles\n\nloop_\n_rlnAngleRot #1\n_rlnAngleTilt #2\n_rlnAnglePsi #3\n" + rows,
        encoding="utf-8",
    )
    out = tmp_path / "out"
    main(["diagnose", *halves, "--star", str(star), "--no-pose_drift", "--output_dir", str(out)])
    numbers = json.loads((out / "diagnosis.json").read_text(encoding="utf-8"))
    assert numbers["strategy"] == "severe"
    assert numbers["pose_drift"] is numbers["pose_drift_not_measured"] is None
    assert numbers["particles"]["n_particles"] == len(views)
    assert numbers["particles"]["scf_star"] < 0.2
    assert any("ISONET_KEEP_LOWRES=True" in line for line in numbers["commands"])
    page = (out / "diagnosis.html").read_text(encoding="utf-8")
    assert "side views" in page
    assert "image/svg+xml" in page
    assert (out / "diagnosis_directions.png").is_file()

    # fsc3d gives the same numbers for the same maps.
    main(["fsc3d", *halves, "-o", str(tmp_path / "fsc3d.mrc")])
    record = json.loads((tmp_path / "fsc3d.json").read_text(encoding="utf-8"))
    same = {
        "cfar": "cfar",
        "sphericity": "sphericity",
        "resolution_0143_angstrom": "resolution_0143_angstrom",
        "worst_direction_0143_angstrom": "directional_resolution_0143_worst_angstrom",
        "best_direction_0143_angstrom": "directional_resolution_0143_best_angstrom",
    }
    assert {name: numbers[name] for name in same} == {name: record[other] for name, other in same.items()}


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--sym", "c3"], "--star"), (["--limit_res", "30"], "too coarse"), (["--star", "no.star"], "no.star")],
)
def test_a_fault_is_one_sentence_and_writes_nothing(tmp_path, capsys, options, words):
    halves = write_case(tmp_path, simulate_half_maps(truth(), SAMPLED[Strategy.NONE], LIMIT_SHELL))
    with pytest.raises(SystemExit) as stop:
        main(["diagnose", *halves, *options, "--output_dir", str(tmp_path / "out")])
    assert stop.value.code == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_no_drift_is_measured_with_a_mask_of_another_pixel_size(project):
    write_refined_project(project, 0.0, n=100)
    mask = read_volume(project / "mask.mrc", 1.01 * PIXEL)
    drift, reason = drift_of_the_poses(mask=mask)
    assert drift is None
    assert "was not measured" in reason
    assert "mask.mrc has voxels of 5.05 Å, but the images of" in reason


def test_without_enough_memory_no_drift_is_measured(project, monkeypatch):
    def without_memory(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    write_refined_project(project, 0.0, n=100)
    monkeypatch.setattr("spisonet.misalignment.drift_measurement.measure_drift", without_memory)
    drift, reason = drift_of_the_poses()
    assert drift is None
    assert "cpu is out of memory; use another device or fewer particles" in (reason or "")


def test_the_stacks_of_subtomograms_are_read_for_the_drift(tmp_path):
    simulated = simulate_tilt_stacks(tmp_path, n=8)
    drift, reason = drift_of_the_poses(simulated.star, tmp_path / "tomograms.star")
    assert drift is None
    assert "lists 8 particles; at least 100 are needed" in reason


def test_a_drift_of_the_poses_is_measured_where_the_images_are_found(project, capsys):
    write_refined_project(project, 1.0)
    particles = read_particle_images(JOB / "run_data.star")
    halves = reconstruct_half_maps(particles, Poses.of(particles), "C1", torch.device("cpu"))
    for number, half in enumerate(halves, start=1):
        write_volume(project / f"half{number}.mrc", Volume(half, PIXEL))
    command = ["diagnose", "half1.mrc", "half2.mrc", "--star", str(JOB / "run_data.star"), "--ncpus", "1"]
    main([*command, "--output_dir", "on", "--mask", "mask.mrc", "--pose_drift_particles", "550"])
    assert "the poses have drifted" in "".join(capsys.readouterr())
    numbers = json.loads((project / "on" / "diagnosis.json").read_text(encoding="utf-8"))
    assert numbers["strategy"] == "pose_drift"
    assert (numbers["pose_drift"]["n_particles"], numbers["pose_drift"]["n_listed"]) == (550, 600)
    assert numbers["pose_drift"]["rise_per_particle"] > 0
    assert numbers["commands"][0].startswith("spisonet relion rescue Refine3D/job002 --o rescue")
    assert (project / "on" / "diagnosis_pose_drift.png").is_file()
    page = (project / "on" / "diagnosis.html").read_text(encoding="utf-8")
    assert "Drift of the poses" in page

    (project / "particles.mrcs").unlink()
    main([*command, "--output_dir", "missing"])
    assert "not measured: particles.mrcs, an image file of" in "".join(capsys.readouterr())
    numbers = json.loads((project / "missing" / "diagnosis.json").read_text(encoding="utf-8"))
    assert numbers["pose_drift"] is None
    assert "particles.mrcs" in numbers["pose_drift_not_measured"]
