"""What was made from what."""

from __future__ import annotations

import json

from spisonet.gui.job import Job
from spisonet.gui.lineage import find_lineage


def test_a_run_in_the_project_folder_is_no_parent_of_the_jobs_in_it(tmp_path):
    config = {"i1": "half1.mrc", "i2": "half2.mrc"}
    records = {
        ".": {"command": "reconstruct", "config": config},
        "jobs/001_reconstruct": {"command": "reconstruct", "config": config},
        "jobs/002_report": {"command": "report", "config": {"folder": "jobs/001_reconstruct"}},
    }
    jobs = []
    for name, record in records.items():
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "job.json").write_text(json.dumps({"program": "spisonet", **record}))
        jobs.append(Job(folder, name))
    lineages = [find_lineage(job, jobs) for job in jobs]
    names = [[[line["name"] for line in lines] for lines in lineage.values()] for lineage in lineages]
    assert names == [[[], []], [[], ["jobs/002_report"]], [["jobs/001_reconstruct"], []]]
