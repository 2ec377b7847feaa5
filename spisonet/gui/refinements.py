"""What RELION's refinements tell of their corrections, and what would go wrong with the next one."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

from spisonet.errors import SpisonetError
from spisonet.gui.installation import find_executable

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.gui.allowed_folders import AllowedFolders

VARIABLE, EXECUTABLE = "RELION_EXTERNAL_RECONSTRUCT_EXECUTABLE", "spisonet-relion-reconstruct"
CORRECTIONS, SUMMARY_FILE, PAGE_FILE = "spisonet", "summary.json", "summary.html"
RECORD = re.compile(r"it\d{3,}_[^.]+\.json")
OPTIMISER = re.compile(r"_it(\d{3,})_optimiser\.star$")
ENDINGS = {
    "RELION_JOB_EXIT_SUCCESS": "finished",
    "RELION_JOB_EXIT_FAILURE": "failed",
    "RELION_JOB_EXIT_ABORTED": "stopped",
}
JOB_KINDS = ("Refine3D", "Class3D", "MultiBody")
SECONDS_FOR_A_CHECK = 120


def export_line() -> str:
    """Return what a shell has to be told before RELION starts.

    Raises
    ------
    SpisonetError
        If the program is not installed.
    """
    return f"export {VARIABLE}={find_executable(EXECUTABLE)}"


def list_refinements(allowed_folders: AllowedFolders) -> list[dict[str, Any]]:
    """List the refinements of the project, newest first."""
    folders = [
        job
        for kind in JOB_KINDS
        for job in (allowed_folders.project / kind).glob("*")
        if job.is_dir() and not job.is_symlink()
    ]
    found = [_outline(folder, allowed_folders) for folder in folders]
    return sorted(found, key=lambda outline: outline["seen"], reverse=True)


def _outline(folder: Path, allowed_folders: AllowedFolders) -> dict[str, Any]:
    iterations = [int(match[1]) for name in os.listdir(folder) if (match := OPTIMISER.search(name))]
    ending = next((state for name, state in ENDINGS.items() if (folder / name).exists()), None)
    return {
        "name": allowed_folders.shown(folder),
        "iteration": max(iterations, default=None),
        "state": ending or "running",
        "corrected": (folder / CORRECTIONS).is_dir(),
        "seen": folder.stat().st_mtime,
    }


def show_refinement(name: str, allowed_folders: AllowedFolders) -> dict[str, Any]:
    """Return what was done in each iteration of a refinement so far.

    Raises
    ------
    SpisonetError
        If it is no job folder.
    """
    folder = allowed_folders.inside(name)
    if not folder.is_dir():
        raise SpisonetError(f"{name} is not a folder.")
    corrections = allowed_folders.inside(folder / CORRECTIONS)
    summary = _read(corrections / SUMMARY_FILE).get("rows", [])
    rows = {(row["iteration"], row["part"]): row for row in summary}
    # The record of an iteration is there before its line of the summary, which half 1 writes alone.
    records = [_read(path) for path in sorted(corrections.glob("it*.json")) if RECORD.fullmatch(path.name)]
    for record in filter(None, records):
        key = (record["iteration"], record["part"])
        row = rows.setdefault(key, {"iteration": key[0], "part": key[1], "corrections": []})
        if record["half"] not in [known["half"] for known in row["corrections"]]:
            row["corrections"].append(record)
            row.setdefault("resolution", record["facts"].get("resolution"))
    page = corrections / PAGE_FILE
    return {
        **_outline(folder, allowed_folders),
        "rows": [row for _, row in sorted(rows.items())],
        "page": allowed_folders.shown(page) if page.is_file() else None,
    }


def check(subject: str, allowed_folders: AllowedFolders) -> list[dict[str, str]]:
    """Ask the reconstruct program what would go wrong.

    Parameters
    ----------
    subject : str
        A job folder, a refine command, or nothing.
    allowed_folders : AllowedFolders
        Where a folder may be.

    Returns
    -------
    list of dict
        ``kind`` (ok, warning, error) and ``text``.

    Raises
    ------
    SpisonetError
        If it does not answer.
    """
    subject = subject.strip()
    words = [subject] if subject else []
    if subject and not any(word.startswith("--") for word in subject.split()):
        words = [str(allowed_folders.inside(subject))]
    program = find_executable(EXECUTABLE)
    environment = {VARIABLE: program, **os.environ}  # as the line above tells the user to export it
    try:
        done = subprocess.run(
            [program, "--check", *words],
            capture_output=True,
            text=True,
            timeout=SECONDS_FOR_A_CHECK,
            check=False,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SpisonetError(f"{EXECUTABLE} --check does not answer: {error}.") from error
    found = re.findall(r"^  (ok|WARNING|ERROR) +(.+)$", done.stdout, re.MULTILINE)
    if not found:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise SpisonetError((said[-1] if said else "It said nothing.").removeprefix("spisonet: "))
    return [{"kind": kind.lower(), "text": text} for kind, text in found]


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not there yet
        return {}
    return content if isinstance(content, dict) else {}
