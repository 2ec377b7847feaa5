"""Worker processes end by themselves, by a timeout, or with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from relion_external.process import run_worker
from spisonet.errors import SpisonetError

SLEEPER = (
    "import os, pathlib, sys, time\npathlib.Path(sys.argv[1]).write_text(str(os.getpid()))\ntime.sleep(60)"
)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Make a module that workers can run."""

    def make(source: str) -> str:
        (tmp_path / "worker_of_a_test.py").write_text(source)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        return "worker_of_a_test"

    return make


def wait_for(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    assert condition()


def alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status != "Z"


def test_a_worker_does_not_inherit_the_variables_of_mpi(module, tmp_path):
    name = module("import os, sys; open(sys.argv[1], 'w').write(str(sorted(os.environ)))")
    os.environ["OMPI_COMM_WORLD_RANK"] = "1"
    try:
        run_worker(name, str(tmp_path / "out"), timeout=20)
    finally:
        del os.environ["OMPI_COMM_WORLD_RANK"]
    assert "OMPI" not in (tmp_path / "out").read_text()


@pytest.mark.parametrize(
    ("source", "code", "message"),
    [
        ("import sys; sys.exit(3)", "worker_failed", "failed"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "worker_killed", "killed by signal 9"),
        ("import time; time.sleep(60)", "timeout", "did not end within"),
    ],
)
def test_a_failed_worker_is_an_error_with_a_code(module, source, code, message):
    start = time.monotonic()
    with pytest.raises(SpisonetError, match=message) as caught:
        run_worker(module(source), timeout=1.5)
    assert caught.value.code == code
    assert time.monotonic() - start < 20


def start_parent(name: str, pid_file: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Start a process that runs a worker; return it and the worker's number."""
    code = (
        "import sys; from relion_external.process import run_worker; run_worker(*sys.argv[1:3], timeout=60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, name, str(pid_file)])
    wait_for(lambda: pid_file.is_file() and pid_file.read_text() != "")
    return parent, int(pid_file.read_text())


def test_a_worker_ends_with_an_interrupted_parent(module, tmp_path):
    parent, worker = start_parent(module(SLEEPER), tmp_path / "pid")
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(20) == 128 + signal.SIGTERM
    wait_for(lambda: not alive(worker))


def test_a_worker_ends_with_a_killed_parent(module, tmp_path):
    watching = "from relion_external.process import end_with_parent\nend_with_parent()\n"
    parent, worker = start_parent(module(watching + SLEEPER), tmp_path / "pid")
    parent.kill()
    parent.wait()
    wait_for(lambda: not alive(worker))


def test_a_process_ends_with_the_rank_whose_shell_lives_on(tmp_path):
    code = "from relion_external.process import end_with_parent\nend_with_parent()\n" + SLEEPER
    pid_file = tmp_path / "pid"
    # As in RELION, whose rank waits in system(); the second command keeps the shell from being replaced.
    rank_code = "import os, shlex, sys; os.system(shlex.join(sys.argv[1:]) + '; true')"
    rank = subprocess.Popen([sys.executable, "-c", rank_code, sys.executable, "-c", code, str(pid_file)])
    wait_for(lambda: pid_file.is_file() and pid_file.read_text() != "")
    hook = int(pid_file.read_text())
    assert alive(hook)
    rank.kill()
    rank.wait()
    wait_for(lambda: not alive(hook))


@pytest.mark.parametrize("worker", ["correction_worker", "jobs.worker", "pose_watch"])
def test_workers_look_after_their_parent_before_pytorch_is_imported(worker):
    code = f"import relion_external.{worker}, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
