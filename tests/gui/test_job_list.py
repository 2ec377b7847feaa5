"""The list of a large project reads only what has changed."""

from __future__ import annotations

import json
import os
import shutil

import anyio
import pytest
from starlette.requests import Request

from spisonet.gui import jobs
from spisonet.gui.allowed_folders import AllowedFolders
from spisonet.gui.jobs import Jobs
from spisonet.gui.json_api import get_route
from spisonet.gui.requests import RequestModel


@pytest.fixture
def write_job(tmp_path):
    def write(number: int, status: str = "finished", seconds: int = 9) -> None:
        folder = tmp_path / f"run{number}"
        folder.mkdir(exist_ok=True)
        record = {"program": "spisonet", "command": "whitening", "status": status, "seconds": seconds}
        (folder / "job.json").write_text(json.dumps(record | {"config": {"h1": "a.mrc"}}))

    return write


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """Names of the jobs that are read."""
    names: list[str] = []
    summarise = jobs.summarise_job

    def recorded(job):
        names.append(job.name)
        return summarise(job)

    monkeypatch.setattr(jobs, "summarise_job", recorded)
    return names


def test_only_new_changed_and_active_jobs_are_read(tmp_path, write_job, read):
    listed = Jobs(AllowedFolders(tmp_path, []), None)
    for number in range(4):
        write_job(number)
    write_job(4, "running")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "job.json").write_text('{"program": "another"}')
    assert len(listed.summaries()) == 5
    assert len(read) == 5
    read.clear()
    write_job(2, seconds=77)
    write_job(5)
    shutil.rmtree(tmp_path / "run3")
    lines = {line["name"]: line for line in listed.summaries()}
    assert sorted(read) == ["run2", "run4", "run5"]
    assert sorted(lines) == ["run0", "run1", "run2", "run4", "run5"]
    assert lines["run2"]["seconds"] == 77
    assert len(listed._known) == 6  # with the folder of another program, without the deleted one
    write_job(4)
    read.clear()
    assert {line["name"]: line["state"] for line in listed.summaries()}["run4"] == "finished"
    assert read == ["run4"]
    read.clear()
    listed.summaries()
    assert read == []


def test_jobs_in_folders_whose_names_are_not_utf8_are_listed(tmp_path, write_job):
    write_job(1)
    name = os.fsdecode(b"caf\xe9")
    (tmp_path / "run1").rename(tmp_path / name)
    route = get_route("/jobs", RequestModel, lambda _: Jobs(AllowedFolders(tmp_path, ()), None).summaries())
    request = Request({"type": "http", "method": "GET", "query_string": b"", "headers": []})
    response = anyio.run(route.endpoint, request)
    assert [job["name"] for job in json.loads(response.body)] == [r"caf\xe9"]
