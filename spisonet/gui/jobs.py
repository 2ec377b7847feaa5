"""The jobs of a project: list, start, resume, stop and delete."""

from __future__ import annotations

import os
import shutil
import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from spisonet.errors import SpisonetError
from spisonet.gui.forms import command_line, config_model, insert_job_folder, require_allowed_paths
from spisonet.gui.job import NO_SIGN_OF_LIFE, NOTES_FILE, SECONDS_TO_START, UNRESPONSIVE, Job
from spisonet.gui.job_details import summarise_job
from spisonet.gui.json_api import DAMAGED_RECORD_ERRORS
from spisonet.gui.processes import host_name, is_alive, is_run_by
from spisonet.gui.run_search import find_run_folders
from spisonet.gui.runner import ENDED, LAUNCH_FILE, NOT_STARTED, POLL_SECONDS, PROCESS_FILE
from spisonet.gui.submission import RUNNER, ComputeTarget, is_starting, select_devices, submit_job
from spisonet.gui.trash import TRASH_FOLDER, Trash
from spisonet.io import schedulers
from spisonet.io.atomic import prepare_output_folder, write_json
from spisonet.io.json_files import DAMAGED
from spisonet.io.locks import FileLock, lock_for_update
from spisonet.io.paths import CHANGED, version_of
from spisonet.io.run_record import FAILED, JOB_FILE, QUEUED, write_job_record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spisonet.gui.allowed_folders import AllowedFolders
    from spisonet.io.config import CommandConfig

JOBS_FOLDER, LOCK_FILE = "jobs", ".lock"
STATE_FILES = (JOB_FILE, LAUNCH_FILE, PROCESS_FILE, NOTES_FILE)


@dataclass(frozen=True)
class _KnownJob:
    """Line of a job in the list, which is read again when its files change or while it is active.

    Attributes
    ----------
    files, age : tuple
        From `_files_of`.
    line : dict or None
        None if another program wrote ``job.json``.
    may_change : bool
        Whether the job was active or unresponsive.
    """

    files: tuple[object, ...]
    age: tuple[float, int]
    line: dict[str, Any] | None
    may_change: bool


class Jobs:
    """The jobs of a project.

    Parameters
    ----------
    allowed_folders : AllowedFolders
        The project folder and where else files may be.
    template : Path or None
        Submission script for SLURM.

    Attributes
    ----------
    trash : Trash
        Deleted jobs and tables.
    """

    def __init__(self, allowed_folders: AllowedFolders, template: Path | None) -> None:
        self._allowed_folders, self._template = allowed_folders, template
        self._project = allowed_folders.project
        self.trash = Trash(self._project, self._project / JOBS_FOLDER / TRASH_FOLDER)
        self._known: dict[Path, _KnownJob] = {}

    def all(self) -> list[Job]:
        """Return all jobs, newest first."""
        jobs = [self._job(folder) for folder in find_run_folders(self._project)]
        return sorted(
            (job for job in jobs if job.is_own), key=lambda job: _files_of(job.folder)[1], reverse=True
        )

    def summaries(self) -> list[dict[str, Any]]:
        """Return a line for each job; jobs with damaged files are listed as ``damaged``."""
        known: dict[Path, _KnownJob] = {}
        for folder in find_run_folders(self._project):
            files, age = _files_of(folder)
            before = self._known.get(folder)
            if before is None or before.files != files or before.may_change:
                before = self._summarise(folder, files, age)
            known[folder] = before
        self._known = known
        listed = sorted(known.values(), key=lambda job: job.age, reverse=True)
        return [job.line for job in listed if job.line is not None]

    def _summarise(self, folder: Path, files: tuple[object, ...], age: tuple[float, int]) -> _KnownJob:
        job = self._job(folder)
        if not job.is_own:
            return _KnownJob(files, age, None, False)
        try:
            return _KnownJob(files, age, summarise_job(job), job.is_active or job.state == UNRESPONSIVE)
        except DAMAGED_RECORD_ERRORS:
            line = {"name": job.name, "command": job.command, "state": DAMAGED, "inputs": []}
            return _KnownJob(files, age, line, False)

    def find(self, name: str) -> Job:
        """Return a job by its name.

        Raises
        ------
        SpisonetError
            If there is no such job, or its files are damaged or links out of the allowed folders.
        """
        job = self._job(self._allowed_folders.resolve(name))
        if not job.folder.is_relative_to(self._project) or not job.is_own:
            raise SpisonetError(f"{name} is not a job of this project.")
        for path in (job.log, *(job.folder / state for state in STATE_FILES)):
            self._allowed_folders.resolve(
                path
            )  # it may be a link, through which it would be read and written
        try:
            summarise_job(job)
        except DAMAGED_RECORD_ERRORS as error:
            raise SpisonetError(f"The files of {name} are damaged, or of another version.") from error
        return job

    def start(self, program: str, config: CommandConfig, target: ComputeTarget, key: str) -> Job:
        """Start a job once.

        Parameters
        ----------
        program : str
            Name of the program.
        config : CommandConfig
            Configuration of its command; paths of outputs may start with ``{job}``.
        target : ComputeTarget
            Where the job runs.
        key : str
            Key of the form. A form that is submitted twice starts one job, which is returned both times.

        Raises
        ------
        SpisonetError
            If a job with the same command line is active, or the job cannot be submitted.
        """
        config = select_devices(config, target)
        with self._lock():
            jobs = self.all()
            for job in jobs:
                if job.launch.get("key") == key:
                    return job
            requested_line = command_line(program, config)
            for job in jobs:
                if job.launch.get("requested_line") == requested_line and job.is_active:
                    raise SpisonetError(f"{job.name} is already running the same command.")
            job = self._job(self._new_folder(config.command))
            config = insert_job_folder(config, job.name)
            write_job_record(job.folder, config, status=QUEUED)
            try:
                self._submit(job, program, config, target, key=key, requested_line=requested_line)
            except (SpisonetError, OSError):
                shutil.rmtree(job.folder, ignore_errors=True)
                raise
        return self.find(job.name)

    def resume(self, name: str) -> Job:
        """Continue a job in its folder.

        Raises
        ------
        SpisonetError
            If the job is active or cannot be resumed, a process still writes into its folder, or the folder
            has a link out of the allowed folders.
        """
        with self._lock():
            job = self.find(name)
            if not job.is_resumable:
                raise SpisonetError(f"{name} is {job.state} and cannot be resumed.")
            if job.is_still_written:
                host = job.process.get("host", "another machine")
                raise SpisonetError(f"A process on {host} still writes into {name}; end it before resuming.")
            for path in job.folder.rglob("*"):
                if path.is_symlink():  # outputs and logs are written through links
                    self._allowed_folders.resolve(path)
            model = config_model(job.program, job.command)
            config = model.from_options({**job.record["config"], "resume": True})
            require_allowed_paths(config, self._allowed_folders)
            try:
                target = ComputeTarget(**job.launch["target"])
                kept = {entry: job.launch[entry] for entry in ("key", "requested_line")}
            except DAMAGED_RECORD_ERRORS as error:
                raise SpisonetError(
                    f"{name} was started by another version and cannot be resumed; clone it instead."
                ) from error
            record = {entry: value for entry, value in job.record.items() if entry != "error"}
            write_json(job.folder / JOB_FILE, {**record, "status": QUEUED})
            self._submit(job, job.program, config, target, **kept, seconds_before=job.seconds or 0.0)
        return self.find(name)

    def stop(self, name: str) -> None:
        """Stop a job: interrupt its command, and kill it if it does not end.

        Raises
        ------
        SpisonetError
            If the job is not active or runs on another machine.
        """
        job = self.find(name)
        if not job.is_active:
            raise SpisonetError(f"{name} is {job.state}, not running.")
        if (number := job.slurm_number) is not None:
            schedulers.cancel(number)
            ended = {"state": ENDED, "stopped": True, "cancelled_slurm_job": number}
            write_json(job.folder / PROCESS_FILE, {**job.process, **ended})
            return
        if not job.launch:
            raise SpisonetError(f"{name} was started on the command line; stop it there.")
        deadline = time.monotonic() + SECONDS_TO_START
        while is_starting(job) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)  # the runner does not handle signals yet
            job = self.find(name)
        if not job.is_active:
            raise SpisonetError(f"{name} is {job.state}.")
        if job.process["host"] != host_name():
            raise SpisonetError(f"{name} runs on {job.process['host']}; stop it there.")
        runner, child = job.process["runner"], job.process.get("child") or {}
        if is_alive(runner) and is_run_by(runner["pid"], RUNNER, job.folder.name):
            os.kill(runner["pid"], signal.SIGTERM)
        elif is_alive(child) and is_run_by(child["pid"], f"{job.program}.py", job.command):
            os.killpg(child["pid"], signal.SIGINT)
        else:
            raise SpisonetError(f"The process that {PROCESS_FILE} of {name} names is not one of this job.")

    def mark_failed(self, name: str) -> None:
        """Record that a job that gives no sign of life has failed.

        Raises
        ------
        SpisonetError
            If the job is not unresponsive.
        """
        with self._lock():
            job = self.find(name)
            if job.state != UNRESPONSIVE:
                raise SpisonetError(f"{name} is {job.state}.")
            last = datetime.fromtimestamp(job.last_sign_of_life, UTC).isoformat(" ", "minutes")
            host = f" from {job.process['host']}" if "host" in job.process else ""
            message = f"No sign of life{host} since {last}; marked as failed."
            error = {"message": message, "code": NO_SIGN_OF_LIFE, "field": None}
            ended = {"state": ENDED, "stopped": False, "exit_status": NOT_STARTED}
            if job.launch:
                process = {**job.process, **ended, "ended": job.last_sign_of_life}
                write_json(job.folder / PROCESS_FILE, process)
            write_json(job.folder / JOB_FILE, {**job.record, "status": FAILED, "error": error})

    def delete(self, name: str) -> str:
        """Move the folder of a job that the interface started into the trash; return the name of the entry.

        Raises
        ------
        SpisonetError
            If the job is active, was started on the command line, or cannot be moved.
        """
        with self._lock():
            job = self.find(name)
            if not job.launch or job.folder.parent != self._project / JOBS_FOLDER:
                raise SpisonetError(f"{name} was not started by the interface; delete its folder yourself.")
            if job.is_active or job.state == UNRESPONSIVE:
                raise SpisonetError(f"{name} is {job.state}; stop it, or mark it as failed, first.")
            return self.trash.put(job.folder)

    def annotate(self, name: str, title: str, text: str, version: str) -> str:
        """Write the title and the notes of a job, unless they are not of this version any more.

        Returns
        -------
        str
            The new version.

        Raises
        ------
        SpisonetError
            If there is no such job, or its notes were changed by another page.
        """
        path = self.find(name).folder / NOTES_FILE
        with lock_for_update(path):
            if version_of(path) != version:
                raise SpisonetError(f"The notes of {name} were changed by another page.", code=CHANGED)
            write_json(path, {"title": title.strip(), "text": text})
            return version_of(path)

    def _job(self, folder: Path) -> Job:
        return Job(folder, self._allowed_folders.display_name(folder))

    def _submit(
        self, job: Job, program: str, config: CommandConfig, target: ComputeTarget, **identification: object
    ) -> None:
        submit_job(job, program, config, target, self._project, self._template, **identification)

    def _new_folder(self, command: str) -> Path:
        # Not a number of the trash either: other jobs name such a folder as an input, and it can be restored.
        deleted = (self._project / entry["path"] for entry in self.trash.entries() if entry["path"])
        jobs = self._project / JOBS_FOLDER
        folders = [*jobs.iterdir(), *(path for path in deleted if path.parent == jobs)]
        number = max(map(_number, folders), default=0)
        while True:
            number += 1
            folder = jobs / f"{number:03d}_{command}"
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Let no other request, also of other servers of this project, start or delete jobs meanwhile."""
        folder = self._project / JOBS_FOLDER
        if folder.is_symlink():
            # Its jobs would be outside the project, and the next start would not find them.
            raise SpisonetError(f"{JOBS_FOLDER} is a link; replace it by a folder, or move the project.")
        prepare_output_folder(folder)
        lock = FileLock(folder / LOCK_FILE)
        lock.acquire(wait=True)
        try:
            yield
        finally:
            lock.release()


def _files_of(folder: Path) -> tuple[tuple[object, ...], tuple[float, int]]:
    """Return what changes when the files of a job change, and what jobs are sorted by: time and number."""
    found: list[object] = []
    times: dict[str, float] = {}
    for name in STATE_FILES:
        try:
            status = os.stat(folder / name)
        except OSError:  # not written yet, or deleted meanwhile
            found.append(None)
            continue
        found.append((status.st_mtime_ns, status.st_ino, status.st_size))
        times[name] = status.st_mtime
    return tuple(found), (times.get(LAUNCH_FILE, times.get(JOB_FILE, 0.0)), _number(folder))


def _number(folder: Path) -> int:
    begin = folder.name.partition("_")[0]
    return int(begin) if begin.isdecimal() else 0
