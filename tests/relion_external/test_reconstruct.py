"""The program that RELION calls: corrected map, uncorrected map after a failure, and printed lines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from relion_external.reconstruct import main
from relion_external.workspace import read_records
from spisonet.io.labels import read_tokens
from spisonet.io.locks import FileLock
from spisonet.io.mrc import read_volume, write_volume
from tests.relion_external.conftest import COMMAND, uneven_back_projector

SMALL = {
    "ISONET_EPOCHS": "0",
    "ISONET_N_SUBVOLUME": "4",
    "ISONET_FILTER_BASE": "4",
    "ISONET_CUBE_SIZE": "16",
    "ISONET_DEVICE": "cpu",
}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for name, value in SMALL.items():
        monkeypatch.setenv(name, value)


def call(star: Path) -> int:
    try:
        main([str(star)])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def uncorrected(back_projector, gridding: bool = True, minres_map: int = 5) -> np.ndarray:
    return replace(back_projector, minres_map=minres_map).reconstruct(gridding=gridding)


def test_a_call_is_corrected(make_job, capfd, monkeypatch):
    monkeypatch.setenv("ISONET_EPOCHS", "1")
    job = make_job()
    star = job.write_call(3)
    before = {path: path.read_bytes() for path in job.folder.iterdir() if path.is_file()}
    assert call(star) == 0
    result = read_volume(job.result(3), 4.0).data
    assert not np.allclose(result, uncorrected(uneven_back_projector()), atol=1e-3 * result.max())
    assert result.std() == pytest.approx(uncorrected(uneven_back_projector()).std(), rel=0.5)
    line = capfd.readouterr().out
    assert "iteration 3 half1 class001: corrected in" in line
    assert "inferred" in line
    # RELION's own files are as they were.
    assert all(path.read_bytes() == content for path, content in before.items())
    assert not (job.folder / "run_it003_half1_class001_external_reconstruct_out.star").exists()
    names = {path.name for path in (job.folder / "spisonet").iterdir()}
    assert "run_it003_half1_class001.mrc" not in names
    (record,) = read_records(job.folder)
    assert record.status == "corrected"
    assert record.halves == "independent"
    assert read_tokens(read_volume(job.result(3), 4.0).labels) == {"halves": {"independent"}}
    assert record.metrics["initial_reference_to_angstrom"] == 30
    share = record.metrics["kept_fraction_of_change"]
    assert 0 < share < 1
    assert f"initial reference trusted, kept to 30 Å: {100 * share:.0f} % of the change of the map" in line
    assert json.loads((job.folder / "spisonet" / "summary.json").read_text())["rows"][0]["iteration"] == 3


@pytest.mark.parametrize("version", ["4.0", "5.0"])
def test_newer_versions_are_corrected_alike(make_job, version, capfd):
    job = make_job(version)
    assert call(job.write_call(1234, "_half2_class001")) == 0  # there is no iteration 1233
    assert "NOT corrected" in capfd.readouterr().out
    found = read_volume(job.result(1234, "_half2_class001"), 4.0).data
    assert found == pytest.approx(uncorrected(uneven_back_projector(), gridding=False), abs=1e-6)
    job.write_iteration(1233)
    assert call(job.write_call(1234, "_half2_class001")) == 0
    assert "iteration 1234 half2 class001: corrected" in capfd.readouterr().out


def test_even_views_get_relions_own_map(make_job, capfd):
    job, even = make_job(), uneven_back_projector(opening=0.0)
    assert call(job.write_call(3, back_projector=even)) == 0
    assert read_volume(job.result(3), 4.0).data == pytest.approx(uncorrected(even), abs=1e-6)
    assert "skipped: the views are even" in capfd.readouterr().out
    (record,) = read_records(job.folder)
    assert (record.status, record.reason_code) == ("skipped", "even_views")


def test_averages_of_volumes_have_relions_internal_scale(make_job, capfd, monkeypatch):
    monkeypatch.setenv("ISONET_SUBTOMOGRAMS", "True")
    job, even = make_job(), uneven_back_projector(opening=0.0)
    job.write_iteration(2, dimensionality=3)
    assert call(job.write_call(3, back_projector=even)) == 0
    expected = uncorrected(even) * even.box
    assert read_volume(job.result(3), 4.0).data == pytest.approx(expected, abs=1e-6 * float(expected.max()))
    # The correction keeps that scale, and nothing of a first reference that may lack the same wedge.
    assert call(job.write_call(3)) == 0
    assert "corrected" in capfd.readouterr().out
    corrected = read_volume(job.result(3), 4.0).data
    expected = uncorrected(uneven_back_projector(), gridding=False) * even.box
    assert (corrected * expected).sum() / (expected**2).sum() == pytest.approx(1, abs=0.1)
    (record,) = read_records(job.folder)
    assert record.metrics["initial_reference_to_angstrom"] is None


def test_the_last_iteration_is_relions_own(make_job, capfd):
    job = make_job()
    job.write_iteration(2, f"{COMMAND} --skip_gridding")
    assert call(job.write_call(3, "_class001")) == 0
    assert read_volume(job.result(3, "_class001"), 4.0).data == pytest.approx(
        uncorrected(uneven_back_projector(), gridding=False), abs=1e-6
    )
    assert "skipped: the last iteration" in capfd.readouterr().out


def test_classes_of_a_classification_are_corrected(make_job, capfd):
    job = make_job()
    job.write_iteration(2, rlnDoSplitRandomHalves=0)
    assert call(job.write_call(3, "_class002")) == 0
    assert "iteration 3 class002: corrected" in capfd.readouterr().out
    (record,) = read_records(job.folder)
    assert (
        record.metrics["initial_reference_to_angstrom"] is None
    )  # classes that share a start must be free to part


def test_the_last_iteration_of_a_classification_is_relions_own(make_job, capfd):
    job = make_job()
    job.write_iteration(2, rlnDoSplitRandomHalves=0, rlnNumberOfIterations=3)
    assert call(job.write_call(3, "_class002")) == 0
    assert "skipped: this is the last iteration of the classification" in capfd.readouterr().out
    assert read_volume(job.result(3, "_class002"), 4.0).data == pytest.approx(
        uncorrected(uneven_back_projector()), abs=1e-6
    )
    # A continuation to more iterations begins with an optimiser file that still has the old number.
    job.write_iteration(3, rlnDoSplitRandomHalves=0, rlnNumberOfIterations=3)
    assert call(job.write_call(4, "_class002")) == 0
    assert "iteration 4 class002: corrected" in capfd.readouterr().out


@pytest.mark.parametrize(
    "parts", [("_half1_class001", "_half2_class001"), ("_class001", "_class002")], ids=" ".join
)
def test_variables_without_effect_are_named_once_in_a_refinement(make_job, capfd, monkeypatch, parts):
    for name in ("CONDA_ENV", "ISONET_START_EPOCHS", "ISONET_COMBINE"):
        monkeypatch.setenv(name, "True")
    monkeypatch.setattr("relion_external.reconstruct._reconstruct", lambda *_: None)
    job = make_job()
    named = []
    for iteration in (1, 2, 3):
        for part in parts:
            assert call(job.write_call(iteration, part)) == 0
            named.append(capfd.readouterr().err.count("has no effect"))
    assert named == [3, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("command", "values"),
    [(f"{COMMAND} --grad", {}), (COMMAND, {"rlnDoGradientRefine": 1}), (f"{COMMAND} --sgd", {})],
)
def test_gradient_refinements_are_refused_and_nothing_is_written(make_job, capfd, command, values):
    job = make_job("5.0")
    job.write_iteration(0, command, **values)
    for iteration in (1, 2):  # RELION writes no optimiser file in most of these iterations
        (job.folder / f"run_it{iteration:03d}_optimiser.star").unlink()
    star = job.write_call(3, "_class001")
    before = sorted(job.project.rglob("*"))
    assert call(star) == 1
    assert "A refinement by gradients" in capfd.readouterr().err
    assert sorted(job.project.rglob("*")) == before


@pytest.mark.parametrize(("given", "first"), [("", 5), ("--minres_map 8", 8), ("--minres_map 0", 0)])
def test_the_prior_begins_where_relions_own_does(make_job, given, first):
    job, even = make_job(), uneven_back_projector(opening=0.0)
    job.write_iteration(2, f"{COMMAND} {given}")
    assert call(job.write_call(3, back_projector=even)) == 0
    found = read_volume(job.result(3), 4.0).data
    assert found == pytest.approx(uncorrected(even, minres_map=first), abs=1e-6)
    assert np.abs(found - uncorrected(even, minres_map=3)).max() > 1e-5


def test_bodies_get_relions_own_maps(make_job, capfd):
    job = make_job()
    assert call(job.write_call(3, "_half1_body002")) == 0
    assert "skipped: bodies" in capfd.readouterr().out
    assert read_volume(job.result(3, "_half1_body002"), 4.0).data == pytest.approx(
        uncorrected(uneven_back_projector()), abs=1e-6
    )


def test_a_half_does_not_depend_on_the_other(make_job):
    job = make_job()
    star = job.write_call(3)
    assert call(star) == 0
    alone = read_volume(job.result(3), 4.0).data
    job.write_call(3, "_half2_class001", uneven_back_projector(7))
    assert call(job.write_call(3)) == 0
    assert np.array_equal(read_volume(job.result(3), 4.0).data, alone)


@pytest.mark.parametrize("value", ["0", "-1"])
def test_without_an_initial_low_pass_nothing_of_the_reference_is_kept(make_job, value):
    job = make_job()
    for iteration in (0, 2):
        job.write_iteration(iteration, COMMAND.replace("--ini_high 30", f"--ini_high {value}"))
    assert call(job.write_call(3)) == 0
    (record,) = read_records(job.folder)
    assert (record.status, record.metrics["initial_reference_to_angstrom"]) == ("corrected", None)


def test_a_continuation_replaces_the_records_of_repeated_iterations(make_job):
    job = make_job()
    for iteration in (3, 4):
        job.write_iteration(iteration)
    for iteration in (3, 4, 5, 3):
        assert call(job.write_call(iteration)) == 0
    assert [record.iteration for record in read_records(job.folder)] == [3]


def failing(job, capfd, reason: str, code: str = "invalid_input"):
    star = job.write_call(3)
    job.result(3).write_bytes(b"of an earlier run")
    assert call(star) == 0
    streams = capfd.readouterr()
    assert "NOT corrected: " in streams.out
    assert reason in streams.out
    (record,) = read_records(job.folder)
    assert (record.status, record.reason_code) == ("not_corrected", code)
    assert reason in streams.err
    assert read_volume(job.result(3), 4.0).data == pytest.approx(
        uncorrected(uneven_back_projector()), abs=1e-6
    )
    os.environ["ISONET_STRICT"] = "True"
    try:
        assert call(job.write_call(3)) == 1
    finally:
        del os.environ["ISONET_STRICT"]
    assert not job.result(3).exists()
    assert reason in capfd.readouterr().err


def test_a_misspelt_option_prevents_the_correction_only(make_job, capfd, monkeypatch):
    monkeypatch.setenv("ISONET_EPOCHES", "3")
    failing(make_job(), capfd, "did you mean EPOCHS", "invalid_option")


def test_a_mask_of_another_box_is_named(make_job, capfd):
    job = make_job()
    volume = read_volume(job.project / "mask.mrc")
    write_volume(job.project / "mask.mrc", volume.with_data(volume.data[:24, :24, :24]))
    failing(job, capfd, "box of 24 voxels; the reference has 32")


def test_a_failed_training_is_replaced_by_the_uncorrected_map(make_job, capfd, monkeypatch):
    monkeypatch.setenv("ISONET_EPOCHS", "1")
    monkeypatch.setenv("ISONET_LEARNING_RATE", "1e30")
    failing(make_job(), capfd, "--learning_rate is set by ISONET_LEARNING_RATE", "loss_not_finite")


def test_a_missing_gpu_does_not_stop_the_refinement(make_job, capfd, monkeypatch):
    monkeypatch.setenv("ISONET_DEVICE", "cuda:7")
    failing(make_job(), capfd, "does not exist")


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "not a readable MRC file"),
        (lambda path: path.unlink(), "does not exist"),
    ],
)
def test_without_its_arrays_a_call_fails_in_one_sentence(make_job, capfd, damage, complaint):
    job = make_job()
    star = job.write_call(3)
    damage(job.folder / "run_it003_half1_class001_external_reconstruct_weight.mrc")
    assert call(star) == 1
    error = capfd.readouterr().err.strip()
    assert complaint in error
    assert len(error.splitlines()) == 1
    assert not job.result(3).exists()


def test_a_second_process_on_the_same_call_writes_the_uncorrected_map(make_job, capfd, monkeypatch):
    job = make_job()
    star = job.write_call(3)
    (job.folder / "spisonet").mkdir()
    lock = FileLock(job.folder / "spisonet" / ".run_half1_class001.lock")
    assert lock.acquire(wait=False)
    job.result(3).write_bytes(b"what the first has just written")
    assert call(star) == 0
    assert "is processing" in capfd.readouterr().err
    assert read_volume(job.result(3), 4.0).data == pytest.approx(
        uncorrected(uneven_back_projector()), abs=1e-6
    )
    monkeypatch.setenv("ISONET_STRICT", "on")
    assert call(star) == 1
    assert job.result(3).is_file()
    lock.release()


def program(star: Path, limit_bytes: int | None = None) -> subprocess.Popen[str]:
    words = [sys.executable, "-P", "-m", "relion_external.reconstruct", str(star)]
    if limit_bytes is not None:
        words = ["prlimit", f"--fsize={limit_bytes}", *words]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_full_disk_is_an_error_and_leaves_no_half_map(make_job):
    job = make_job()
    process = program(job.write_call(3), limit_bytes=20_000)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "cannot be written" in error
    assert not job.result(3).exists()
    assert not list(job.folder.glob(".*partial*"))


def test_a_worker_killed_in_training_is_replaced_by_the_uncorrected_map(make_job, monkeypatch):
    monkeypatch.setenv("ISONET_EPOCHS", "1")
    monkeypatch.setenv("ISONET_N_SUBVOLUME", "100000")
    job = make_job()
    process = program(job.write_call(3))
    worker = find_child(process.pid)
    time.sleep(1)
    os.kill(worker, 9)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "NOT corrected: the training was killed by signal 9" in out
    assert read_volume(job.result(3), 4.0).data == pytest.approx(
        uncorrected(uneven_back_projector()), abs=1e-6
    )


def find_child(parent: int) -> int:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        if children:
            return int(children[0])
        time.sleep(0.1)
    raise AssertionError("no worker was started")


@pytest.mark.slow
def test_warm_starts_take_the_last_iterations_weights(make_job, capfd, monkeypatch):
    monkeypatch.setenv("ISONET_EPOCHS", "1")
    monkeypatch.setenv("ISONET_RETRAIN_EACH_ITER", "False")
    job = make_job()
    assert call(job.write_call(3)) == 0
    weights = job.folder / "spisonet" / "run_it003_half1_class001_network.safetensors"
    assert weights.is_file()
    job.write_iteration(3)
    kept = weights.read_bytes()
    assert call(job.write_call(4)) == 0
    warm = read_volume(job.result(4), 4.0).data
    assert not weights.exists()
    assert call(job.write_call(4)) == 0  # its start weights are gone
    assert not np.array_equal(read_volume(job.result(4), 4.0).data, warm)
    weights.write_bytes(kept)
    monkeypatch.setenv("ISONET_FILTER_BASE", "6")
    assert call(job.write_call(4)) == 0
    assert "NOT" not in capfd.readouterr().out


@pytest.mark.slow
def test_joint_halves_are_marked_as_not_independent(make_job, monkeypatch):
    monkeypatch.setenv("ISONET_JOINT", "True")
    job = make_job()
    stars = [job.write_call(3, f"_half{half}_class001", uneven_back_projector(half)) for half in (1, 2)]
    processes = [program(star) for star in stars]
    outputs = [process.communicate(timeout=180) for process in processes]
    assert all("HALVES NOT INDEPENDENT" in out for out, _ in outputs), outputs
    for half in (1, 2):
        labels = read_volume(job.result(3, f"_half{half}_class001"), 4.0).labels
        assert read_tokens(labels) == {"halves": {"coupled"}}
    records = read_records(job.folder)
    assert [record.halves for record in records] == ["coupled", "coupled"]
    job.write_iteration(3)
    assert call(job.write_call(4, "_class001")) == 0
    assert "NOT independent" in (job.folder / "spisonet" / "summary.html").read_text()


def test_weights_from_the_views_need_the_particles(make_job, capfd, monkeypatch):
    monkeypatch.setenv("ISONET_3DFSD", "True")
    job = make_job()
    assert call(job.write_call(3)) == 0
    assert ": corrected in" in capfd.readouterr().out
    (job.folder / "run_it002_data.star").unlink()
    assert call(job.write_call(3)) == 0
    assert "NOT corrected" in capfd.readouterr().out


def test_help_names_every_option(capsys):
    main(["--help"])
    text = capsys.readouterr().out
    assert "ISONET_KEEP_LOWRES" in text
    assert "--check" in text


def test_a_folder_with_a_blank_in_its_name_is_put_together_again(tmp_path, monkeypatch):
    (tmp_path / "my job").mkdir()
    star = tmp_path / "my job" / "run.star"
    star.touch()
    calls = []
    monkeypatch.setattr("relion_external.reconstruct.reconstruct", calls.append)
    monkeypatch.setattr("relion_external.reconstruct.end_with_parent", lambda: None)
    main(str(star).split())
    assert calls == [star]


def test_anything_else_is_refused(capfd):
    for words in (["a.star"], ["a.star", "b.star"]):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 1
    assert capfd.readouterr().err.count("\n") == 2
