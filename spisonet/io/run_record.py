"""The record of a run, ``job.json``."""

from __future__ import annotations

import json
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from spisonet import __version__
from spisonet.errors import SpisonetError
from spisonet.io.atomic import write_json

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.io.config import CommandConfig

JOB_FILE = "job.json"


LIBRARIES = ("torch", "numpy")  # whose versions a record tells


def write_job_record(folder: Path, config: CommandConfig, **outcome: object) -> None:
    """Write ``job.json``: the command, its whole configuration, the version and what came of it.

    Parameters
    ----------
    folder : Path
        The run's output folder.
    config : CommandConfig
        What was asked for.
    **outcome
        JSON-serialisable facts about the run.
    """
    record = {
        "program": "spisonet",
        "version": __version__,
        "libraries": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
        "command": config.command,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": config.model_dump(mode="json"),
        **outcome,
    }
    write_json(folder / JOB_FILE, record)


def read_job_record(folder: Path) -> dict[str, Any]:
    """Read ``job.json``.

    Raises
    ------
    SpisonetError
        If it is missing or unreadable.
    """
    path = folder / JOB_FILE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return dict(record, config=dict(record["config"]))
    except FileNotFoundError as error:
        raise SpisonetError(f"{folder} holds no {JOB_FILE}: it is no output folder of a run.") from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SpisonetError(f"{path} is not a readable record of a run.") from error


def changed_option(config: CommandConfig, record: dict[str, Any]) -> str | None:
    """Name an option whose value differs between a run and an earlier run's record, if it matters.

    See `CommandConfig.free_on_resume` for those that do not.
    """
    for name, value in config.model_dump(mode="json").items():
        # What a record of an older version does not know was the default then.
        before = record["config"].get(name, type(config).model_fields[name].default)
        if name not in config.free_on_resume and before != value:
            return name
    return None
