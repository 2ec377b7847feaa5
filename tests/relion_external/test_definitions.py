"""The table of External jobs against what else a job needs."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from relion_external.jobs.definitions import JOBS
from relion_external.jobs.folder import NodeType
from relion_external.jobs.logfile import contents_of

ROOT = Path(__file__).parents[2]


def test_every_job_has_a_console_script():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    of_jobs = {name for name, target in scripts.items() if target == "spisonet_launcher:relion_job"}
    assert of_jobs == {job.executable for job in JOBS.values()}


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_every_job_has_a_logfile(job):
    assert contents_of.dispatch(job.config) is not contents_of.dispatch(object)


@pytest.mark.parametrize(("independent", "kind"), [(True, NodeType.HALF_MAP), (False, NodeType.MAP)])
def test_the_full_map_is_the_first_output_and_no_half_map(tmp_path, independent, kind):
    halves = ["corrected_a.mrc", "corrected_b.mrc"]
    others = ("classical", "sharpened", "b_factor_square_angstrom")
    record = {
        "config": {"aniso_file": "FSC3D.mrc"},
        "halves": {"independent": independent, "shared": []},
        "corrected_maps": halves,
        "full_map": {"corrected": "corrected_full.mrc", **dict.fromkeys(others), "unmeasured_fraction": 0.1},
    }
    for full_map, first in ((record["full_map"], [("corrected_full.mrc", NodeType.MAP)]), (None, [])):
        (tmp_path / "job.json").write_text(json.dumps(record | {"full_map": full_map}), encoding="utf-8")
        nodes = [(node.name, node.type) for node in JOBS["anisotropy"].nodes(tmp_path)]
        assert nodes == [*first, *((name, kind) for name in halves)]
