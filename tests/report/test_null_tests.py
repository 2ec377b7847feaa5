"""The null-test section of the report."""

from __future__ import annotations

import json
from pathlib import Path

from spisonet.anisotropy.config import ReconstructConfig
from spisonet.report.null_tests import null_test_section
from spisonet.validation.finished_run import FinishedRun
from spisonet.validation.null_tests import AddedCorrelation, DeletedDomain, NullTestResult


def run_with(folder: Path, **record) -> FinishedRun:
    config = ReconstructConfig.from_options({"i1": "half1.mrc", "i2": "half2.mrc"})
    path = folder / "null_tests" / "null_tests.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"validated_run": "today"} | record))
    return FinishedRun(folder, config, {"written": "today"})


def test_every_test_is_a_row_with_its_numbers_and_result(tmp_path):
    noise = AddedCorrelation(0.01, 0.02, -0.03, 0.33, limits_original=True)
    phases = AddedCorrelation(0.1, 0.4, 0.2, 1.0)
    result = NullTestResult(noise, phases, 9.0, DeletedDomain(16.7, 2.4, 0.19))
    run = run_with(tmp_path, **result.numbers)
    section = null_test_section(run, tmp_path / "report.html")
    assert section.numbers["phases"]["result"] == "failed"
    rows = section.html.split("<tr>")[2:]
    assert ["noise only" in rows[0], "random phases beyond 9.0 Å" in rows[1], "domain" in rows[2]] == [
        True
    ] * 3
    assert "FSC of the halves 0.010 before, 0.020 after; -0.030 with raw half map 2; 33 %" in rows[0]
    assert "density 2.4 standard deviations above the solvent (16.7 with the domain); 19 %" in rows[2]
    assert [row.split("<td>")[-1].split("<")[0] for row in rows] == ["passed", "FAILED", "passed"]


def test_a_test_that_was_not_carried_out_has_no_row(tmp_path):
    empty = AddedCorrelation(0.0, 0.0, 0.0)
    run = run_with(tmp_path, **NullTestResult(empty, empty, 9.0, None).numbers)
    assert "domain" not in null_test_section(run, tmp_path / "report.html").html


def test_a_run_without_null_tests_has_no_section(tmp_path):
    config = ReconstructConfig.from_options({"i1": "half1.mrc", "i2": "half2.mrc"})
    assert null_test_section(FinishedRun(tmp_path, config, {"written": "today"}), tmp_path / "r.html") is None
