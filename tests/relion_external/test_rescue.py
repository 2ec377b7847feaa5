"""The command relion rescue: what it writes for drifted poses and for true ones, and its messages."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import starfile
import torch

from relion_external import rescue
from relion_external.finished_refinement import read_finished_refinement
from relion_external.jobs.definitions import JOBS
from relion_external.jobs.folder import NodeType
from relion_external.jobs.run import main as run_job
from spisonet.commands.main import main
from spisonet.errors import SpisonetError
from spisonet.io.mrc import read_volume
from spisonet.misalignment.cross_half_likelihood import cross_half_likelihood
from spisonet.misalignment.image_band import Poses
from spisonet.misalignment.motion_search import MotionFit
from spisonet.misalignment.particle_images import read_particle_images
from spisonet.misalignment.pose_correction import PoseCorrection
from spisonet.misalignment.pose_output import write_poses
from tests.misalignment.particle_sets import BOX, PIXEL
from tests.relion_external.refined_project import JOB, write_refined_project

OPTIONS = ["--resolution", "18", "--rounds", "1", "--ncpus", "1"]
POSES = {"rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst"}


@pytest.fixture(scope="module")
def drifted_once(tmp_path_factory) -> Path:
    project = tmp_path_factory.mktemp("drifted") / "a project"
    write_refined_project(project, 1.0)
    return project


@pytest.fixture
def project(drifted_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the drifted project, as the working directory."""
    shutil.copytree(drifted_once, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def tilts(star: Path) -> np.ndarray:
    return starfile.read(star)["particles"]["rlnAngleTilt"].to_numpy()


def test_drifted_poses_are_corrected_and_written_with_maps_and_commands(project, capsys):
    source = (project / JOB / "run_data.star").read_bytes()
    main(["relion", "rescue", str(JOB), "--o", "out", *OPTIONS])
    shown = capsys.readouterr().out
    assert "the poses have drifted" in shown
    assert (project / JOB / "run_data.star").read_bytes() == source
    out = Path("out")
    before, after = (starfile.read(path) for path in (JOB / "run_data.star", out / "particles.star"))
    assert before["optics"].equals(after["optics"])
    assert list(before["particles"]) == list(after["particles"])
    kept = [name for name in before["particles"] if name not in POSES]
    assert before["particles"][kept].equals(after["particles"][kept])
    true = np.median(tilts(Path("particles.star")))
    drifted, corrected = (np.median(tilts(path)) for path in (JOB / "run_data.star", out / "particles.star"))
    assert abs(corrected - true) < 0.5 * abs(drifted - true)
    for name in ("run_half1_class001_unfil.mrc", "run_half2_class001_unfil.mrc", "reference.mrc"):
        volume = read_volume(out / name)
        assert (volume.box, volume.voxel_size_angstrom) == (BOX, PIXEL)
    numbers = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert numbers["is_corrected"]
    assert numbers["drift"]["is_detected"]
    assert numbers["correction"]["rise"] > 3 * numbers["correction"]["rise_standard_error"]
    assert numbers["fsc_by_direction"]["after"]["cfar"] > 0
    page = (out / "report.html").read_text(encoding="utf-8")
    for name in numbers["figures"]:
        assert (out / name).is_file()
    assert page.count("<figure>") == len(numbers["figures"]) == 4
    postprocess, _, _, refine = numbers["commands"]
    assert f"  {refine}" in shown
    assert postprocess.startswith("relion_postprocess --i out/run_half1_class001_unfil.mrc --mask mask.mrc")
    assert "--i out/particles.star --ref out/reference.mrc --ini_high 30" in refine
    assert "--particle_diameter 120" in refine
    for word in ("--firstiter_cc", "--pipeline_control", "particles.star --ref ref.mrc", "job002/run"):
        assert word not in refine
    record = json.loads((out / "job.json").read_text(encoding="utf-8"))
    assert (record["status"], record["drift"]["is_detected"]) == ("finished", True)
    nodes = [(node.name, node.type) for node in JOBS["rescue"].nodes(out)]
    assert nodes[:3] == [
        ("run_half1_class001_unfil.mrc", NodeType.HALF_MAP),
        ("run_half2_class001_unfil.mrc", NodeType.HALF_MAP),
        ("particles.star", NodeType.PARTICLES),
    ]
    # The same folder is not used again.
    with pytest.raises(SystemExit):
        main(["relion", "rescue", str(JOB), "--o", "out", *OPTIONS])
    assert "nothing is overwritten" in capsys.readouterr().err


def test_an_external_job_does_not_change_true_poses(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    write_refined_project(tmp_path, 0.0)
    out = Path("External/job003")
    out.mkdir(parents=True)
    words = ["--o", f"{out}/", "--in_3dref", str(JOB / "run_class001.mrc"), "--resolution", "18", "--j", "1"]
    (JOB / "run_class001.mrc").touch()
    with pytest.raises(SystemExit) as left:
        run_job("rescue", words)
    shown = capfd.readouterr().out
    assert left.value.code == 0
    assert (out / "RELION_JOB_EXIT_SUCCESS").is_file()
    assert f"spisonet.py relion rescue {JOB} --o {out}" in shown
    assert "no drift of the poses was found" in shown
    assert "No drift of the poses was found" in (out / "report.html").read_text(encoding="utf-8")
    assert not list(out.glob("*.mrc"))
    assert not (out / "particles.star").exists()
    assert not json.loads((out / "report.json").read_text(encoding="utf-8"))["is_corrected"]
    assert JOBS["rescue"].nodes(out) == []
    assert (out / "logfile.pdf").read_bytes().startswith(b"%PDF")


def change(column: str, values: object) -> None:
    tables = starfile.read(JOB / "run_data.star")
    tables["particles"][column] = values
    starfile.write(tables, JOB / "run_data.star", overwrite=True)


def remove(column: str) -> None:
    tables = starfile.read(JOB / "run_data.star")
    tables["particles"] = tables["particles"].drop(columns=column)
    starfile.write(tables, JOB / "run_data.star", overwrite=True)


def only_first(n: int) -> None:
    tables = starfile.read(JOB / "run_data.star")
    tables["particles"] = tables["particles"].head(n)
    starfile.write(tables, JOB / "run_data.star", overwrite=True)


def poses_of_another_job() -> None:
    particles = read_particle_images(JOB / "run_data.star")
    order = np.random.default_rng(0).permutation(len(particles))
    poses = Poses(particles.rotations[order], particles.origins_angstrom)
    write_poses(JOB / "new.star", particles, poses)
    (JOB / "new.star").rename(JOB / "run_data.star")


def images_of_noise() -> None:
    with mrcfile.open("particles.mrcs", "r+") as stack:
        stack.set_data(np.random.default_rng(0).normal(size=stack.data.shape).astype(np.float32))


def mask_of_another_box() -> None:
    with mrcfile.new("mask.mrc", overwrite=True) as mrc:
        mrc.set_data(np.pad(np.ones((8, 8, 8), np.float32), 6))
        mrc.voxel_size = PIXEL


def mask_of_other_voxels() -> None:
    with mrcfile.open("mask.mrc", "r+") as mrc:
        mrc.voxel_size = 1.01 * PIXEL


def optimiser_with(text: str, new: str) -> None:
    path = JOB / "run_it007_optimiser.star"
    old = path.read_text(encoding="utf-8")
    assert text in old
    path.write_text(old.replace(text, new), encoding="utf-8")


def without_final_files() -> None:
    (JOB / "run_data.star").rename(JOB / "run_it007_data.star")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Path("particles.mrcs").unlink, "particles.mrcs, an image file of"),
        (lambda: remove("rlnRandomSubset"), "no column rlnRandomSubset"),
        (lambda: change("rlnRandomSubset", 1), "half sets"),
        (lambda: change("rlnRandomSubset", np.nan), "rlnRandomSubset is nan in row"),
        (poses_of_another_job, "poses of other particles"),
        (images_of_noise, "poses of other particles"),
        (mask_of_another_box, "mask.mrc has a box of 20 voxels"),
        (mask_of_other_voxels, "mask.mrc has voxels of 5.05 Å, but the images of"),
        (lambda: optimiser_with("--ctf ", "--ctf --only_flip_phases "), "with --only_flip_phases"),
        (lambda: remove("rlnDefocusU"), "no column rlnDefocusU"),
        (lambda: only_first(99), "lists 99 particles; at least 100"),
        (lambda: change("rlnAngleTilt", np.nan), "rlnAngleTilt is nan in row"),
        (without_final_files, "is still running"),
        ((JOB / "run_data.star").unlink, "contains no particles of a refinement"),
        (lambda: remove("rlnOriginXAngst"), "rlnOriginXAngst"),
    ],
)
def test_a_fault_is_one_sentence_and_nothing_is_written(project, capsys, fault, words):
    fault()
    before = sorted(project.rglob("*"))
    with pytest.raises(SystemExit) as stop:
        main(["relion", "rescue", str(JOB), "--o", "out", *OPTIONS])
    assert stop.value.code == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert sorted(project.rglob("*")) == before


def test_lack_of_memory_in_the_first_checks_is_one_sentence(project, capsys, monkeypatch):
    def without_memory(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(rescue, "model_of_subset", without_memory)
    with pytest.raises(SystemExit) as stop:
        main(["relion", "rescue", str(JOB), "--o", "out", *OPTIONS])
    assert stop.value.code == 1
    error = capsys.readouterr().err
    assert "out of memory: use --device cpu" in error
    assert error.count("\n") == 1
    assert not Path("out").exists()


def test_without_a_rise_only_the_report_is_written(project, capsys, monkeypatch):
    """Also a job without a mask, in which the band ends where the FSC says."""

    def unchanged(model, poses, *_, **__) -> PoseCorrection:
        likelihood = cross_half_likelihood(model, poses)
        motion = MotionFit(poses, poses, likelihood, likelihood, 0, 1.0)
        return PoseCorrection(motion, (), poses, likelihood, likelihood)

    monkeypatch.setattr(rescue, "correct_poses", unchanged)
    optimiser_with('"mask.mrc"', "None")
    main(["relion", "rescue", str(JOB), "--o", "out", "--ncpus", "1"])
    shown = capsys.readouterr().out
    assert "mask: a soft sphere of 120 Å (the refinement has no mask). Band: 53 to " in shown
    assert "(the FSC of the half maps falls to 0.5 there)" in shown
    numbers = json.loads(Path("out/report.json").read_text(encoding="utf-8"))
    assert numbers["drift"]["is_detected"]
    assert not numbers["is_corrected"]
    assert numbers["commands"] == []
    assert (numbers["mask"], numbers["spherical_mask_diameter_angstrom"]) == (None, 120)
    page = Path("out/report.html").read_text(encoding="utf-8")
    assert "no correction raised the log-likelihood significantly" in page
    assert "they were corrected" not in page
    assert not list(Path("out").glob("*.mrc"))
    assert not Path("out/particles.star").exists()


def test_the_last_iteration_of_a_job_that_was_stopped_is_read(project):
    without_final_files()
    shutil.copy(JOB / "run_it007_data.star", JOB / "run_it006_data.star")
    shutil.copy(JOB / "run_it007_data.star", JOB / "run_it000_data.star")
    with pytest.raises(SpisonetError, match="still running") as caught:
        read_finished_refinement(JOB)
    assert caught.value.code == "job_running"
    (JOB / "RELION_JOB_EXIT_ABORTED").touch()
    found = read_finished_refinement(JOB)
    assert found.particles == JOB / "run_it007_data.star"
    assert found.symmetry == "C1"
    # A continued run has another name.
    shutil.copy(JOB / "run_it007_data.star", JOB / "run_ct7_data.star")
    assert read_finished_refinement(JOB).particles == JOB / "run_ct7_data.star"


def test_origins_of_relion_30_are_in_pixels(tmp_path):
    source = tmp_path / "run_data.star"
    project = tmp_path / "p"
    write_refined_project(project, 0.0, n=100)
    tables = starfile.read(project / "particles.star")
    table = tables["particles"]
    for axis in "XY":
        table[f"rlnOrigin{axis}"] = table.pop(f"rlnOrigin{axis}Angst") / PIXEL
    table["rlnMagnification"], table["rlnDetectorPixelSize"] = 1e4, PIXEL
    for name in ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast"):
        table[name] = float(tables["optics"][name].iloc[0])
    starfile.write({"": table.drop(columns="rlnOpticsGroup")}, source)
    particles = read_particle_images(source, project)
    moved = Poses(particles.rotations[::-1], particles.origins_angstrom + np.array([5.0, 10.0]))
    write_poses(tmp_path / "new.star", particles, moved)
    found = read_particle_images(tmp_path / "new.star", project)
    np.testing.assert_allclose(found.rotations, moved.rotations, atol=1e-7)
    np.testing.assert_allclose(found.origins_angstrom, moved.origins_angstrom, atol=1e-5)
