from __future__ import annotations

import pytest

from spisonet.gui.devices import list_gpus


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """Replace nvidia-smi by a script; list_gpus keeps its result for the life of a server."""
    list_gpus.cache_clear()
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def write(script: str) -> None:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (tmp_path / "nvidia-smi").chmod(0o755)

    yield write
    list_gpus.cache_clear()


def test_gpus_are_read_from_the_table_that_nvidia_smi_prints(nvidia_smi):
    nvidia_smi(
        'test "$*" = "--query-gpu=index,name --format=csv,noheader" || exit 1\n'
        'echo "0, NVIDIA H100 80GB HBM3"; echo "3, Tesla T4"'
    )
    assert list_gpus() == {0: "NVIDIA H100 80GB HBM3", 3: "Tesla T4"}


@pytest.mark.parametrize("script", ["exit 9", "echo No devices; exit 6", "echo No devices"])
def test_without_a_gpu_the_list_is_empty(nvidia_smi, script):
    nvidia_smi(script)
    assert list_gpus() == {}
