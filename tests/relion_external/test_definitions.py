"""The table of External jobs against what else a job needs."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from relion_external.jobs.definitions import JOBS
from relion_external.jobs.logfile import contents_of

ROOT = Path(__file__).parents[2]


def test_every_job_has_a_console_script():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    of_jobs = {name for name, target in scripts.items() if target == "spisonet_launcher:relion_job"}
    assert of_jobs == {job.executable for job in JOBS.values()}


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_every_job_has_a_logfile(job):
    assert contents_of.dispatch(job.config) is not contents_of.dispatch(object)
