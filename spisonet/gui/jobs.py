"""The jobs of a project: started, stopped, resumed, deleted."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from threading import Thread
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from spisonet.errors import SpisonetError
from spisonet.gui import slurm
from spisonet.gui.devices import list_gpus
from spisonet.gui.forms import command_line, model_of, place_outputs, require_inside
from spisonet.gui.installation import find_executable
from spisonet.gui.job import SECONDS_TO_START, SLURM_FILE, Job, modified, run_folders
from spisonet.gui.processes import identity, is_alive, this_host
from spisonet.gui.runner import ENDED, GLANCE_SECONDS, LAUNCH_FILE, OUTPUT_FILE, PROCESS_FILE, QUEUED
from spisonet.io.atomic import prepare_output_folder, write_json
from spisonet.io.run_record import JOB_FILE, write_job_record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spisonet.gui.allowed_folders import AllowedFolders
    from spisonet.io.config import CommandConfig

FOLDER, LOCK_FILE, SCRIPT_FILE = "jobs", ".lock", "submit.sh"
DAMAGED = "damaged"
SECONDS_TO_QUEUE, QUEUE_GLANCE_SECONDS = 5.0, 0.02
STARTING = "starting"  # of process.json, until the runner says more
UNINTELLIGIBLE = (KeyError, TypeError, ValueError, AttributeError)  # of files that others have written


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


class Jobs:
    """The jobs of a project.

    Parameters
    ----------
    allowed_folders : AllowedFolders
        Of which the project is one.
    template : Path or None
        Submission script for SLURM.
    """

    def __init__(self, allowed_folders: AllowedFolders, template: Path | None) -> None:
        self._allowed_folders, self.template = allowed_folders, template

    @property
    def project(self) -> Path:
        """Folder of the project."""
        return self._allowed_folders.project

    def all(self) -> list[Job]:
        """Return all jobs, newest first."""
        found = [Job(folder, self._allowed_folders.shown(folder)) for folder in run_folders(self.project)]
        return sorted((job for job in found if job.is_ours), key=_age, reverse=True)

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
        folder = self._allowed_folders.inside(name)
        job = Job(folder, self._allowed_folders.shown(folder))
        if not folder.is_relative_to(self.project) or not job.is_ours:
            raise SpisonetError(f"{name} is no job of this project.")
        self._allowed_folders.inside(job.log)  # it may be a link
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
            job = Job(folder, self._allowed_folders.shown(folder))
            placed = place_outputs(config, job.name)
            write_job_record(folder, placed, status=QUEUED)
            try:
                self._launch(job, program, placed, place, key=key, asked_line=asked)
            except (SpisonetError, OSError):
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
            require_inside(config, self._allowed_folders)
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
            ended = {"state": ENDED, "stopped": True, "cancelled": number}  # until SLURM lists it no more
            write_json(job.folder / PROCESS_FILE, {**job.process, **ended})
            return
        if not job.launch:
            raise SpisonetError(f"{name} was not started here: stop it where it was.")
        deadline = time.monotonic() + SECONDS_TO_START
        while job.process.get("state", STARTING) == STARTING and time.monotonic() < deadline:
            time.sleep(GLANCE_SECONDS)  # it cannot be told yet
            job = self.find(name)
        if not job.is_active:
            raise SpisonetError(f"{name} is {job.state}.")
        if job.process["host"] != this_host():
            raise SpisonetError(f"{name} runs on {job.process['host']}: stop it there.")
        if is_alive(job.process["runner"]):
            os.kill(job.process["runner"]["pid"], signal.SIGTERM)
        elif is_alive(job.process.get("child")):
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
            process = {
                "host": this_host(),
                "runner": identity(_detach(runner, self.project)),
                "state": STARTING,
            }
            with suppress(FileExistsError), (job.folder / PROCESS_FILE).open("x") as file:
                json.dump(process, file)
            # Nobody else may start a job before this one stands in the queue: first come, first served.
            deadline = time.monotonic() + SECONDS_TO_QUEUE
            while self._is_starting(job.folder) and time.monotonic() < deadline:
                time.sleep(QUEUE_GLANCE_SECONDS)

    def _is_starting(self, folder: Path) -> bool:
        return Job(folder, self._allowed_folders.shown(folder)).process.get("state") == STARTING

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
        if (self.project / FOLDER).is_symlink():
            # Its jobs would lie outside of the project, and not be found again.
            raise SpisonetError(f"{FOLDER} is a link: make it a folder, or put the project where it leads.")
        prepare_output_folder(self.project / FOLDER)
        with (self.project / FOLDER / LOCK_FILE).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _detach(words: list[str], folder: Path) -> int:
    """Start a program that outlives this one; return its number."""
    nowhere = subprocess.DEVNULL
    child = subprocess.Popen(
        words, cwd=folder, stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True
    )
    Thread(target=child.wait, daemon=True).start()  # takes note of its end, if this program lives to see it
    return child.pid


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


def _age(job: Job) -> tuple[float, int]:
    return (modified(job.folder / (LAUNCH_FILE if job.launch else JOB_FILE)) or 0.0, _number(job.folder))


def _number(folder: Path) -> int:
    begin = folder.name.partition("_")[0]
    return int(begin) if begin.isdecimal() else 0
