"""A sample of the faults that ``make faults`` injects into all runs: nothing is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.inject import EACH_CALL, WHOLE_RUN, order_faults
from tests.faults.shim import compiler

ROOT = Path(__file__).parents[2]


def inject(*words: str) -> list[dict]:
    command = [sys.executable, "-m", "tests.faults.inject", *words]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.skipif(compiler() is None, reason="needs gcc on Linux (x86-64)")
def test_faults_and_kills_at_every_call_of_the_checkpoint_protocol_and_in_a_job_lose_nothing():
    found = inject("--scenario", "checkpoints", "--scenario", "external job", "--sample", "4")
    assert {(line["scenario"], line["kind"]) for line in found} == {
        (scenario, kind)
        for scenario in ("checkpoints", "external job")
        for kind in ("order", *EACH_CALL, *WHOLE_RUN)
    }
    for line in found:
        assert line["losses"] == 0
        assert line["runs"] >= 1
        assert line["injected"] >= 1 or line["kind"] in ("order", "enospc")


def test_a_file_that_is_renamed_too_early_is_noticed():
    write, final = "/p/.a.host.1.0.partial.mrc", "/p/a.mrc"
    right = [("create", write), ("write", write), ("fsync", write), ("rename", final), ("fsync", "/p")]
    assert not order_faults([(number, 1, *call) for number, call in enumerate(right)])
    for missing, part in ((2, "before its content"), (4, "the name of")):
        calls = [(number, 1, *call) for number, call in enumerate(right) if number != missing]
        assert part in order_faults(calls)[0]
