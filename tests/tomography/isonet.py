"""Run ``isonet.py`` as a user does."""

from __future__ import annotations

import pytest

from spisonet.commands.main import isonet

# One thread, since small networks gain nothing from more.
CPU_ONLY = "--device cpu --ncpus 1"
TINY = f"--filter_base 4 --cube_size 16 {CPU_ONLY}"
QUICK = f"{TINY} --epochs 2 --n_subvolume 16"  # a training that takes a few seconds


def run(line: str) -> None:
    """Run a command line without the program's name."""
    isonet(line.split())


def failure(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command line that has to fail with one sentence; return the sentence."""
    capsys.readouterr()  # discards the output of earlier commands
    with pytest.raises(SystemExit) as stopped:
        run(line)
    assert stopped.value.code == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]
