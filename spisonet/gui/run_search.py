"""Find the folders of a project that contain a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from spisonet.io.run_record import JOB_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_DEPTH = 3


def find_run_folders(project: Path) -> Iterator[Path]:
    """Yield the folders that contain ``job.json``, but not subfolders of such a folder."""
    if _contains_run(project):
        yield project
    level = [project]
    for _ in range(MAX_DEPTH):
        next_level = []
        for folder in level:
            for path in _subfolders(folder):
                if _contains_run(path):
                    yield path
                else:
                    next_level.append(path)
        level = next_level


def _subfolders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [
                Path(entry.path)
                for entry in entries
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
            ]
    except OSError:  # removed meanwhile, or not readable
        return []


def _contains_run(folder: Path) -> bool:
    return os.path.isfile(folder / JOB_FILE)  # False, not an error, where the folder may not be entered
