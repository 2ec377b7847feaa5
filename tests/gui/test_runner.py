"""The process that runs a job and records its outcome."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SHELL = ["sh", "-c"]


def prepare(
    folder: Path, arguments: list[str], status: str = "queued", devices: tuple[str, ...] = ()
) -> Path:
    folder.mkdir()
    launch = {"arguments": arguments, "project": str(folder), "devices": list(devices)}
    (folder / "launch.json").write_text(json.dumps(launch), encoding="utf-8")
    (folder / "job.json").write_text(json.dumps({"status": status}), encoding="utf-8")
    return folder


def start(folder: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "TMPDIR": str(folder.parent)}  # where the queue for devices is
    return subprocess.Popen([sys.executable, "-m", "spisonet.gui.runner", folder], env=environment)


def outcome(folder: Path) -> tuple[dict, str]:
    process = json.loads((folder / "process.json").read_text(encoding="utf-8"))
    record = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    return process, record["status"]


@pytest.mark.parametrize(
    ("script", "before", "exit_status", "after"),
    [
        ("exit 0", "queued", 0, "finished"),
        ("exit 3", "running", 3, "failed"),
        ("exit 3", "interrupted", 3, "interrupted"),  # recorded by the command itself
    ],
)
def test_the_outcome_is_recorded_if_the_command_has_not_done_so(tmp_path, script, before, exit_status, after):
    folder = prepare(tmp_path / "job", [*SHELL, f"echo output; {script}"], before)
    assert start(folder).wait(30) == 0
    process, status = outcome(folder)
    assert (process["state"], process["stopped"], process["exit_status"]) == ("ended", False, exit_status)
    assert status == after
    assert (folder / "run.out").read_text(encoding="utf-8") == "output\n"


def test_a_program_that_cannot_be_run_is_a_failure_with_its_reason_in_the_output(tmp_path):
    folder = prepare(tmp_path / "job", ["/no/such/program"])
    assert start(folder).wait(30) == 0
    process, status = outcome(folder)
    assert (process["exit_status"], status) == (127, "failed")
    assert "/no/such/program" in (folder / "run.out").read_text(encoding="utf-8")


def wait_for_output(folder: Path) -> None:
    deadline = time.monotonic() + 30
    while not (folder / "run.out").is_file() or not (folder / "run.out").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_stopped_job_is_interrupted_like_ctrl_c(tmp_path):
    script = "trap 'echo interrupted; exit 0' INT; echo started; while :; do sleep 0.05; done"
    folder = prepare(tmp_path / "job", [*SHELL, script])
    runner = start(folder)
    wait_for_output(folder)
    runner.send_signal(signal.SIGTERM)
    assert runner.wait(30) == 0
    process, status = outcome(folder)
    assert process["stopped"]
    assert status == "stopped"
    assert (folder / "run.out").read_text(encoding="utf-8") == "started\ninterrupted\n"


def test_a_device_is_kept_until_the_command_ends_even_if_its_runner_was_killed(tmp_path):
    first = prepare(
        tmp_path / "first", [*SHELL, "echo started; sleep 3; date +%s.%N > end"], devices=("gpu0",)
    )
    second = prepare(tmp_path / "second", [*SHELL, "date +%s.%N"], devices=("gpu0",))
    killed = start(first)
    wait_for_output(first)
    killed.kill()
    killed.wait()
    assert start(second).wait(30) == 0
    ended = float((first / "end").read_text(encoding="utf-8"))
    assert float((second / "run.out").read_text(encoding="utf-8")) >= ended
