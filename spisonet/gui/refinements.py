"""RELION refinements of the project: their corrections by iteration, and the check before a refinement."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

from spisonet.errors import SpisonetError
from spisonet.io.installation import find_executable
from spisonet.io.json_files import read_json_object

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.gui.allowed_folders import AllowedFolders

VARIABLE, EXECUTABLE = "RELION_EXTERNAL_RECONSTRUCT_EXECUTABLE", "spisonet-relion-reconstruct"
CORRECTIONS_FOLDER, SUMMARY_FILE, PAGE_FILE = "spisonet", "summary.json", "summary.html"
OPTIMISER_NAME = re.compile(r"_it(\d{3,})_optimiser\.star$")
STATE_OF_EXIT_FILE = {
    "RELION_JOB_EXIT_SUCCESS": "finished",
    "RELION_JOB_EXIT_FAILURE": "failed",
    "RELION_JOB_EXIT_ABORTED": "stopped",
}
JOB_TYPES = ("Refine3D", "Class3D", "MultiBody")
CHECK_TIMEOUT_SECONDS = 120


def export_line() -> str:
    """Return the shell line to run before RELION starts.

    Raises
    ------
    SpisonetError
        If the program is not installed.
    """
    return f"export {VARIABLE}={find_executable(EXECUTABLE)}"


def list_refinements(allowed_folders: AllowedFolders) -> list[dict[str, Any]]:
    """List the refinements of the project, most recently changed first."""
    folders = [
        job
        for job_type in JOB_TYPES
        for job in (allowed_folders.project / job_type).glob("*")
        if job.is_dir() and not job.is_symlink()
    ]
    refinements = [_summarise(folder, allowed_folders) for folder in folders]
    return sorted(refinements, key=lambda refinement: refinement["modified"], reverse=True)


def _summarise(folder: Path, allowed_folders: AllowedFolders) -> dict[str, Any]:
    iterations = [int(match[1]) for name in os.listdir(folder) if (match := OPTIMISER_NAME.search(name))]
    exited = (state for name, state in STATE_OF_EXIT_FILE.items() if (folder / name).exists())
    return {
        "name": allowed_folders.display_name(folder),
        "iteration": max(iterations, default=None),
        "state": next(exited, "running"),
        "corrected": (folder / CORRECTIONS_FOLDER).is_dir(),
        "modified": folder.stat().st_mtime,
    }


def read_refinement(name: str, allowed_folders: AllowedFolders) -> dict[str, Any]:
    """Return the corrections in each iteration of a refinement so far.

    Raises
    ------
    SpisonetError
        If it is not a job folder.
    """
    folder = allowed_folders.resolve(name)
    if not folder.is_dir():
        raise SpisonetError(f"{name} is not a folder.")
    corrections = allowed_folders.resolve(folder / CORRECTIONS_FOLDER)
    summary = _read_json(corrections / SUMMARY_FILE).get("rows", [])
    rows = {
        (row["iteration"], row["part"]): row
        for row in summary
        if all("status" in record for record in row["corrections"])  # not of an older version
    }
    # An iteration is recorded before it is added to the summary, which half 1 alone writes.
    records = [_read_json(path) for path in sorted(corrections.glob("it*.json"))]
    for record in (record for record in records if "status" in record):
        key = (record["iteration"], record["part"])
        row = rows.setdefault(key, {"iteration": key[0], "part": key[1], "corrections": []})
        if record["half"] not in [known["half"] for known in row["corrections"]]:
            row["corrections"].append(record)
            row.setdefault("resolution_angstrom", record["metrics"].get("resolution_angstrom"))
    page = corrections / PAGE_FILE
    return {
        **_summarise(folder, allowed_folders),
        "rows": [
            {**row, "corrections": [_correction(record) for record in row["corrections"]]}
            for _, row in sorted(rows.items())
        ],
        "page": allowed_folders.display_name(page) if page.is_file() else None,
    }


def _correction(record: dict[str, Any]) -> dict[str, Any]:
    """Return what the page shows of the record of one half, class or body."""
    return {
        "half": record["half"],
        "status": record["status"],
        "reason": record["reason"],
        "seconds": record["metrics"].get("seconds"),
        "inferred_fraction": record["metrics"].get("inferred_fraction"),
    }


def check_refinement(refinement: str, allowed_folders: AllowedFolders) -> list[dict[str, str]]:
    """Find out before the first iteration what would go wrong.

    Parameters
    ----------
    refinement : str
        A job folder or a refine command; empty: check only the machine and the settings.
    allowed_folders : AllowedFolders
        Where a job folder may be.

    Returns
    -------
    list of dict
        Findings with ``level`` (ok, warning or error), ``code`` and ``message``.

    Raises
    ------
    SpisonetError
        If the check cannot be run.
    """
    refinement = refinement.strip()
    words = [refinement] if refinement else []
    if refinement and not any(word.startswith("--") for word in refinement.split()):
        words = [str(allowed_folders.resolve(refinement))]
    program = find_executable(EXECUTABLE)
    environment = {VARIABLE: program, **os.environ}  # as after the line that the page shows
    try:
        result = subprocess.run(
            [program, "--check", "--json", *words],
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=CHECK_TIMEOUT_SECONDS,
            check=False,
            env=environment,
        )
        findings: list[dict[str, str]] = json.loads(result.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        raise SpisonetError(f"{EXECUTABLE} --check failed: {error}.") from error
    return findings


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return read_json_object(path)
    except (OSError, SpisonetError):  # not written yet, or damaged
        return {}
