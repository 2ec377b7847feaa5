"""Files that validations leave in the folder of a run, and how they are read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.validation.finished_run import FinishedRun

VALIDATION_FOLDER, VALIDATION_FILE = "validation", "validation.json"
UNCERTAINTY, UNCERTAINTY_FOURIER = "uncertainty.mrc", "uncertainty_fourier.mrc"
COLOUR_SCRIPT = "uncertainty.cxc"
NULL_TEST_FOLDER, NULL_TEST_FILE = "null_tests", "null_tests.json"


def read_validation(run: FinishedRun) -> dict[str, Any] | None:
    """Return the content of ``validation.json``; None if this run has not been validated."""
    return _record_of(run, run.folder / VALIDATION_FOLDER / VALIDATION_FILE)


def read_null_tests(run: FinishedRun) -> dict[str, Any] | None:
    """Return the content of ``null_tests.json``; None if this run has no null tests."""
    return _record_of(run, run.folder / NULL_TEST_FOLDER / NULL_TEST_FILE)


def _record_of(run: FinishedRun, path: Path) -> dict[str, Any] | None:
    """Read a record; None if it is missing or belongs to an earlier run in the same folder."""
    if not path.is_file():
        return None
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record if record.get("validated_run") == run.record["written"] else None
