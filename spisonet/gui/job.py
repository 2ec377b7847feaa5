"""A job as its folder tells it.

``job.json`` is the record that every run keeps, ``launch.json`` what was asked for here, ``process.json``
what became of it, ``run.out`` what was printed. A folder with nothing but a ``job.json`` is a run of the
command line.
"""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spisonet.commands.registry import PROGRAMS
from spisonet.errors import SpisonetError
from spisonet.gui import slurm
from spisonet.gui.forms import command_line, form_values, input_names, model_of
from spisonet.gui.processes import is_alive, this_host
from spisonet.gui.runner import (
    ENDED,
    FAILED,
    FINISHED,
    LAUNCH_FILE,
    OUTPUT_FILE,
    PROCESS_FILE,
    QUEUED,
    RUNNING,
    STOPPED,
)
from spisonet.io.logs import LOG_FILE
from spisonet.io.run_record import JOB_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator

SLURM_FILE = "slurm_job"
DIED = "died"
PROGRAM = "spisonet"  # in job.json
ACTIVE = (QUEUED, RUNNING)
DEPTH = 3  # of folders in which runs are looked for, and of the files of one
SECONDS_TO_START = 15.0
INTERRUPTED_BY_HAND = "interrupted"  # status in job.json
KIND_OF_SUFFIX = {
    **dict.fromkeys((".mrc", ".rec", ".map", ".st"), "volume"),
    **dict.fromkeys((".json", ".log", ".out", ".txt", ".sh", ".toml", ".csv"), "text"),
    ".png": "image",
    ".html": "page",
    ".star": "table",
}
MOST_LOG_BYTES = 2**22
TAIL_BYTES, PAGE_BYTES = 2**13, 2**17
EPOCH = re.compile(
    r"^(?:\S+ \S+ INFO )?(?P<title>.+): epoch (?P<done>\d+) of (?P<all>\d+), loss (?P<loss>-?[\d.]+|nan|inf),"
    r".* (?P<left>\d+) s left$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Job:
    """A folder of the project that holds a run.

    Attributes
    ----------
    folder : Path
        Its path.
    name : str
        The same relative to the project.
    """

    folder: Path
    name: str

    @cached_property
    def record(self) -> dict[str, Any]:
        """``job.json``; empty if there is none, or none that can be read."""
        return _read_json(self.folder / JOB_FILE)

    @cached_property
    def launch(self) -> dict[str, Any]:
        """``launch.json``; empty if the run was not started here."""
        return _read_json(self.folder / LAUNCH_FILE)

    @cached_property
    def process(self) -> dict[str, Any]:
        """``process.json``; empty before the runner has started."""
        return _read_json(self.folder / PROCESS_FILE)

    @property
    def command(self) -> str:
        """Name of the command."""
        return str(self.record.get("command", "?"))

    @property
    def program(self) -> str:
        """Name of the program."""
        known = (p for p, models in PROGRAMS.items() if self.command in (m.command for m in models))
        return str(self.launch.get("program") or next(known, "spisonet"))

    @property
    def slurm_number(self) -> str | None:
        """Number of the SLURM job."""
        path = self.folder / SLURM_FILE
        if path.is_symlink() or not path.is_file():
            return None
        number = path.read_text(encoding="ascii", errors="replace").strip()
        return number if number.isdecimal() else None  # anything else would be an option of scancel

    @cached_property
    def state(self) -> str:
        """``queued``, ``running``, ``finished``, ``failed``, ``stopped`` or ``died``."""
        if not self.launch:
            status = str(self.record.get("status", FINISHED))
            return STOPPED if status == INTERRUPTED_BY_HAND else status
        cancelled = self.process.get("cancelled")
        if cancelled is not None and slurm.is_listed(str(cancelled)):
            return RUNNING  # SLURM gives it some time to end
        if self.process.get("state") == ENDED:
            outcome = FAILED if self.process.get("exit_status") else FINISHED
            return STOPPED if self.process.get("stopped") else outcome
        believed = RUNNING if self.process.get("state") == RUNNING else QUEUED
        return believed if self._may_be_alive() else DIED

    def _may_be_alive(self) -> bool:
        if (number := self.slurm_number) is not None:
            return slurm.is_listed(number)
        if not self.process:
            return bool(time.time() - self.launch["asked"] < SECONDS_TO_START)
        if self.process["host"] != this_host():
            return True
        return is_alive(self.process["runner"]) or is_alive(self.process.get("child"))

    @property
    def is_ours(self) -> bool:
        """Whether it is a run at all: other programs write files of this name, too."""
        return self.record.get("program") == PROGRAM and isinstance(self.record.get("config"), dict)

    @property
    def is_active(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ACTIVE

    @property
    def is_resumable(self) -> bool:
        """Whether it can go on from where it ended."""
        model = next((m for m in PROGRAMS[self.program] if m.command == self.command), None)
        return (
            bool(self.launch)
            and self.state in (STOPPED, FAILED, DIED)
            and model is not None
            and "resume" in model.model_fields
        )

    @property
    def log(self) -> Path:
        """What it printed."""
        output = self.folder / OUTPUT_FILE
        return output if output.is_file() or self.launch else self.folder / LOG_FILE

    def epochs(self, most_bytes: int = MOST_LOG_BYTES) -> list[dict[str, Any]]:
        """Return what the log tells of the epochs of training, oldest first."""
        return [
            {
                "title": found["title"],
                "epoch": int(found["done"]),
                "of": int(found["all"]),
                "loss": float(found["loss"]),
                "seconds_left": int(found["left"]),
            }
            for found in EPOCH.finditer(_tail(self.log, most_bytes))
        ]

    def summary(self) -> dict[str, Any]:
        """Return what a list of jobs shows."""
        started = self.process.get("started") or self.launch.get("asked")
        seconds = None
        if started is not None:
            seconds = round(self.process.get("ended", time.time()) - started) if self.state != DIED else None
        elif "seconds" in self.record:
            seconds = round(self.record["seconds"])
        epochs = self.epochs(TAIL_BYTES) if self.is_active else []
        return {
            "name": self.name,
            "program": self.program,
            "command": self.command,
            "state": self.state,
            "asked": self.launch.get("asked"),
            "written": self.record.get("written"),
            "seconds": seconds,
            "progress": epochs[-1] if epochs else None,
            "inputs": input_names(self.program, self.command, self.record.get("config", {})),
            "host": self.process.get("host"),
            "slurm": self.slurm_number,
            "started_here": bool(self.launch),
            "resumable": self.is_resumable,
        }

    def details(self) -> dict[str, Any]:
        """Return what the page of a job shows."""
        config = self.record.get("config", {})
        values: dict[str, Any] = {}
        line = self.launch.get("line")
        try:
            model = model_of(self.program, self.command)
            values = form_values(model, config, self.name)
            line = line or command_line(self.program, model.model_validate(config))
        except (SpisonetError, ValueError):  # of another version
            pass
        finished_losses = self.record.get("epoch_losses")
        return {
            **self.summary(),
            "line": line,
            "config": config,
            "values": values,
            "place": self.launch.get("place"),
            "version": self.record.get("version"),
            "epochs": self.epochs(),
            "losses": finished_losses if isinstance(finished_losses, list) else None,
            "results": list_results(self.folder, self.name),
        }

    def read_log(self, offset: int) -> dict[str, Any]:
        """Return a page of the log from a position on; from -1, the last page."""
        path = self.log
        if not path.is_file():
            return {"text": "", "next": 0, "more": False}
        size = path.stat().st_size
        begin = max(0, size - PAGE_BYTES) if offset < 0 or offset > size else offset
        with path.open("rb") as file:
            file.seek(begin)
            part = file.read(PAGE_BYTES)
        return {
            "text": part.decode("utf-8", "replace"),
            "next": begin + len(part),
            "more": begin + len(part) < size,
        }


def list_results(folder: Path, name: str) -> list[dict[str, Any]]:
    """List the files of a job, with what they can be shown as."""
    found = []
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        if path.is_file() and len(below.parts) <= DEPTH and not any(p.startswith(".") for p in below.parts):
            found.append(
                {
                    "name": f"{name}/{below}",
                    "kind": KIND_OF_SUFFIX.get(path.suffix, "other"),
                    "bytes": path.stat().st_size,
                    "modified": path.stat().st_mtime,
                }
            )
    return found


def run_folders(project: Path) -> Iterator[Path]:
    """Find the folders that hold a run, but not those of its parts."""
    if (project / JOB_FILE).is_file():
        yield project
    level = [project]
    for _ in range(DEPTH):
        below = []
        for folder in level:
            for path in _subfolders(folder):
                if _is_run(path):
                    yield path
                else:
                    below.append(path)
        level = below


def _subfolders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [
                Path(entry.path)
                for entry in entries
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
            ]
    except OSError:  # gone meanwhile, or not ours
        return []


def _is_run(folder: Path) -> bool:
    return os.path.isfile(folder / JOB_FILE)  # of a folder that may not be entered: no


def modified(path: Path) -> float | None:
    """Return when a file was last written; None if it is not there."""
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _tail(path: Path, most_bytes: int) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - most_bytes))
        return file.read(most_bytes).decode("utf-8", "replace")
