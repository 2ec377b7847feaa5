"""The jobs of a project: folders that tell everything about themselves.

``job.json`` is the record that every run keeps, ``launch.json`` what was asked for here, ``process.json``
what became of it, ``run.out`` what was printed. Folders with nothing but a ``job.json`` are runs of the
command line.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from spisonet.cli.programs import PROGRAMS
from spisonet.errors import SpisonetError
from spisonet.gui import slurm
from spisonet.gui.devices import list_gpus
from spisonet.gui.forms import command_line, form_values, input_names, model_of, place_outputs, require_inside
from spisonet.gui.processes import is_alive, this_host
from spisonet.gui.runner import (
    ENDED,
    FAILED,
    FINISHED,
    GLANCE_SECONDS,
    LAUNCH_FILE,
    OUTPUT_FILE,
    PROCESS_FILE,
    QUEUED,
    RUNNING,
    STOPPED,
)
from spisonet.io.atomic import prepare_output_folder
from spisonet.io.config import JOB_FILE, write_job_record, write_json
from spisonet.io.logs import LOG_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spisonet.gui.roots import Roots
    from spisonet.io.config import CommandConfig

FOLDER, LOCK_FILE = "jobs", ".lock"
SCRIPT_FILE, SLURM_FILE = "submit.sh", "slurm_job"
DIED, DAMAGED = "died", "damaged"
UNINTELLIGIBLE = (KeyError, TypeError, ValueError, AttributeError)  # of files that others have written
PROGRAM = "spisonet"  # in job.json
ACTIVE = (QUEUED, RUNNING)
DEPTH = 3  # of folders in which runs are looked for
SECONDS_TO_START = 15.0
INTERRUPTED_BY_HAND = "interrupted"  # status in job.json
KIND_OF_SUFFIX = {
    **dict.fromkeys((".mrc", ".rec", ".map", ".st"), "volume"),
    ".png": "image",
    ".html": "page",
    ".star": "table",
}
TEXTS = (".json", ".log", ".out", ".txt", ".sh", ".toml", ".csv")
MOST_LOG_BYTES = 2**22
TAIL_BYTES, PAGE_BYTES = 2**13, 2**17
EPOCH = re.compile(
    r"^(?:\S+ \S+ INFO )?(?P<title>.+): epoch (?P<done>\d+) of (?P<all>\d+), loss (?P<loss>\S+),"
    r".* (?P<left>\d+) s left$",
    re.MULTILINE,
)


class Place(BaseModel):
    """Where a job is to run.

    Attributes
    ----------
    gpus : tuple of int
        GPUs of this machine; none: the CPU.
    wait : bool
        Whether to wait until other jobs leave them.
    slurm : dict or None
        Answers to what the submission template asks; None: this machine.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    gpus: tuple[int, ...] = Field((), max_length=16)
    wait: bool = True
    slurm: dict[str, str] | None = None


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
        return path.read_text(encoding="ascii").strip() if path.is_file() else None

    @cached_property
    def state(self) -> str:
        """``queued``, ``running``, ``finished``, ``failed``, ``stopped`` or ``died``."""
        if not self.launch:
            status = str(self.record.get("status", FINISHED))
            return STOPPED if status == INTERRUPTED_BY_HAND else status
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
            "seen": _modified(self.log),
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
            "outcome": {k: v for k, v in self.record.items() if k not in ("config", "epoch_losses")},
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


class Jobs:
    """The jobs of a project.

    Parameters
    ----------
    roots : Roots
        Of which the project is one.
    template : Path or None
        Submission script for SLURM.
    """

    def __init__(self, roots: Roots, template: Path | None) -> None:
        self._roots, self.template = roots, template

    @property
    def project(self) -> Path:
        """Folder of the project."""
        return self._roots.project

    def all(self) -> list[Job]:
        """Return all jobs, newest first."""
        found = [Job(folder, self._roots.shown(folder)) for folder in _run_folders(self.project)]
        return sorted(filter(_is_ours, found), key=_age, reverse=True)

    def summaries(self) -> list[dict[str, Any]]:
        """Return what a list of all jobs shows; one that cannot be understood spoils no other."""
        shown = []
        for job in self.all():
            try:
                shown.append(job.summary())
            except UNINTELLIGIBLE:
                shown.append({"name": job.name, "command": job.command, "state": DAMAGED, "inputs": []})
        return shown

    def find(self, name: str) -> Job:
        """Return a job by its name.

        Raises
        ------
        SpisonetError
            If there is none.
        """
        folder = self._roots.inside(name)
        job = Job(folder, self._roots.shown(folder))
        if not folder.is_relative_to(self.project) or not _is_ours(job):
            raise SpisonetError(f"{name} is no job of this project.")
        try:
            job.summary()
        except UNINTELLIGIBLE as error:
            raise SpisonetError(f"The files of {name} are damaged, or of another version.") from error
        return job

    def start(self, program: str, config: CommandConfig, place: Place, key: str) -> Job:
        """Start a job, once.

        Parameters
        ----------
        program : str
            Name of the program.
        config : CommandConfig
            Of its command; outputs may begin with ``{job}``.
        place : Place
            Where.
        key : str
            Of the form: a form that is sent twice starts one job, which is returned both times.

        Raises
        ------
        SpisonetError
            If a job that does the same is active, or it cannot be submitted.
        """
        prepare_output_folder(self.project / FOLDER)
        config = _on_devices(config, place)
        with self._alone():
            jobs = self.all()
            for job in jobs:
                if job.launch.get("key") == key:
                    return job
            asked = command_line(program, config)
            for job in jobs:
                if job.launch.get("asked_line") == asked and job.is_active:
                    raise SpisonetError(f"{job.name} does the same already.")
            folder = self._new_folder(config.command)
            job = Job(folder, self._roots.shown(folder))
            placed = place_outputs(config, job.name)
            write_job_record(folder, placed, status=QUEUED)
            try:
                self._launch(job, program, placed, place, key=key, asked_line=asked)
            except SpisonetError:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        return self.find(job.name)

    def resume(self, name: str) -> Job:
        """Continue a job in its folder.

        Raises
        ------
        SpisonetError
            If it cannot be resumed, or is active.
        """
        with self._alone():
            job = self.find(name)
            if not job.is_resumable:
                raise SpisonetError(f"{name} is {job.state} and cannot be resumed.")
            model = model_of(job.program, job.command)
            config = model.from_options({**job.record["config"], "resume": True})
            require_inside(config, self._roots)
            write_json(job.folder / JOB_FILE, {**job.record, "status": QUEUED})
            known = {name: job.launch[name] for name in ("key", "asked_line")}
            self._launch(job, job.program, config, Place(**job.launch["place"]), **known)
        return self.find(name)

    def stop(self, name: str) -> None:
        """End a job; the command is asked first, and then made to.

        Raises
        ------
        SpisonetError
            If it is not active, or cannot be reached from here.
        """
        job = self.find(name)
        if not job.is_active:
            raise SpisonetError(f"{name} is not running.")
        if (number := job.slurm_number) is not None:
            slurm.cancel(number)
            write_json(job.folder / PROCESS_FILE, {**job.process, "state": ENDED, "stopped": True})
            return
        if not job.launch:
            raise SpisonetError(f"{name} was not started here: stop it where it was.")
        while not job.process and job.is_active:  # its runner is about to say that it is there
            time.sleep(GLANCE_SECONDS)
            job = self.find(name)
        if not job.is_active:
            raise SpisonetError(f"{name} is {job.state}.")
        if job.process["host"] != this_host():
            raise SpisonetError(f"{name} runs on {job.process['host']}: stop it there.")
        if is_alive(job.process["runner"]):
            os.kill(job.process["runner"]["pid"], signal.SIGTERM)
        else:
            os.killpg(job.process["child"]["pid"], signal.SIGINT)

    def delete(self, name: str) -> None:
        """Delete the folder of a job that was started here.

        Raises
        ------
        SpisonetError
            If it is active or of another program, or cannot be deleted.
        """
        with self._alone():
            job = self.find(name)
            if not job.launch or job.folder.parent != self.project / FOLDER:
                raise SpisonetError(f"{name} was not made here; delete its folder yourself.")
            if job.is_active:
                raise SpisonetError(f"{name} is {job.state}: stop it first.")
            try:
                shutil.rmtree(job.folder)
            except OSError as error:
                raise SpisonetError(f"{name} cannot be deleted: {error}.") from error

    def _launch(self, job: Job, program: str, config: CommandConfig, place: Place, **known: object) -> None:
        line = command_line(program, config)
        submitted = place.slurm is not None
        devices = [f"gpu{number}" for number in sorted(set(place.gpus))] or ["cpu"]
        launch = {
            **known,
            "program": program,
            "line": line,
            "arguments": [find_executable(line[0]), *line[1:]],
            "project": str(self.project),
            "devices": devices if place.wait and not submitted else [],
            "place": place.model_dump(mode="json"),
            "asked": time.time(),
        }
        for name in (PROCESS_FILE, SLURM_FILE):
            (job.folder / name).unlink(missing_ok=True)
        write_json(job.folder / LAUNCH_FILE, launch)
        # -P: nothing in the current folder takes the place of a module
        runner = [sys.executable, "-P", "-m", "spisonet.gui.runner", str(job.folder)]
        if submitted:
            self._submit(job, runner, place)
        else:
            _detach(runner, self.project)

    def _submit(self, job: Job, runner: list[str], place: Place) -> None:
        if self.template is None:
            raise SpisonetError("There is no submission template; restart with --slurm_template.")
        script = job.folder / SCRIPT_FILE
        slurm.write_script(self.template, script, runner, job.folder / OUTPUT_FILE, place.slurm or {})
        (job.folder / SLURM_FILE).write_text(slurm.submit(script), encoding="ascii")

    def _new_folder(self, command: str) -> Path:
        number = max((_number(path) for path in (self.project / FOLDER).iterdir()), default=0)
        while True:
            number += 1
            folder = self.project / FOLDER / f"{number:03d}_{command}"
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep every other request, also of other servers of this project, from starting or deleting jobs."""
        prepare_output_folder(self.project / FOLDER)
        with (self.project / FOLDER / LOCK_FILE).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def list_results(folder: Path, name: str) -> list[dict[str, Any]]:
    """List the files of a job, with what they can be shown as."""
    found = []
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        if path.is_file() and len(below.parts) <= DEPTH and not any(p.startswith(".") for p in below.parts):
            found.append(
                {
                    "name": f"{name}/{below}",
                    "kind": KIND_OF_SUFFIX.get(path.suffix, "text" if path.suffix in TEXTS else "other"),
                    "bytes": path.stat().st_size,
                    "modified": path.stat().st_mtime,
                }
            )
    return found


def find_executable(name: str) -> str:
    """Find a console script of this installation.

    Raises
    ------
    SpisonetError
        If it is not installed.
    """
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise SpisonetError(f"{name} is not installed; install spisonet with pip.")
    return found


def _detach(words: list[str], folder: Path) -> None:
    """Start a program that outlives this one."""
    nowhere = subprocess.DEVNULL
    child = subprocess.Popen(
        words, cwd=folder, stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True
    )
    Thread(target=child.wait, daemon=True).start()  # takes note of its end, if this program lives to see it


def _on_devices(config: CommandConfig, place: Place) -> CommandConfig:
    """Enter the devices into a configuration."""
    learns = "gpuID" in type(config).model_fields
    if place.gpus and not learns:
        raise SpisonetError(f"{config.command} uses no GPU.")
    if place.gpus:
        return config.model_copy(update={"gpuID": ",".join(map(str, sorted(set(place.gpus))))})
    if learns and place.slurm is None and list_gpus():
        return config.model_copy(update={"device": "cpu"})
    return config


def _run_folders(project: Path) -> Iterator[Path]:
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
    return (folder / JOB_FILE).is_file()


def _is_ours(job: Job) -> bool:
    """Tell a run from what other programs call job.json."""
    return job.record.get("program") == PROGRAM and isinstance(job.record.get("config"), dict)


def _age(job: Job) -> tuple[float, int]:
    return (_modified(job.folder / (LAUNCH_FILE if job.launch else JOB_FILE)) or 0.0, _number(job.folder))


def _number(folder: Path) -> int:
    begin = folder.name.partition("_")[0]
    return int(begin) if begin.isdecimal() else 0


def _modified(path: Path) -> float | None:
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
