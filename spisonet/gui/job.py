"""A job, read from its folder.

``job.json`` is the record that every run writes, ``launch.json`` how the interface started it,
``process.json`` the state and outcome of its process, ``run.out`` its output and ``progress.jsonl`` its
progress. A folder with ``job.json`` but without ``launch.json`` is a run of the command line.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from spisonet.commands.registry import PROGRAMS
from spisonet.errors import SpisonetError
from spisonet.gui import slurm
from spisonet.gui.processes import host_name, is_alive
from spisonet.gui.runner import ENDED, LAUNCH_FILE, OUTPUT_FILE, PROCESS_FILE, STOPPED
from spisonet.io.json_files import read_json_object
from spisonet.io.logs import LOG_FILE
from spisonet.io.run_record import FAILED, FINISHED, INTERRUPTED, JOB_FILE, QUEUED, RUNNING

if TYPE_CHECKING:
    from pathlib import Path

SLURM_FILE = "slurm_job"
DIED = "died"
PROGRAM = "spisonet"  # value of "program" in job.json
ACTIVE = (QUEUED, RUNNING)
SECONDS_TO_START = 15.0


@dataclass(frozen=True)
class Job:
    """A run in a folder of the project.

    Attributes
    ----------
    folder : Path
        Absolute path.
    name : str
        Path relative to the project.
    """

    folder: Path
    name: str

    @cached_property
    def record(self) -> dict[str, Any]:
        """Content of ``job.json``; empty if the file is missing or damaged."""
        return _read_json(self.folder / JOB_FILE)

    @cached_property
    def launch(self) -> dict[str, Any]:
        """Content of ``launch.json``; empty if the run was not started by the interface."""
        return _read_json(self.folder / LAUNCH_FILE)

    @cached_property
    def process(self) -> dict[str, Any]:
        """Content of ``process.json``; empty before the runner has started."""
        return _read_json(self.folder / PROCESS_FILE)

    @property
    def command(self) -> str:
        """Name of the command."""
        return str(self.record.get("command", "?"))

    @property
    def program(self) -> str:
        """Name of the program."""
        matching = (p for p, models in PROGRAMS.items() if self.command in (m.command for m in models))
        return str(self.launch.get("program") or next(matching, "spisonet"))

    @property
    def slurm_number(self) -> str | None:
        """Number of the SLURM job, if the job was submitted."""
        path = self.folder / SLURM_FILE
        if path.is_symlink() or not path.is_file():
            return None
        number = path.read_text(encoding="ascii", errors="replace").strip()
        return number if number.isdecimal() else None  # any other text could be an option of scancel

    @cached_property
    def state(self) -> str:
        """``queued``, ``running``, ``finished``, ``failed``, ``stopped`` or ``died``."""
        if not self.launch:
            status = str(self.record.get("status", FINISHED))
            return STOPPED if status == INTERRUPTED else status
        cancelled = self.process.get("cancelled_slurm_job")
        if cancelled is not None and slurm.is_listed(str(cancelled)):
            return RUNNING  # SLURM gives the job some time to end
        if self.process.get("state") == ENDED:
            if self.process.get("stopped"):
                return STOPPED
            return FAILED if self.process.get("exit_status") else FINISHED
        recorded = RUNNING if self.process.get("state") == RUNNING else QUEUED
        return recorded if self._may_be_alive() else DIED

    def _may_be_alive(self) -> bool:
        if (number := self.slurm_number) is not None:
            return slurm.is_listed(number)
        if not self.process:
            return bool(time.time() - self.launch["submitted"] < SECONDS_TO_START)
        if self.process["host"] != host_name():
            return True
        return is_alive(self.process["runner"]) or is_alive(self.process.get("child"))

    @property
    def is_own(self) -> bool:
        """Whether ``job.json`` was written by this program; others use the same file name."""
        return self.record.get("program") == PROGRAM and isinstance(self.record.get("config"), dict)

    @property
    def is_active(self) -> bool:
        """Whether the job is queued or running."""
        return self.state in ACTIVE

    @property
    def is_resumable(self) -> bool:
        """Whether the job can continue from its last checkpoint."""
        model = next((m for m in PROGRAMS[self.program] if m.command == self.command), None)
        return (
            bool(self.launch)
            and self.state in (STOPPED, FAILED, DIED)
            and model is not None
            and "resume" in model.model_fields
        )

    @property
    def log(self) -> Path:
        """File with the output of the command."""
        output = self.folder / OUTPUT_FILE
        return output if output.is_file() or self.launch else self.folder / LOG_FILE


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return read_json_object(path)
    except (OSError, SpisonetError):
        return {}
