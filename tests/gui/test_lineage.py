"""What was made from what."""

from __future__ import annotations

import json

from spisonet.gui.job import Job
from spisonet.gui.lineage import find_lineage
from spisonet.io.tomogram_table import TomogramTable


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


def test_jobs_are_connected_by_the_table_that_they_read_and_change(tmp_path):
    """Also if the table is not in the folder of a job; a later job made nothing that an earlier one used."""
    columns = {"rlnIndex": "1", "rlnMicrographName": "data/TS_01.mrc"}
    made = {"rlnDeconvTomoName": "jobs/001_deconv/TS_01.mrc", "rlnMaskName": "./jobs/002_make_mask/TS_01.mrc"}
    TomogramTable.new(tmp_path / "t.star", [columns | made]).write()
    inputs = {"star_file": "t.star"}
    records = {
        "jobs/001_deconv": ("deconv", inputs),
        "jobs/002_make_mask": ("make_mask", inputs),
        "jobs/003_refine": ("refine", {**inputs, "output_star": "refined.star"}),
        "jobs/004_predict": (
            "predict",
            {"star_file": "refined.star", "model": "jobs/003_refine/n.safetensors"},
        ),
        "jobs/005_resize": ("resize", {"star_file": "refined.star"}),
        "jobs/006_fsc3d": ("fsc3d", {"h": "t.star", "h2": "/dev/zero"}),
    }
    jobs = []
    for number, (name, (command, config)) in enumerate(records.items()):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        record = {"program": "spisonet", "command": command, "config": config, "seconds": 30}
        written = f"2026-01-01T0{number}:00:00+00:00"
        (folder / "job.json").write_text(json.dumps({**record, "written": written}))
        jobs.append(Job(folder, name))
    lineages = [find_lineage(job, jobs) for job in jobs]
    parents = [[line["command"] for line in lineage["parents"]] for lineage in lineages]
    assert parents == [
        [],
        ["deconv"],
        ["deconv", "make_mask"],
        ["refine"],
        ["refine"],
        ["deconv", "make_mask"],
    ]
    assert [line["command"] for line in lineages[2]["children"]] == ["predict", "resize"]
