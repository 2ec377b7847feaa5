"""Start the process of a job: on this machine, detached from the server, or as a SLURM job."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from spisonet.errors import SpisonetError
from spisonet.gui.devices import list_gpus
from spisonet.gui.forms import command_line
from spisonet.gui.job import SLURM_FILE, Job
from spisonet.gui.processes import host_name, process_identity
from spisonet.gui.runner import LAUNCH_FILE, OUTPUT_FILE, PROCESS_FILE
from spisonet.io import schedulers
from spisonet.io.atomic import write_json, write_text
from spisonet.io.installation import find_executable

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.io.config import CommandConfig

RUNNER = "spisonet.gui.runner"
SCRIPT_FILE = "submit.sh"
SECONDS_TO_QUEUE, QUEUE_POLL_SECONDS = 5.0, 0.02
STARTING = "starting"  # state in process.json until the runner replaces it


class ComputeTarget(BaseModel):
    """Where a job runs.

    Attributes
    ----------
    gpus : tuple of int
        GPUs of this machine; empty: the CPU.
    wait : bool
        Whether to wait until other jobs release these devices.
    slurm : dict or None
        Values for the fields of the submission template; None: this machine.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    gpus: tuple[int, ...] = Field((), max_length=16)
    wait: bool = True
    slurm: dict[str, str] | None = None


def select_devices(config: CommandConfig, target: ComputeTarget) -> CommandConfig:
    """Set the device options of a configuration to those of a compute target.

    Raises
    ------
    SpisonetError
        If GPUs are selected for a command that does not use any.
    """
    uses_gpus = "gpuID" in type(config).model_fields
    if target.gpus and not uses_gpus:
        raise SpisonetError(f"{config.command} does not use a GPU.")
    if target.gpus:
        return config.model_copy(update={"gpuID": ",".join(map(str, sorted(set(target.gpus))))})
    if uses_gpus and target.slurm is None and list_gpus():
        return config.model_copy(update={"device": "cpu"})
    return config


def submit_job(
    job: Job,
    program: str,
    config: CommandConfig,
    target: ComputeTarget,
    project: Path,
    template: Path | None,
    **identification: object,
) -> None:
    """Write ``launch.json`` into the job folder and start the runner.

    Parameters
    ----------
    job : Job
        The job, whose folder exists.
    program : str
        Name of the program.
    config : CommandConfig
        Configuration of its command.
    target : ComputeTarget
        Where the job runs.
    project : Path
        Folder to run it in.
    template : Path or None
        Submission script for SLURM.
    **identification
        Further entries of ``launch.json``.

    Raises
    ------
    SpisonetError
        If the program is not installed, there is no template, or SLURM rejects the script.
    """
    line = command_line(program, config)
    on_slurm = target.slurm is not None
    devices = [f"gpu{number}" for number in sorted(set(target.gpus))] or ["cpu"]
    launch = {
        **identification,
        "program": program,
        "line": line,
        "arguments": [find_executable(line[0]), *line[1:]],
        "project": str(project),
        "devices": devices if target.wait and not on_slurm else [],
        "target": target.model_dump(mode="json"),
        "submitted": time.time(),
    }
    for name in (PROCESS_FILE, SLURM_FILE):
        (job.folder / name).unlink(missing_ok=True)
    write_json(job.folder / LAUNCH_FILE, launch)
    # -P keeps files in the current folder from replacing modules.
    runner = [sys.executable, "-P", "-m", RUNNER, str(job.folder)]
    if on_slurm:
        _submit_to_slurm(job, runner, target, project, template)
    else:
        _start_here(job, runner, project)


def _submit_to_slurm(
    job: Job, runner: list[str], target: ComputeTarget, project: Path, template: Path | None
) -> None:
    if template is None:
        raise SpisonetError("No SLURM submission template is set; restart with --slurm_template FILE.")
    script = job.folder / SCRIPT_FILE
    schedulers.write_script(template, script, runner, job.folder / OUTPUT_FILE, target.slurm or {})
    submission = schedulers.Submission(schedulers.SLURM, script, project)
    write_text(job.folder / SLURM_FILE, schedulers.submit(submission))


def _start_here(job: Job, runner: list[str], project: Path) -> None:
    process: dict[str, Any] = {
        "host": host_name(),
        "runner": process_identity(_start_detached(runner, project)),
        "state": STARTING,
    }
    with suppress(FileExistsError):  # the runner has already written its own
        write_json(job.folder / PROCESS_FILE, process, replace=False)
    # Return only when the job is in the queue for its devices: no later job may overtake it.
    deadline = time.monotonic() + SECONDS_TO_QUEUE
    while is_starting(Job(job.folder, job.name)) and time.monotonic() < deadline:
        time.sleep(QUEUE_POLL_SECONDS)


def is_starting(job: Job) -> bool:
    """Tell whether the runner of a job has not reported yet."""
    return bool(job.process.get("state", STARTING) == STARTING)


def _start_detached(words: list[str], folder: Path) -> int:
    """Start a program that continues after the end of this one; return its process number."""
    nowhere = subprocess.DEVNULL
    child = subprocess.Popen(
        words, cwd=folder, stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True
    )
    Thread(target=child.wait, daemon=True).start()  # otherwise it would remain as a zombie
    return child.pid
