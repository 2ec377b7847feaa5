"""The job page, from the files of a run."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from spisonet.gui.job import Job
from spisonet.gui.job_details import describe_job, list_results, read_log, summarise_job
from spisonet.io.events import progress_to_folder, report_progress

RECORD = {"program": "spisonet", "command": "refine", "config": {"star_file": "t.star"}, "version": "2"}


def write_run(folder: Path, **changes: object) -> Job:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "job.json").write_text(json.dumps({**RECORD, **changes}), encoding="utf-8")
    return Job(folder, "run")


def test_progress_is_shown_by_stage(tmp_path):
    job = write_run(tmp_path, status="running")
    with progress_to_folder(tmp_path):
        for half in ("half map 1", "half map 2"):
            for epoch in (1, 2, 3):
                report_progress("training", half, epoch, 3, "epochs", loss=1 / epoch, seconds_left=30.0)
        report_progress("prediction", "half map 1", 5, 64, "tiles")
        report_progress("validation", "", 1, 6, "cones")
    stages = describe_job(job)["stages"]
    assert [(stage["stage"], stage["title"], stage["done"], stage["total"]) for stage in stages] == [
        ("training", "half map 1", 3, 3),
        ("training", "half map 2", 3, 3),
        ("prediction", "half map 1", 5, 64),
        ("validation", "", 1, 6),
    ]
    assert stages[0]["losses"] == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3, abs=1e-6))]
    assert stages[2]["losses"] == []
    assert stages[0]["seconds_left"] == 30
    assert summarise_job(job)["progress"]["stage"] == "validation"


def test_the_prediction_after_a_training_is_shown(tmp_path):
    job = write_run(tmp_path, status="running")
    predictions = tmp_path / "corrected"
    predictions.mkdir()
    with progress_to_folder(predictions):
        report_progress("tomograms", "of an earlier run", 2, 2, "tomograms")
    time.sleep(0.01)  # the times of events are rounded to milliseconds
    with progress_to_folder(tmp_path):
        report_progress("training", "tomograms", 3, 3, "epochs", loss=0.1)
    with progress_to_folder(predictions):
        report_progress("tomograms", "t.star", 1, 2, "tomograms")
    assert [stage["title"] for stage in describe_job(job)["stages"]] == ["tomograms", "t.star"]
    assert summarise_job(job)["progress"]["stage"] == "tomograms"


def test_a_validation_shows_what_it_reports_into_the_folder_of_the_finished_run(tmp_path):
    finished = write_run(tmp_path / "jobs" / "001_reconstruct").folder
    with progress_to_folder(finished):
        report_progress("training", "both halves", 30, 30, "epochs", loss=0.1)
    time.sleep(0.01)  # the times of events are rounded to milliseconds
    submitted = time.time()
    folder = tmp_path / "jobs" / "002_validate"
    config = {"folder": "jobs/001_reconstruct"}
    write_run(folder, command="validate", config=config)
    (folder / "launch.json").write_text(json.dumps({"submitted": submitted}), encoding="utf-8")
    job = Job(folder, "jobs/002_validate")
    assert describe_job(job)["stages"] == []
    with progress_to_folder(finished):
        report_progress("validation", "held-out cones", 1, 6, "cones")
    (stage,) = describe_job(job)["stages"]
    assert (stage["stage"], stage["done"], stage["total"]) == ("validation", 1, 6)


def test_epochs_that_a_resumed_run_repeats_are_shown_once(tmp_path):
    job = write_run(tmp_path)
    with progress_to_folder(tmp_path):
        for epoch, loss in ((1, 0.9), (2, 0.8), (3, 0.7), (3, 0.6), (4, 0.5)):
            report_progress("training", "tomograms", epoch, 9, "epochs", loss=loss)
    (stage,) = describe_job(job)["stages"]
    assert stage["done"] == 4
    assert stage["losses"] == [(1, 0.9), (2, 0.8), (3, 0.6), (4, 0.5)]


def test_a_diverged_training_is_shown_without_its_infinite_losses(tmp_path):
    job = write_run(tmp_path)
    with progress_to_folder(tmp_path):
        for epoch, loss in ((1, 1.5), (2, float("nan")), (3, float("inf"))):
            report_progress("training", "tomograms", epoch, 3, "epochs", loss=loss)
    (stage,) = describe_job(job)["stages"]
    assert stage["done"] == 3
    assert stage["losses"] == [(1, 1.5)]


def test_the_error_of_a_failed_run_comes_from_its_record(tmp_path):
    error = {"message": "h1.mrc is not a readable MRC file.", "code": "unreadable", "field": "i1"}
    job = write_run(tmp_path, status="failed", error=error)
    assert describe_job(job)["error"] == error
    assert summarise_job(job)["state"] == "failed"


@pytest.mark.parametrize("error", [None, "text", {}, {"message": 3}])
def test_a_run_without_an_error_shows_none(tmp_path, error):
    assert describe_job(write_run(tmp_path, error=error))["error"] is None


def test_the_form_of_a_run_writes_into_the_folder_of_the_new_job(tmp_path):
    config = {"star_file": "t.star", "output_dir": "run", "epochs": 7, "gpuID": "0"}
    details = describe_job(write_run(tmp_path, config=config))
    assert details["values"] == {"star_file": "t.star", "output_dir": "{job}", "epochs": "7"}
    assert details["inputs"] == ["t.star"]


def test_the_log_is_read_in_pages(tmp_path):
    job = write_run(tmp_path)
    assert read_log(job, -1) == {"text": "", "next": 0, "more": False}
    lines = "".join(f"line {number}\n" for number in range(40_000))
    (tmp_path / "run.log").write_text(lines, encoding="utf-8")
    read, offset = "", 0
    for _ in range(10):
        page = read_log(job, offset)
        read, offset = read + page["text"], page["next"]
        if not page["more"]:
            break
    assert read == lines
    last = read_log(job, -1)["text"]
    assert lines.endswith(last)
    assert 0 < len(last) < len(lines)


def test_files_are_listed_by_kind_without_hidden_ones(tmp_path):
    for name in ("a.mrc", "report.html", "loss.png", "run.log", "progress.jsonl", "t.star", "n.safetensors"):
        (tmp_path / name).touch()
    (tmp_path / "sub" / ".hidden").mkdir(parents=True)
    (tmp_path / "sub" / ".hidden" / "x.mrc").touch()
    kinds = {result["name"]: result["kind"] for result in list_results(tmp_path, "jobs/001")}
    assert kinds == {
        "jobs/001/a.mrc": "volume",
        "jobs/001/report.html": "page",
        "jobs/001/loss.png": "image",
        "jobs/001/run.log": "text",
        "jobs/001/progress.jsonl": "text",
        "jobs/001/t.star": "table",
        "jobs/001/n.safetensors": "other",
    }


def test_the_map_to_build_into_heads_the_list_of_files(tmp_path):
    for name in ("a.mrc", "corrected_full.mrc"):
        (tmp_path / name).touch()
    for record, expected in (
        ({"full_map": {"corrected": "corrected_full.mrc"}}, [("corrected_full.mrc", True), ("a.mrc", False)]),
        ({"full_map": None}, [("a.mrc", False), ("corrected_full.mrc", False)]),
        ({}, [("a.mrc", False), ("corrected_full.mrc", False)]),
    ):
        results = describe_job(write_run(tmp_path, **record))["results"]
        found = [(r["name"].removeprefix("run/"), r["main"]) for r in results if r["kind"] == "volume"]
        assert found == expected
