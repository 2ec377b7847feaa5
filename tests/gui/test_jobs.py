"""Jobs: started once, alive without their server, told from their folders alone."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from spisonet.commands.main import isonet
from spisonet.gui.allowed_folders import AllowedFolders
from spisonet.gui.jobs import Jobs
from spisonet.gui.processes import identity, is_alive, process_start
from tests.gui.conftest import LIVE, SCRIPTS, Server, end, serve, write_map

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
        if job["state"] in LIVE and job["started_here"]:
            started.post("api/stop", {"name": job["name"]})
            started.wait(job["name"])
    end(started)


def start_slow(server: Server, key: str, **values: str) -> str:
    reply = server.start("isonet", "refine", {**SLOW, **values}, key)
    assert reply.status == 200, reply.content
    return str(reply.json["name"])


def has_trained(job: dict) -> bool:
    assert job["state"] in LIVE, job
    return len(job["epochs"]) > 1


def test_a_job_runs_the_command_that_it_shows_and_keeps_everything_in_its_folder(served):
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
    # The line, repeated by hand, gives the same file.
    again = [*job["line"][:3], "--o", "again.mrc", *job["line"][5:]]
    subprocess.run([SCRIPTS / again[0], *again[1:]], cwd=served.project, check=True, capture_output=True)
    written = (served.project / name / "whitened.mrc").read_bytes()[1024:]
    assert (served.project / "again.mrc").read_bytes()[1024:] == written


def test_a_form_that_is_sent_from_many_pages_starts_one_job(served):
    with ThreadPoolExecutor(10) as pool:
        replies = list(
            pool.map(lambda _: served.start("spisonet", "whitening", WHITEN, "one-key-for-all"), range(10))
        )
    assert {reply.json["name"] for reply in replies} == {"jobs/001_whitening"}
    served.wait("jobs/001_whitening")
    assert len(served.get("api/jobs").json) == 1


def test_a_second_server_of_the_same_project_starts_no_second_job(served, project):
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
        assert any("does the same already" in reply.json.get("error", "") for reply in replies)
        name = next(reply.json["name"] for reply in replies if reply.status == 200)
        assert [job["name"] for job in other.get("api/jobs").json] == [name]
        # And of two pages that stop and resume it, one does.
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


def test_jobs_outlive_the_server_and_the_next_one_stops_and_resumes_them(served, project):
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
    stopped = later.wait(name)
    assert stopped["state"] == "stopped"
    assert stopped["resumable"]
    assert json.loads((project / name / "job.json").read_text(encoding="utf-8"))["status"] == "interrupted"
    before = stopped["epochs"][-1]["epoch"]
    assert later.post("api/resume", {"name": name}).status == 200
    resumed = later.wait(name, lambda job: has_trained(job) and job["epochs"][-1]["epoch"] > before)
    epochs = [epoch["epoch"] for epoch in resumed["epochs"]]
    assert epochs == sorted(set(epochs))  # it went on, and did not begin anew


def test_a_job_that_was_killed_is_called_dead_and_can_be_resumed(served, project):
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


def test_jobs_wait_for_the_device_in_the_order_in_which_they_came(served):
    first = start_slow(served, "key-first")
    served.wait(first, has_trained)

    def whiten(low_res: int, **place: bool) -> str:
        values = {**WHITEN, "low_res": str(low_res)}
        reply = served.start("spisonet", "whitening", values, f"key-wait-{low_res}", **place)
        return str(reply.json["name"])

    waiting = []
    for number in range(4):
        waiting.append(whiten(40 + number))
        served.wait(waiting[-1], lambda job: job["host"] is not None)  # it stands in the queue
    assert served.wait(whiten(50, wait=False))["state"] == "finished"
    assert {served.get("api/job", name=name).json["state"] for name in waiting} == {"queued"}
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


def test_what_others_have_written_spoils_nothing(served, project):
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
        ("launch.json", '{"asked": "today"}'),
        ("launch.json", "[1]"),
        ("job.json", '{"program": "spisonet", "config": {"h1": 3}, "command": 7, "status": {}}'),
    ):
        (project / name / file).write_text(content, encoding="utf-8")
        assert [job["name"] for job in served.get("api/jobs").json] == [name]
        assert served.get("api/job", name=name).status in (200, 400)
        assert served.post("api/stop", {"name": name}).status in (200, 400)
        assert served.post("api/resume", {"name": name}).status == 400


def test_a_training_that_went_astray_is_shown(served, project):
    record = {"program": "spisonet", "command": "refine", "config": {}, "epoch_losses": [1.0, float("nan")]}
    (project / "astray").mkdir()
    (project / "astray" / "job.json").write_text(json.dumps(record), encoding="utf-8")
    line = "tomograms: epoch {0} of 3, loss {1}, 1.0 crops/s, 5 s left\n"
    log = line.format(1, "1.5000") + line.format(2, "nan") + line.format(3, "inf")
    (project / "astray" / "run.log").write_text(log, encoding="utf-8")
    job = served.get("api/job", name="astray").json
    assert job["losses"] == [1, None]
    assert [epoch["loss"] for epoch in job["epochs"]] == [1.5, None, None]


def test_nothing_outside_is_written_by_resuming_a_foreign_project(served, project):
    (project / "jobs" / "001_refine").mkdir(parents=True)
    record = {
        "program": "spisonet",
        "command": "refine",
        "config": {"star_file": "t.star", "output_dir": "/elsewhere"},
        "status": "interrupted",
    }
    (project / "jobs" / "001_refine" / "job.json").write_text(json.dumps(record), encoding="utf-8")
    launch = {"program": "isonet", "asked": 1.0, "place": {}, "key": "k", "asked_line": []}
    (project / "jobs" / "001_refine" / "launch.json").write_text(json.dumps(launch), encoding="utf-8")
    (job,) = served.get("api/jobs").json
    assert job["state"] == "died"
    reply = served.post("api/resume", {"name": job["name"]})
    assert reply.status == 400
    assert "outside" in reply.json["error"]


def test_a_failure_is_told_in_the_words_of_the_command(served, project):
    (project / "no_map.mrc").write_bytes(b"nothing")
    name = served.start("spisonet", "whitening", {**WHITEN, "h1": "no_map.mrc"}, "key-fails").json["name"]
    assert served.wait(name)["state"] == "failed"
    log = served.get("api/log", name=name).json["text"]
    assert log.startswith("spisonet: no_map.mrc is not a readable MRC file")
    assert log.count("\n") == 1


def test_runs_of_the_command_line_are_shown_and_left_alone(served, project):
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


def test_a_project_that_moved_to_another_place_shows_the_same(served, project, tmp_path_factory):
    name = served.start("spisonet", "whitening", WHITEN, "key-moved").json["name"]
    there = served.wait(name)
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "project"
    shutil.copytree(project, elsewhere)
    moved = Jobs(AllowedFolders(elsewhere, []), None).find(name).details()
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


def test_a_recycled_number_is_not_taken_for_the_process(tmp_path):
    me = identity()
    assert is_alive(me)
    assert not is_alive({**me, "start": "another boot:1"})
    assert not is_alive(None)
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    born = identity(child.pid)
    while process_start(child.pid) is not None:  # a zombie does nothing any more
        time.sleep(0.01)
    assert not is_alive(born)
    child.wait()


SLURM = {
    "sbatch": 'echo "$2" > "$SLURM_FAKE/script"; echo 4711',
    "squeue": 'test -e "$SLURM_FAKE/gone" && { echo "Invalid job id" >&2; exit 1; }; echo PENDING',
    "scancel": 'echo "$1" > "$SLURM_FAKE/cancelled"',
}
TEMPLATE = (
    "#!/bin/sh\n#SBATCH -p XXXqueueXXX -c XXXthreadsXXX -o XXXoutfileXXX -J XXXnameXXX\nXXXcommandXXX\n"
)


@pytest.fixture
def slurm(project, monkeypatch, tmp_path_factory):
    programs = tmp_path_factory.mktemp("slurm")
    for name, text in SLURM.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_FAKE", str(programs))
    (project / "template.sh").write_text(TEMPLATE, encoding="utf-8")
    started = serve(project, "--slurm_template", str(project / "template.sh"))
    yield started, programs
    end(started)


def test_slurm_gets_the_template_filled_in_and_its_job_tells_of_itself(slurm, project):
    server, programs = slurm
    assert server.get("api/project").json["slurm"]["fields"] == ["queue", "threads"]
    missing = server.start("spisonet", "whitening", WHITEN, "key-slurm-0", slurm={"queue": "gpu"})
    assert missing.status == 400
    assert "asks for threads" in missing.json["error"]
    assert not list((project / "jobs").glob("0*"))  # nothing half-made is left
    two_lines = {"queue": "gpu\nrm -rf /", "threads": "4"}
    assert server.start("spisonet", "whitening", WHITEN, "key-slurm-1", slurm=two_lines).status == 400
    reply = server.start(
        "spisonet", "whitening", WHITEN, "key-slurm-2", slurm={"queue": "gpu", "threads": "4"}
    )
    name = reply.json["name"]
    assert (reply.json["state"], reply.json["slurm"]) == ("queued", "4711")
    script = Path((programs / "script").read_text(encoding="utf-8").strip())
    text = script.read_text(encoding="utf-8")
    assert f"-p gpu -c 4 -o {project / name / 'run.out'} -J {Path(name).name}" in text
    assert "XXX" not in text
    subprocess.run(["sh", script], check=True)  # as a node would
    assert server.wait(name)["state"] == "finished"
    assert (project / name / "whitened.mrc").is_file()


def test_a_slurm_job_can_be_cancelled_and_one_that_vanished_is_dead(slurm):
    server, programs = slurm
    place = {"slurm": {"queue": "gpu", "threads": "4"}}
    name = server.start("spisonet", "whitening", WHITEN, "key-slurm-3", **place).json["name"]
    assert server.post("api/stop", {"name": name}).status == 200
    assert (programs / "cancelled").read_text(encoding="utf-8").strip() == "4711"
    assert server.get("api/job", name=name).json["state"] == "running"  # until SLURM lists it no more
    (programs / "gone").touch()
    assert server.wait(name)["state"] == "stopped"
    values = {**WHITEN, "low_res": "50"}
    name = server.start("spisonet", "whitening", values, "key-slurm-4", **place).json["name"]
    assert server.wait(name)["state"] == "died"
