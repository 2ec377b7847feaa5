"""Estimated duration of trainings, from the machine's speed or that of an earlier job."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spisonet.gui.estimates import estimate_training
from spisonet.gui.forms import config_model
from spisonet.gui.job import Job

MAPS = {"i1": Path("a.mrc"), "i2": Path("b.mrc")}


def estimate(command: str = "reconstruct", earlier: tuple[Job, ...] = (), n_gpus: int = 0, **options: object):
    program = "spisonet" if command in ("reconstruct", "fsc3d") else "isonet"
    return estimate_training(config_model(program, command)(**options), n_gpus, earlier)


def test_more_gpus_take_less_time():
    on_gpus = [estimate(**MAPS, n_gpus=n)["seconds"] for n in (1, 2)]
    assert on_gpus[0] == pytest.approx(2 * on_gpus[1])


def test_commands_without_a_training_have_no_estimate():
    assert estimate(**MAPS, method="deconvolve") is None
    assert estimate("fsc3d", h=Path("a.mrc"), h2=Path("b.mrc")) is None


def test_the_speed_of_an_earlier_job_on_the_same_device_is_used(tmp_path):
    config = {"i1": "a.mrc", "i2": "b.mrc", "epochs": 10, "output_dir": "jobs/001"}
    files = {
        "job.json": {"program": "spisonet", "command": "reconstruct", "config": config},
        "launch.json": {"program": "spisonet", "target": {"gpus": []}, "submitted": 0},
    }
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    event = {"stage": "training", "title": "both halves", "total": 10, "unit": "epochs"}
    lines = [
        {**event, "done": 0, "time": 100.0, "part": 0.0},
        {**event, "done": 1, "time": 200.0, "part": 0.5},
    ]
    (tmp_path / "progress.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    job = Job(tmp_path, "jobs/001")
    found = estimate(**MAPS, epochs=3, earlier=(job,))
    assert found == {"seconds": pytest.approx(200.0), "basis": "jobs/001"}  # 1.5 epochs in 100 s
    assert estimate(**MAPS, epochs=3, earlier=(job,), n_gpus=1)["basis"] is None
    assert estimate(**MAPS, cube_size=16, earlier=(job,))["basis"] is None  # slower for its work
    lines[-1]["total"] = 8  # a training of variable length: its operations are not known
    (tmp_path / "progress.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert estimate(**MAPS, epochs=3, earlier=(job,))["basis"] is None
