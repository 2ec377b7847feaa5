"""Corrections and checks of RELION refinements, read as data."""

from __future__ import annotations

import json

import pytest

from spisonet.errors import SpisonetError
from spisonet.gui import refinements
from spisonet.gui.allowed_folders import AllowedFolders
from spisonet.gui.refinements import check_refinement, list_refinements, read_refinement

METRICS = {"resolution_angstrom": 12.5, "seconds": 31.0, "inferred_fraction": 0.21}


@pytest.fixture
def folders(tmp_path) -> AllowedFolders:
    (tmp_path / "Refine3D" / "job007" / "spisonet").mkdir(parents=True)
    return AllowedFolders(tmp_path, [])


def write_record(folders: AllowedFolders, iteration: int, half: str, **changes: object) -> None:
    record = {
        "iteration": iteration,
        "half": half,
        "part": "class001",
        "status": "corrected",
        "reason_code": "",
        "reason": "",
        "halves": "independent",
        "metrics": METRICS,
        **changes,
    }
    path = folders.project / "Refine3D/job007/spisonet" / f"it{iteration:03d}_{half}_class001.json"
    path.write_text(json.dumps(record), encoding="utf-8")


@pytest.mark.parametrize(
    ("exit_file", "state"),
    [
        (None, "running"),
        ("RELION_JOB_EXIT_SUCCESS", "finished"),
        ("RELION_JOB_EXIT_FAILURE", "failed"),
        ("RELION_JOB_EXIT_ABORTED", "stopped"),
    ],
)
def test_state_and_iteration_come_from_relions_files(folders, exit_file, state):
    job = folders.project / "Refine3D" / "job007"
    for iteration in (1, 2, 12):
        (job / f"run_it{iteration:03d}_optimiser.star").touch()
    if exit_file:
        (job / exit_file).touch()
    (found,) = list_refinements(folders)
    assert (found["name"], found["iteration"], found["state"]) == ("Refine3D/job007", 12, state)
    assert found["corrected"]


def test_an_iteration_is_shown_as_soon_as_it_is_recorded(folders):
    spisonet = folders.project / "Refine3D/job007/spisonet"
    write_record(folders, 3, "half1")
    write_record(folders, 3, "half2", status="skipped", reason="The map is isotropic.", metrics={})
    (spisonet / "it003_class001.directions.json").write_text('{"sphericity": 0.9}', encoding="utf-8")
    (row,) = read_refinement("Refine3D/job007", folders)["rows"]
    assert (row["iteration"], row["resolution_angstrom"]) == (3, 12.5)
    assert row["corrections"] == [
        {"half": "half1", "status": "corrected", "reason": "", "seconds": 31.0, "inferred_fraction": 0.21},
        {
            "half": "half2",
            "status": "skipped",
            "reason": "The map is isotropic.",
            "seconds": None,
            "inferred_fraction": None,
        },
    ]


def test_the_summary_adds_the_directions_and_no_half_twice(folders):
    spisonet = folders.project / "Refine3D/job007/spisonet"
    write_record(folders, 3, "half1")
    record = json.loads((spisonet / "it003_half1_class001.json").read_text(encoding="utf-8"))
    rows = [{"iteration": 3, "part": "class001", "corrections": [record], "sphericity": 0.9}]
    (spisonet / "summary.json").write_text(json.dumps({"rows": rows}), encoding="utf-8")
    old = {"iteration": 2, "half": "half1", "part": "class001", "outcome": "corrected", "facts": {}}
    (spisonet / "it002_half1_class001.json").write_text(json.dumps(old), encoding="utf-8")
    (spisonet / "it004_half1_class001.json").write_text('{"iteration": 4', encoding="utf-8")  # half written
    (row,) = read_refinement("Refine3D/job007", folders)["rows"]
    assert row["sphericity"] == 0.9
    assert len(row["corrections"]) == 1


@pytest.fixture
def checker(tmp_path, monkeypatch):
    """Replace the reconstruct program by a script."""
    program = tmp_path / "checker"
    monkeypatch.setattr(refinements, "find_executable", lambda _: str(program))

    def write(script: str) -> None:
        program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        program.chmod(0o755)

    return write


def test_the_findings_of_the_check_are_passed_on(folders, checker):
    findings = [
        {"level": "ok", "code": "relion", "message": "RELION 5.0 (/usr/bin/relion_refine)"},
        {"level": "error", "code": "box_mismatch", "message": "ERROR: WARNING  the mask has another box"},
    ]
    checker(f"printf '%s\\n' \"$@\" > {folders.project}/words\ncat <<E\n{json.dumps(findings)}\nE\nexit 1")
    assert check_refinement(" Refine3D/job007 ", folders) == findings
    words = (folders.project / "words").read_text(encoding="utf-8").splitlines()
    assert words == ["--check", "--json", str(folders.project / "Refine3D" / "job007")]
    command = "relion_refine --o Refine3D/job007/run --auto_refine"
    check_refinement(command, folders)
    assert (folders.project / "words").read_text(encoding="utf-8").splitlines()[2:] == [command]


def test_a_check_that_prints_no_findings_is_an_error(folders, checker):
    checker("echo Traceback >&2; exit 1")
    with pytest.raises(SpisonetError, match="--check failed"):
        check_refinement("", folders)


def test_the_installed_program_prints_findings(folders):
    levels = {finding["code"]: finding["level"] for finding in check_refinement("", folders)}
    assert levels["variable"] == "ok"  # the check runs with the variable that the page tells to export


def test_folders_outside_are_not_checked(folders):
    with pytest.raises(SpisonetError, match="outside"):
        check_refinement("/etc", folders)
