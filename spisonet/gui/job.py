"""A job, read from its folder.

``job.json`` is the record that every run writes, ``launch.json`` how the interface started it,
``process.json`` the state and outcome of its process, ``run.out`` its output and ``progress.jsonl`` its
progress. A folder with ``job.json`` but without ``launch.json`` is a run of the command line.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from spisonet.commands.registry import PROGRAMS
from spisonet.errors import SpisonetError
from spisonet.gui.processes import host_name, is_alive
from spisonet.gui.runner import (
    ENDED,
    HEARTBEAT_FILE,
    LAUNCH_FILE,
    OUTPUT_FILE,
    PROCESS_FILE,
    STOPPED,
)
from spisonet.io import schedulers
from spisonet.io.events import PROGRESS_FILE
from spisonet.io.json_files import read_json_object
from spisonet.io.logs import LOG_FILE, is_in_use
from spisonet.io.paths import version_of
from spisonet.io.run_record import FAILED, FINISHED, INTERRUPTED, JOB_FILE, QUEUED, RUNNING

if TYPE_CHECKING:
    from pathlib import Path

SLURM_FILE, NOTES_FILE = "slurm_job", "notes.json"
DIED, UNRESPONSIVE, STOPPING = "died", "unresponsive", "stopping"
PROGRAM = "spisonet"  # value of "program" in job.json
ACTIVE = (QUEUED, RUNNING, STOPPING)
SECONDS_TO_START = 15.0
SECONDS_OF_CLOCK = 2.0  # resolution of times of files
SECONDS_TO_END = 5.0  # of a process that was killed
# Without a sign of life, after which a job is no longer listed as running.
SECONDS_WITHOUT_HEARTBEAT, SECONDS_WITHOUT_OUTPUT = 900.0, 3600.0
WRITTEN_BY_RUN = (HEARTBEAT_FILE, OUTPUT_FILE, LOG_FILE, PROGRESS_FILE)
SIGNS_OF_LIFE = (*WRITTEN_BY_RUN, PROCESS_FILE, LAUNCH_FILE, JOB_FILE)
NO_SIGN_OF_LIFE = "no_sign_of_life"  # code of the error of a job that was marked as failed


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

    @cached_property
    def notes_version(self) -> str:
        """Version of ``notes.json``, see `version_of`."""
        return version_of(self.folder / NOTES_FILE)

    @cached_property
    def notes(self) -> dict[str, Any]:
        """Content of ``notes.json``, title and text by the user; empty without notes."""
        _ = self.notes_version  # first, so that it is never that of a later content
        return _read_json(self.folder / NOTES_FILE)

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
        """State of the job.

        ``queued``, ``running``, ``stopping``, ``finished``, ``failed``, ``stopped``, ``died``, or
        ``unresponsive``: it may run on another machine, but has given no sign of life for a long time.
        """
        if not self.launch:
            status = str(self.record.get("status", FINISHED))
            if status in ACTIVE and self._is_silent(SECONDS_WITHOUT_OUTPUT):
                return UNRESPONSIVE
            return STOPPED if status == INTERRUPTED else status
        cancelled = self.process.get("cancelled_slurm_job")
        if cancelled is not None and schedulers.is_listed(str(cancelled)):
            return STOPPING  # SLURM gives the job some time to end
        if self.process.get("state") == ENDED:
            if self.process.get("stopped"):
                return STOPPED
            return FAILED if self.process.get("exit_status") else FINISHED
        recorded = RUNNING if self.process.get("state") == RUNNING else QUEUED
        return self._failure_to_live or (STOPPING if self.process.get("stopping") else recorded)

    @property
    def _failure_to_live(self) -> str:
        """``died`` or ``unresponsive``; empty if the processes of the job may be alive."""
        number = self.slurm_number
        if number is not None and schedulers.SLURM.is_available:
            return "" if schedulers.is_listed(number) else DIED
        if number is not None or self.process.get("host", host_name()) != host_name():
            return UNRESPONSIVE if self._is_silent(SECONDS_WITHOUT_HEARTBEAT) else ""
        if not self.process:
            return "" if time.time() - self.launch["submitted"] < SECONDS_TO_START else DIED
        alive = is_alive(self.process["runner"]) or is_alive(self.process.get("child"))
        return "" if alive else DIED

    @property
    def last_sign_of_life(self) -> float:
        """Time at which the job last wrote one of its own files."""
        return self._last_written(SIGNS_OF_LIFE)

    def _last_written(self, names: tuple[str, ...]) -> float:
        times = [0.0]
        for name in names:
            with suppress(OSError):
                times.append((self.folder / name).stat().st_mtime)
        return max(times)

    def _is_silent(self, seconds: float) -> bool:
        return time.time() - self.last_sign_of_life > seconds and not is_in_use(self.folder)

    @property
    def is_still_written(self) -> bool:
        """Whether a process writes into the folder, although the job has ended or was marked as failed."""
        error = self.record.get("error")
        marked = isinstance(error, dict) and error.get("code") == NO_SIGN_OF_LIFE
        ended = self.process.get("ended", 0.0)
        written_since = marked and self._last_written(WRITTEN_BY_RUN) > ended + SECONDS_OF_CLOCK
        # The threads of a killed process end, and close its files, after the process counts as dead.
        return written_since or is_in_use(self.folder, SECONDS_TO_END)

    @property
    def seconds(self) -> float | None:
        """Time for which the command has run, over all resumptions; None if it has not started."""
        if not self.launch:
            return self.record.get("seconds")
        before, started = self.launch.get("seconds_before"), self.process.get("started")
        if started is None:
            return before
        lost = self.state in (DIED, UNRESPONSIVE)
        ended = self.process.get("ended", self.last_sign_of_life if lost else time.time())
        return float((before or 0.0) + max(0.0, ended - started))

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
