"""What was made from what: the jobs whose results a job uses, and those that use its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from spisonet.errors import SpisonetError
from spisonet.gui.forms import config_model
from spisonet.io.config import is_output, option_kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spisonet.gui.job import Job


def find_lineage(job: Job, jobs: Iterable[Job]) -> dict[str, list[dict[str, str]]]:
    """Return the ``parents`` and ``children`` of a job: name, title and command of each."""
    # A run in the project folder itself, which contains all others, made none of their inputs.
    others = [
        other
        for other in jobs
        if not (job.folder.is_relative_to(other.folder) or other.folder.is_relative_to(job.folder))
    ]
    used = _inputs(job)
    return {
        "parents": [_line(other) for other in others if _uses(used, other.folder)],
        "children": [_line(other) for other in others if _uses(_inputs(other), job.folder)],
    }


def _line(job: Job) -> dict[str, str]:
    return {"name": job.name, "title": str(job.notes.get("title", "")), "command": job.command}


def _uses(paths: Iterable[Path], folder: Path) -> bool:
    return any(path.is_relative_to(folder) for path in paths)


def _inputs(job: Job) -> list[Path]:
    """Return the absolute paths of all inputs of a job."""
    project = job.folder.parents[len(Path(job.name).parts) - 1]
    config: dict[str, Any] = job.record.get("config", {})
    try:
        fields = config_model(job.program, job.command).model_fields
    except SpisonetError:  # of another version
        return []
    return [
        project / str(config[name])
        for name, info in fields.items()
        if config.get(name) is not None and option_kind(info)[0] == "path" and not is_output(name, info)
    ]
