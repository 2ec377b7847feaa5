"""Jobs: started once, independent of the server, read from their folders alone."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from spisonet.commands.main import isonet
from spisonet.errors import SpisonetError
from spisonet.gui.allowed_folders import AllowedFolders
from spisonet.gui.job_details import describe_job
from spisonet.gui.jobs import Jobs
from spisonet.gui.processes import is_alive
from spisonet.io.logs import log_to_folder
from tests.gui.conftest import ACTIVE, SCRIPTS, Server, end, serve, write_map

WHITEN = {"h1": "map.mrc", "o": "{job}/whitened.mrc", "high_res": "9", "low_res": "40"}
SLOW = {
    "star_file": "t.star",
    "output_dir": "{job}",
    "filter_base": "4",
    "cube_size": "16",
    "epochs": "1000",
    "n_subvolume": "16",
    "ncpus": "1",
    "preview": False,
    "with_predict": False,
}


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_map(tmp_path / "map.mrc")
    (tmp_path / "tomograms").mkdir()
    write_map(tmp_path / "tomograms" / "TS_01.mrc", (24, 40, 40))
    isonet("prepare_star tomograms --output_star t.star".split())
    return tmp_path


@pytest.fixture
def served(project):
    started = serve(project)
    yield started
    for job in started.get("api/jobs").json:
        if job["state"] in ACTIVE and job["started_here"]:
            started.post("api/stop", {"name": job["name"]})
            started.wait(job["name"])
    end(started)


def start_slow(server: Server, key: str, **values: str) -> str:
    reply = server.start("isonet", "refine", {**SLOW, **values}, key)
    assert reply.status == 200, reply.content
    return str(reply.json["name"])


def has_trained(job: dict) -> bool:
    assert job["state"] in ACTIVE, job
    return n_epochs(job) > 1


def n_epochs(job: dict) -> int:
    """Completed epochs of training."""
    return max((stage["done"] for stage in job["stages"] if stage["stage"] == "training"), default=0)


def test_a_job_runs_the_displayed_command_and_writes_into_its_folder(served):
    name = served.start("spisonet", "whitening", WHITEN, "key-00001").json["name"]
    assert name == "jobs/001_whitening"
    job = served.wait(name)
    assert job["state"] == "finished"
    line = "spisonet.py whitening map.mrc --o jobs/001_whitening/whitened.mrc --high_res 9.0 --low_res 40.0"
    assert job["line"] == line.split()
    assert {result["name"] for result in job["results"] if result["kind"] == "volume"} == {
        f"{name}/whitened.mrc"
    }
    record = json.loads((served.project / name / "job.json").read_text(encoding="utf-8"))
    assert record["status"] == "finished"
    assert record["config"]["o"] == f"{name}/whitened.mrc"
    # The same line on the command line gives the same file.
    again = [*job["line"][:3], "--o", "again.mrc", *job["line"][5:]]
    subprocess.run([SCRIPTS / again[0], *again[1:]], cwd=served.project, check=True, capture_output=True)
    written = (served.project / name / "whitened.mrc").read_bytes()[1024:]
    assert (served.project / "again.mrc").read_bytes()[1024:] == written


def test_a_form_submitted_from_many_pages_starts_one_job(served):
    with ThreadPoolExecutor(10) as pool:
        replies = list(
            pool.map(lambda _: served.start("spisonet", "whitening", WHITEN, "one-key-for-all"), range(10))
        )
    assert {reply.json["name"] for reply in replies} == {"jobs/001_whitening"}
    served.wait("jobs/001_whitening")
    assert len(served.get("api/jobs").json) == 1


def test_a_second_server_of_the_same_project_does_not_start_the_job_again(served, project):
    other = serve(project)
    try:
        with ThreadPoolExecutor(8) as pool:
            replies = list(
                pool.map(
                    lambda n: (served, other)[n % 2].start("isonet", "refine", SLOW, f"different-{n}"),
                    range(8),
                )
            )
        assert sorted(reply.status for reply in replies) == [200, *[400] * 7]
        assert any("already running the same command" in reply.json.get("error", "") for reply in replies)
        name = next(reply.json["name"] for reply in replies if reply.status == 200)
        assert [job["name"] for job in other.get("api/jobs").json] == [name]
        # Of several pages that resume it, one does.
        served.wait(name, has_trained)
        assert other.post("api/stop", {"name": name}).status == 200
        assert served.wait(name)["state"] == "stopped"
        with ThreadPoolExecutor(4) as pool:
            replies = list(
                pool.map(lambda n: (served, other)[n % 2].post("api/resume", {"name": name}), range(4))
            )
        assert sorted(reply.status for reply in replies) == [200, 400, 400, 400]
    finally:
        end(other)


def test_jobs_continue_without_the_server_and_the_next_one_stops_and_resumes_them(served, project):
    name = start_slow(served, "key-outlive")
    served.wait(name, has_trained)
    end(served)
    process = json.loads((project / name / "process.json").read_text(encoding="utf-8"))
    assert is_alive(process["runner"])
    assert is_alive(process["child"])
    later = serve(project)
    served.process, served.address = later.process, later.address
    assert later.get("api/job", name=name).json["state"] == "running"
    assert later.post("api/delete", {"name": name}).status == 400
    assert later.post("api/stop", {"name": name}).status == 200
    later.wait(name, lambda job: job["state"] in ("stopping", "stopped"))
    stopped = later.wait(name)
    assert stopped["state"] == "stopped"
    state = json.loads((project / name / "process.json").read_text(encoding="utf-8"))
    seconds = state["ended"] - state["started"]
    assert stopped["resumable"]
    assert json.loads((project / name / "job.json").read_text(encoding="utf-8"))["status"] == "interrupted"
    before = n_epochs(stopped)
    assert later.post("api/resume", {"name": name}).status == 200
    resumed = later.wait(name, lambda job: n_epochs(job) > before)
    (training,) = (stage for stage in resumed["stages"] if stage["stage"] == "training")
    launch = json.loads((project / name / "launch.json").read_text(encoding="utf-8"))
    assert launch["seconds_before"] == pytest.approx(seconds)
    assert resumed["seconds"] >= round(seconds)
    epochs = [epoch for epoch, _ in training["losses"]]
    # Continued, not started from the first epoch; the loss of the epoch that was interrupted may be missing.
    assert epochs == sorted(set(epochs))
    assert len(epochs) >= training["done"] - 1


def test_a_killed_job_is_shown_as_died_and_can_be_resumed(served, project):
    name = start_slow(served, "key-killed")
    served.wait(name, has_trained)
    process = json.loads((project / name / "process.json").read_text(encoding="utf-8"))
    os.kill(process["runner"]["pid"], signal.SIGKILL)
    assert served.get("api/job", name=name).json["state"] == "running"  # the command itself lives
    assert served.post("api/resume", {"name": name}).status == 400
    os.killpg(process["child"]["pid"], signal.SIGKILL)
    job = served.wait(name)
    assert job["state"] == "died"
    assert job["resumable"]
    assert served.post("api/resume", {"name": name}).status == 200
    # Stopped at once, before its program has even started.
    assert served.post("api/stop", {"name": name}).status == 200
    assert served.wait(name)["state"] == "stopped"


def test_jobs_wait_for_the_device_in_the_order_of_their_start(served):
    first = start_slow(served, "key-first")
    served.wait(first, has_trained)

    def whiten(low_res: int, **target: bool) -> str:
        values = {**WHITEN, "low_res": str(low_res)}
        reply = served.start("spisonet", "whitening", values, f"key-wait-{low_res}", **target)
        return str(reply.json["name"])

    waiting = []
    for number in range(4):
        waiting.append(whiten(40 + number))
        served.wait(waiting[-1], lambda job: job["host"] is not None)  # it stands in the queue
    assert served.wait(whiten(50, wait=False))["state"] == "finished"
    queued = [served.get("api/job", name=name).json for name in waiting]
    assert {job["state"] for job in queued} == {"queued"}
    assert [job["waiting_for"] for job in queued] == [{"device": "cpu", "job": first}] * 4
    # One that waits can be stopped, too, and is not waited for.
    served.post("api/stop", {"name": waiting[1]})
    assert served.wait(waiting[1])["state"] == "stopped"
    served.post("api/stop", {"name": first})
    left = [waiting[0], *waiting[2:]]
    assert {served.wait(name)["state"] for name in left} == {"finished"}
    noted = [
        json.loads((served.project / name / "process.json").read_text(encoding="utf-8")) for name in left
    ]
    for before, after in itertools.pairwise(noted):
        assert before["ended"] <= after["started"] + 0.5  # its end is noted after its device is free


@pytest.fixture
def foreign_job(project):
    """Job that another machine runs; `age` is the time in seconds since its last sign of life."""

    def make(age: float) -> Jobs:
        folder = project / "jobs" / "001_refine"
        folder.mkdir(parents=True, exist_ok=True)
        now = time.time()
        files = {
            "job.json": {"program": "spisonet", "command": "refine", "config": {}, "status": "running"},
            "launch.json": {"program": "isonet", "submitted": now - 10 * age, "target": {}},
            "process.json": {
                "host": "another-host",
                "runner": {"pid": 1, "start": "x"},
                "state": "running",
                "started": now - age - 100,
            },
            "heartbeat": {},
        }
        for name, content in files.items():
            (folder / name).write_text(json.dumps(content), encoding="utf-8")
            os.utime(folder / name, (now - age, now - age))
        return Jobs(AllowedFolders(project, []), None)

    return make


def test_a_job_of_another_host_runs_as_long_as_its_heart_beats(foreign_job):
    jobs = foreign_job(60.0)
    (line,) = jobs.summaries()
    assert (line["state"], line["last_sign_of_life"]) == ("running", None)
    with pytest.raises(SpisonetError, match="is running"):
        jobs.mark_failed(line["name"])


def test_a_job_of_another_host_without_a_sign_of_life_can_be_marked_as_failed_and_deleted(foreign_job):
    jobs = foreign_job(120 * 3600.0)
    (line,) = jobs.summaries()
    assert (line["state"], line["host"], line["seconds"]) == ("unresponsive", "another-host", 100)
    assert time.time() - line["last_sign_of_life"] == pytest.approx(120 * 3600, abs=60)
    for refused in (jobs.stop, jobs.delete, jobs.resume):
        with pytest.raises(SpisonetError, match="unresponsive"):
            refused(line["name"])
    jobs.mark_failed(line["name"])
    job = describe_job(jobs.find(line["name"]))
    assert (job["state"], job["seconds"]) == ("failed", 100)
    assert "No sign of life from another-host since" in job["error"]["message"]
    jobs.delete(line["name"])
    assert jobs.summaries() == []


def test_a_job_that_was_marked_as_failed_but_still_writes_is_not_resumed(foreign_job, project):
    jobs = foreign_job(120 * 3600.0)
    name = "jobs/001_refine"
    with log_to_folder(project / name):
        assert jobs.find(name).state == "running"  # the lock of its log is a sign of life
    os.utime(project / name / "run.log", (1e9, 1e9))
    jobs.mark_failed(name)
    assert not jobs.find(name).is_still_written
    state = (project / name / "process.json").read_bytes()
    (project / name / "heartbeat").touch()
    with pytest.raises(SpisonetError, match="process on another-host still writes into"):
        jobs.resume(name)
    assert (project / name / "process.json").read_bytes() == state


def test_a_run_of_the_command_line_that_ended_without_a_record_is_unresponsive(project):
    folder = project / "run"
    folder.mkdir()
    record = {"program": "spisonet", "command": "refine", "config": {}, "status": "running"}
    (folder / "job.json").write_text(json.dumps(record), encoding="utf-8")
    jobs = Jobs(AllowedFolders(project, []), None)
    assert [line["state"] for line in jobs.summaries()] == ["running"]
    os.utime(folder / "job.json", (1e9, 1e9))
    assert [line["state"] for line in jobs.summaries()] == ["unresponsive"]
    jobs.mark_failed("run")
    assert [line["state"] for line in jobs.summaries()] == ["failed"]


def test_damaged_files_and_those_of_other_programs_do_no_harm(served, project):
    name = served.start("spisonet", "whitening", WHITEN, "key-good").json["name"]
    served.wait(name)
    foreign = {"cryosparc": {"type": "homo_refine"}, "config": {"program": "spisonet", "config": 3}}
    for folder, record in foreign.items():
        (project / folder).mkdir()
        (project / folder / "job.json").write_text(json.dumps(record), encoding="utf-8")
    assert [job["name"] for job in served.get("api/jobs").json] == [name]
    for file, content in (
        ("process.json", '{"state": "running"}'),
        ("process.json", '{"state": "running", "host": "x", "started": "y"}'),
        ("launch.json", '{"submitted": "today"}'),
        ("progress.jsonl", '{"stage": "training", "title": 1, "done": "x"}\n[1]\nnonsense'),
        ("launch.json", "[1]"),
        ("job.json", '{"program": "spisonet", "config": {"h1": 3}, "command": 7, "status": {}}'),
    ):
        (project / name / file).write_text(content, encoding="utf-8")
        assert [job["name"] for job in served.get("api/jobs").json] == [name]
        assert served.get("api/job", name=name).status in (200, 400)
        assert served.post("api/stop", {"name": name}).status in (200, 400)
        assert served.post("api/resume", {"name": name}).status == 400


def test_resuming_a_foreign_project_writes_nothing_outside(served, project):
    (project / "jobs" / "001_refine").mkdir(parents=True)
    record = {
        "program": "spisonet",
        "command": "refine",
        "config": {"star_file": "t.star", "output_dir": "/elsewhere"},
        "status": "interrupted",
    }
    (project / "jobs" / "001_refine" / "job.json").write_text(json.dumps(record), encoding="utf-8")
    launch = {"program": "isonet", "submitted": 1.0, "target": {}, "key": "k", "requested_line": []}
    (project / "jobs" / "001_refine" / "launch.json").write_text(json.dumps(launch), encoding="utf-8")
    (job,) = served.get("api/jobs").json
    assert job["state"] == "died"
    reply = served.post("api/resume", {"name": job["name"]})
    assert reply.status == 400
    assert "outside" in reply.json["error"]


def test_a_job_of_another_version_is_not_resumed(served, project):
    (project / "jobs" / "001_refine").mkdir(parents=True)
    record = {
        "program": "spisonet",
        "command": "refine",
        "config": {"star_file": "t.star"},
        "status": "failed",
    }
    (project / "jobs" / "001_refine" / "job.json").write_text(json.dumps(record), encoding="utf-8")
    for launch in ({"program": "isonet", "asked": 1.0, "place": {}}, {"program": "isonet", "target": []}):
        launch_file = project / "jobs" / "001_refine" / "launch.json"
        launch_file.write_text(json.dumps({"submitted": 1.0, **launch}), encoding="utf-8")
        reply = served.post("api/resume", {"name": "jobs/001_refine"})
        assert reply.status == 400
        assert "another version" in reply.json["error"]


def test_a_failed_job_shows_the_error_of_the_command(served, project):
    (project / "no_map.mrc").write_bytes(b"nothing")
    name = served.start("spisonet", "whitening", {**WHITEN, "h1": "no_map.mrc"}, "key-fails").json["name"]
    job = served.wait(name)
    assert job["state"] == "failed"
    assert "no_map.mrc" in job["error"]["message"]
    log = served.get("api/log", name=name).json["text"]
    assert log == f"spisonet: {job['error']['message']}\n"
    assert log.count("\n") == 1


def test_runs_of_the_command_line_are_listed_but_not_changed(served, project):
    words = "refine t.star --filter_base 4 --cube_size 16 --epochs 2 --n_subvolume 8 --no-with_predict"
    subprocess.run(
        [SCRIPTS / "isonet.py", *words.split(), "--output_dir", "deep/er/run"],
        cwd=project,
        check=True,
        capture_output=True,
    )
    (job,) = served.get("api/jobs").json
    assert (job["name"], job["state"], job["started_here"]) == ("deep/er/run", "finished", False)
    details = served.get("api/job", name="deep/er/run").json
    assert details["line"][:4] == ["isonet.py", "refine", "t.star", "--output_dir"]
    assert job["inputs"] == ["t.star"]
    assert details["values"]["output_dir"] == "{job}"
    assert len(details["losses"]) == 2
    assert "epoch 2 of 2" in served.get("api/log", name="deep/er/run").json["text"]
    for action in ("stop", "resume", "delete"):
        assert served.post(f"api/{action}", {"name": "deep/er/run"}).status == 400
    assert (project / "deep/er/run/network.safetensors").is_file()


def test_a_project_that_was_moved_shows_the_same_jobs(served, project, tmp_path_factory):
    name = served.start("spisonet", "whitening", WHITEN, "key-moved").json["name"]
    there = served.wait(name)
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "project"
    shutil.copytree(project, elsewhere)
    moved = describe_job(Jobs(AllowedFolders(elsewhere, []), None).find(name))
    differing = ("results",)  # copies are newer
    assert {k: v for k, v in moved.items() if k not in differing} == {
        k: v for k, v in there.items() if k not in differing
    }


def test_deleting_deletes_the_folder_and_nothing_else(served, project):
    name = served.start("spisonet", "whitening", WHITEN, "key-delete").json["name"]
    served.wait(name)
    outside = project / "keep"
    outside.mkdir()
    (outside / "file").touch()
    (project / name / "link").symlink_to(outside)
    for other in (".", "jobs", "keep", "..", "/"):
        assert served.post("api/delete", {"name": other}).status == 400
    assert served.post("api/delete", {"name": name}).status == 200
    assert not (project / name).exists()
    assert (outside / "file").is_file()
    assert served.get("api/jobs").json == []
    # The name of a deleted job stays its own, so that it can be restored.
    assert served.start("spisonet", "whitening", WHITEN, "key-after").json["name"] == "jobs/002_whitening"


def test_notes_of_two_pages_do_not_overwrite_each_other(project):
    folder = project / "run"
    folder.mkdir()
    record = {"program": "spisonet", "command": "refine", "config": {}, "status": "finished"}
    (folder / "job.json").write_text(json.dumps(record), encoding="utf-8")
    jobs = Jobs(AllowedFolders(project, []), None)
    first = second = describe_job(jobs.find("run"))["notes_version"]
    first = jobs.annotate("run", " Apoferritin ", "mask 2", first)
    with pytest.raises(SpisonetError, match="changed by another page") as raised:
        jobs.annotate("run", "", "mask 3", second)
    assert raised.value.code == "changed_elsewhere"
    shown = describe_job(jobs.find("run"))
    assert (shown["title"], shown["notes"], shown["notes_version"]) == ("Apoferritin", "mask 2", first)
    jobs.annotate("run", "Apoferritin", "mask 3", first)
    assert describe_job(jobs.find("run"))["notes"] == "mask 3"
