"""Submission to SLURM, with its programs replaced by scripts."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from spisonet.errors import SpisonetError
from spisonet.io import schedulers
from spisonet.io.schedulers import SLURM, Submission
from tests.gui.conftest import end, serve, write_map

WHITEN = {"h1": "map.mrc", "o": "{job}/whitened.mrc", "high_res": "9", "low_res": "40"}
PROGRAMS = {
    "sbatch": 'for last; do :; done; echo "$last" > "$SLURM_FAKE/script"; echo "4711;cluster"',
    # Like the real one, squeue fails alike for a job that has ended and without a connection.
    "squeue": """test -e "$SLURM_FAKE/down" && exit 1
case "$*" in
  *--user*) echo 4712 ;;
  *) test -e "$SLURM_FAKE/gone" && exit 1; echo PENDING ;;
esac""",
    "scancel": 'echo "$1" > "$SLURM_FAKE/cancelled"',
}
TEMPLATE = (
    "#!/bin/sh\n#SBATCH -p XXXqueueXXX -c XXXthreadsXXX -o XXXoutfileXXX -J XXXnameXXX\nXXXcommandXXX\n"
)
FIELDS = {"slurm": {"queue": "gpu", "threads": "4"}}


@pytest.fixture
def programs(monkeypatch, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("slurm")
    for name, text in PROGRAMS.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_FAKE", str(folder))
    monkeypatch.setattr(schedulers, "SECONDS_BETWEEN_QUERIES", 1e-6)
    return folder


@pytest.fixture
def server(programs, tmp_path):
    write_map(tmp_path / "map.mrc")
    (tmp_path / "template.sh").write_text(TEMPLATE, encoding="utf-8")
    started = serve(tmp_path, "--slurm_template", str(tmp_path / "template.sh"))
    yield started
    end(started)


def test_a_job_is_listed_until_the_queue_no_longer_knows_it(programs):
    assert schedulers.is_listed("4711")
    (programs / "gone").touch()
    assert not schedulers.is_listed("4711")


def test_while_the_queue_cannot_be_read_a_job_counts_as_listed(programs):
    (programs / "gone").touch()
    (programs / "down").touch()
    assert schedulers.is_listed("4711")
    (programs / "squeue").unlink()
    assert schedulers.is_listed("4711")


def test_an_unexpected_reply_of_sbatch_is_an_error(programs, tmp_path):
    (programs / "sbatch").write_text("#!/bin/sh\necho Submitted batch job\n", encoding="utf-8")
    with pytest.raises(SpisonetError, match="instead of a job number"):
        schedulers.submit(Submission(SLURM, Path("script"), tmp_path))


def test_a_template_without_the_command_is_rejected(tmp_path):
    (tmp_path / "t.sh").write_text("#!/bin/sh\nXXXqueueXXX\n", encoding="utf-8")
    with pytest.raises(SpisonetError, match="lacks XXXcommandXXX"):
        schedulers.template_fields(tmp_path / "t.sh")


def test_a_job_is_submitted_with_the_completed_template(server, programs):
    project = server.project
    assert server.get("api/project").json["slurm"]["fields"] == ["queue", "threads"]
    missing = server.start("spisonet", "whitening", WHITEN, "key-slurm-0", slurm={"queue": "gpu"})
    assert missing.status == 400
    assert "field threads has no value" in missing.json["error"]
    two_lines = {"queue": "gpu\nrm -rf /", "threads": "4"}
    assert server.start("spisonet", "whitening", WHITEN, "key-slurm-1", slurm=two_lines).status == 400
    assert not list((project / "jobs").glob("0*"))  # no incomplete job is left
    reply = server.start("spisonet", "whitening", WHITEN, "key-slurm-2", **FIELDS)
    name = reply.json["name"]
    assert (reply.json["state"], reply.json["slurm"]) == ("queued", "4711")
    script = Path((programs / "script").read_text(encoding="utf-8").strip())
    text = script.read_text(encoding="utf-8")
    assert f"-p gpu -c 4 -o {project / name / 'run.out'} -J {Path(name).name}" in text
    assert "XXX" not in text
    subprocess.run(["sh", script], check=True)  # as a node would
    assert server.wait(name)["state"] == "finished"
    assert (project / name / "whitened.mrc").is_file()


def test_a_job_can_be_cancelled_and_one_that_vanished_has_died(server, programs):
    name = server.start("spisonet", "whitening", WHITEN, "key-slurm-3", **FIELDS).json["name"]
    assert server.post("api/stop", {"name": name}).status == 200
    assert (programs / "cancelled").read_text(encoding="utf-8").strip() == "4711"
    assert server.get("api/job", name=name).json["state"] == "stopping"  # until SLURM no longer lists it
    (programs / "gone").touch()
    assert server.wait(name)["state"] == "stopped"
    values = {**WHITEN, "low_res": "50"}
    name = server.start("spisonet", "whitening", values, "key-slurm-4", **FIELDS).json["name"]
    assert server.wait(name)["state"] == "died"
