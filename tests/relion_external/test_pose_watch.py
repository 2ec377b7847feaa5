"""Drift of the poses in the lines of a refinement, and refinements in which it cannot be measured."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from relion_external import pose_watch
from relion_external.reconstruct import main
from relion_external.workspace import read_records
from tests.relion_external.refined_project import JOB, write_refined_project


@pytest.fixture(scope="module")
def drifted(tmp_path_factory) -> Path:
    """A folder with particles.mrcs and a data file of drifted poses."""
    folder = tmp_path_factory.mktemp("drifted")
    write_refined_project(folder, 1.2)
    return folder


@pytest.fixture
def job(make_job, drifted, monkeypatch):
    """A refinement whose iterations 2 and 3 have drifted poses."""
    monkeypatch.setenv("ISONET_EPOCHS", "0")
    monkeypatch.setenv("ISONET_DEVICE", "cpu")
    monkeypatch.setenv("ISONET_START_HEALPIX", "9")  # the correction is skipped, which is quicker
    job = make_job()
    shutil.copy(drifted / "particles.mrcs", job.project)
    job.write_iteration(3)
    for iteration in (2, 3):
        shutil.copy(drifted / JOB / "run_data.star", job.folder / f"run_it{iteration:03d}_data.star")
    return job


def finished_worker(result: dict[str, object]) -> Callable[..., subprocess.Popen[bytes]]:
    """Return a replacement of `start_worker` that writes a known result."""

    def start(_: str, path: str, *words: str) -> subprocess.Popen[bytes]:
        Path(path).write_text(json.dumps(result), encoding="utf-8")
        return subprocess.Popen(["true"])

    return start


def test_a_drift_is_in_the_line_and_its_warning_comes_once(job, capfd, monkeypatch):
    monkeypatch.delenv("ISONET_START_HEALPIX")
    main([str(job.write_call(3))])
    shown = capfd.readouterr()
    assert "; poses: most likely collective motion" in shown.out
    assert "poses drift: after iteration 2" in shown.err
    assert "spisonet relion rescue Refine3D/job007" in shown.err
    (record,) = read_records(job.folder)
    drift = record.metrics["pose_drift"]
    assert record.status == "corrected"
    assert drift["is_detected"]
    assert drift["n_particles"] == 600
    monkeypatch.setenv("ISONET_START_HEALPIX", "9")
    main([str(job.write_call(3, "_half2_class001"))])
    assert "collective motion" not in capfd.readouterr().out  # half 1 measures both
    monkeypatch.setattr(pose_watch, "start_worker", finished_worker({"pose_drift": drift}))
    main([str(job.write_call(4))])
    shown = capfd.readouterr()
    assert "; poses: most likely collective motion" in shown.out
    assert "poses drift" not in shown.err
    page = (job.folder / "spisonet" / "summary.html").read_text(encoding="utf-8")
    assert "most likely collective motion of the poses" in page
    assert not list((job.folder / "spisonet").glob("*pose_drift*"))


def test_what_cannot_be_measured_is_said_once_and_the_refinement_goes_on(job, capfd, monkeypatch):
    (job.project / "particles.mrcs").unlink()
    main([str(job.write_call(3))])
    shown = capfd.readouterr()
    assert "skipped" in shown.out
    assert shown.err.count("The drift of the poses was not measured: particles.mrcs, an image file of") == 1
    (record,) = read_records(job.folder)
    monkeypatch.setattr(pose_watch, "start_worker", finished_worker(record.metrics))
    main([str(job.write_call(4))])
    assert "not measured" not in capfd.readouterr().err


def test_a_process_that_fails_or_is_slow_does_not_stop_the_refinement(job, capfd, monkeypatch):
    monkeypatch.setattr(pose_watch, "TIMEOUT_SECONDS", 0.0)
    main([str(job.write_call(3))])
    shown = capfd.readouterr()
    assert "skipped" in shown.out
    assert "it took more than 0 s" in shown.err
    monkeypatch.setattr(pose_watch, "MODULE", "relion_external.no_such_module")
    monkeypatch.setattr(pose_watch, "TIMEOUT_SECONDS", 60.0)
    main([str(job.write_call(4))])
    assert "skipped" in capfd.readouterr().out


@pytest.mark.parametrize("fault", ["off", "iteration 1", "no images"])
def test_no_process_is_started_where_nothing_is_to_be_measured(job, capfd, monkeypatch, fault):
    def fail(*_: str) -> None:
        raise AssertionError

    monkeypatch.setattr(pose_watch, "start_worker", fail)
    iteration = 3
    if fault == "off":
        monkeypatch.setenv("ISONET_POSE_DRIFT", "False")
    elif fault == "iteration 1":
        iteration = 1
    else:
        job.write_iteration(2)  # RELION's files without images
    main([str(job.write_call(iteration))])
    assert "skipped" in capfd.readouterr().out
