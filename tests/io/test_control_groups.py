"""Limits of control groups: nested groups of both versions, cached files, missing and strange files."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from spisonet.io import control_groups, processors
from spisonet.io.control_groups import available_bytes, processor_limit


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(control_groups, "ROOT", tmp_path)
    monkeypatch.setattr(control_groups, "MEMBERSHIP_FILE", tmp_path / "membership")
    return tmp_path


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_without_groups_nothing_is_limited(root):
    assert available_bytes() == processor_limit() == math.inf


def test_the_lowest_limit_of_nested_groups_counts_without_cached_files(root):
    write(
        root,
        membership="0::/slurm/job_1/step_0\n",
        slurm__memory_dot_max="5000",
        slurm__memory_dot_current="1000",
        slurm__job_1__memory_dot_max="3000",
        slurm__job_1__memory_dot_current="1500",
        slurm__job_1__memory_dot_stat="anon 500\ninactive_file 400\nactive_file 300\n",
        slurm__job_1__step_0__memory_dot_max="max",
        slurm__cpu_dot_max="150000 100000",
    )
    assert available_bytes() == 3000 - (1500 - 700)
    assert processor_limit() == 1.5


def test_groups_of_version_1(root):
    write(
        root,
        membership="9:cpu,cpuacct:/docker/a\n4:memory:/docker/a\n",
        memory__docker__a__memory_dot_limit_in_bytes="800",
        memory__docker__a__memory_dot_usage_in_bytes="300",
    )
    assert available_bytes() == 500
    text = "inactive_file 0\nactive_file 1\ntotal_inactive_file 120\ntotal_active_file 60\n"
    write(root, memory__docker__a__memory_dot_stat=text)
    assert available_bytes() == 500 + 180  # of the groups within it, too


@pytest.mark.parametrize("text", ["", "max", "max 100000", "a b", "100000 0", "\xff"])
def test_strange_limits_are_none(root, text):
    write(root, membership=f"0::/\n{text}\n", memory_dot_max=text, cpu_dot_max=text)
    assert available_bytes() == math.inf or text == "100000 0"
    assert processors.available_cores() >= 1
