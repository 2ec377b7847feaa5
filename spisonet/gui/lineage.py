"""What was made from what: the jobs whose results a job uses, and those that use its own.

A job uses the results of another if an input is in the folder of the other, or if the other started earlier
and wrote an input, or a file that a table of tomograms among the inputs lists: commands enter their results
into the table that they read.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spisonet.errors import SpisonetError
from spisonet.gui.forms import config_model
from spisonet.io.config import is_output, option_kind
from spisonet.io.paths import real_path
from spisonet.io.tomogram_table import TomogramTable
from spisonet.io.tomograms import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spisonet.gui.job import Job

LARGEST_TABLE_BYTES = 2**22
LISTED_SUFFIXES = (*SUFFIXES, ".mod")


@dataclass(frozen=True)
class _Files:
    """Absolute paths of the inputs and outputs of a job, and the time at which it started."""

    inputs: list[Path]
    outputs: list[Path]
    started: float


def find_lineage(job: Job, jobs: Iterable[Job]) -> dict[str, list[dict[str, str]]]:
    """Return the ``parents`` and ``children`` of a job: name, title and command of each."""
    # A run in the project folder itself, which contains all others, made none of their inputs.
    others = [
        other
        for other in jobs
        if not (job.folder.is_relative_to(other.folder) or other.folder.is_relative_to(job.folder))
    ]
    files = {each: _files_of(each) for each in (job, *others)}

    @cache
    def listed(table: Path) -> frozenset[Path]:
        return _listed_files(table, _project_of(job))

    def uses(user: Job, maker: Job) -> bool:
        own, made = files[user], files[maker]
        if any(path.is_relative_to(maker.folder) for path in own.inputs):
            return True
        if made.started >= own.started:
            return False
        used = [*own.inputs, *(path for table in own.inputs for path in listed(table))]
        return any(path.is_relative_to(output) for output in (maker.folder, *made.outputs) for path in used)

    return {
        "parents": [_line(other) for other in others if uses(job, other)],
        "children": [_line(other) for other in others if uses(other, job)],
    }


def _line(job: Job) -> dict[str, str]:
    return {"name": job.name, "title": str(job.notes.get("title", "")), "command": job.command}


def _project_of(job: Job) -> Path:
    return job.folder.parents[len(Path(job.name).parts) - 1]


def _files_of(job: Job) -> _Files:
    project = _project_of(job)
    config: dict[str, Any] = job.record.get("config", {})
    try:
        fields = config_model(job.program, job.command).model_fields
    except SpisonetError:  # of another version
        return _Files([], [], 0.0)
    paths: dict[bool, list[Path]] = {False: [], True: []}
    for name, info in fields.items():
        if config.get(name) is not None and option_kind(info)[0] == "path":
            paths[is_output(name, info)].append(Path(os.path.normpath(project / str(config[name]))))
    # Not a folder that contains other jobs, such as the project.
    outputs = [path for path in paths[True] if not job.folder.is_relative_to(path)]
    return _Files(paths[False], outputs, _start_of(job))


def _start_of(job: Job) -> float:
    """Return the time at which a job was submitted, or began on the command line; 0 if it is unknown."""
    try:
        if job.launch:
            return float(job.launch["submitted"])
        return datetime.fromisoformat(job.record["written"]).timestamp() - float(job.record.get("seconds", 0))
    except (LookupError, TypeError, ValueError):
        return 0.0


def _listed_files(table: Path, project: Path) -> frozenset[Path]:
    """Return the absolute paths of the volumes and models in a table of tomograms; none for other files."""
    try:
        if table.suffix != ".star" or not real_path(table).is_relative_to(project) or not table.is_file():
            return frozenset()
        rows = TomogramTable.read(table).rows if table.stat().st_size < LARGEST_TABLE_BYTES else []
    except (OSError, SpisonetError):
        return frozenset()
    values = {value for row in rows for value in row.values.values()}
    names = (value for value in values if value.lower().endswith(LISTED_SUFFIXES))
    return frozenset(Path(os.path.normpath(project / name)) for name in names)
