"""Run an External job in a worker process, and write RELION's exit file however the worker ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from relion_external.jobs.arguments import FOLDER, INPUTS, find_folder, read_call
from relion_external.jobs.definitions import JOBS, LOGFILE
from relion_external.jobs.folder import ABORT_FILE, ExitFile, JobFolder
from relion_external.process import end_worker, start_worker
from relion_external.signals import ENDING, EXIT_ABORTED, abort_job, handled_signals
from spisonet import __version__
from spisonet.commands.registry import command_line
from spisonet.errors import SpisonetError, known_error

if TYPE_CHECKING:
    from types import FrameType

    from relion_external.jobs.job import Job

WORKER = "relion_external.jobs.worker"
POLL_SECONDS = 1.0
GRACE_SECONDS = 30.0  # for an interrupted worker to finish its current step


class _Stopped(BaseException):
    """The job was stopped; the message is the reason."""


def run_script() -> NoReturn:
    """Run the job that this console script is named after."""
    script = Path(sys.argv[0]).name
    main(next(name for name, job in JOBS.items() if job.executable == script))


def main(name: str, arguments: list[str] | None = None) -> NoReturn:
    """Run the job of a console script; exit with status 0 only if it succeeds.

    Parameters
    ----------
    name : str
        Name in `JOBS`.
    arguments : list of str, optional
        Command-line arguments.
    """
    words = sys.argv[1:] if arguments is None else arguments
    if f"--{FOLDER}" not in words:  # with it, RELION waits for an exit file
        if "--help" in words or "-h" in words:
            sys.stdout.write(describe(JOBS[name]))
            sys.exit(0)
        if "--version" in words:
            sys.stdout.write(f"{JOBS[name].executable} {__version__}\n")
            sys.exit(0)
    sys.exit(_run(name, words))


def describe(job: Job) -> str:
    """Return the help text of a job."""
    lines = [f"{job.executable}: {(job.config.__doc__ or '').strip().splitlines()[0]}", ""]
    lines.append("Executable of a RELION External job. Inputs:")
    lines += [f"  {INPUTS[name]} (--{name}): {meaning}" for name, meaning in job.inputs.items()]
    lines += ["", "Parameters (auto: taken from the input job where possible, otherwise the default):"]
    lines += [f"  {name}: {text}" for name, text in job.parameters.items()]
    return "\n".join(lines) + "\n"


def _run(name: str, words: list[str]) -> int:
    # A background process of a shell ignores Ctrl-C and continues to do so.
    before = {number: signal.signal(number, _stop) for number in handled_signals()}
    folder: JobFolder | None = None
    exit_file, status = ExitFile.FAILURE, 1
    try:
        folder = JobFolder(find_folder(words))
        folder.prepare()
        _run_command(JOBS[name], words, folder)
        exit_file, status = ExitFile.SUCCESS, 0
    except _Stopped as reason:
        exit_file, status = ExitFile.ABORTED, EXIT_ABORTED
        advice = " Continue the job to resume from its last checkpoint." if JOBS[name].trains else ""
        _print_error(f"stopped: {reason}.{advice}")
    except Exception as error:  # noqa: BLE001 - every failure needs an exit file
        _print_error(str(known_error(error) or traceback.format_exc()))
    finally:
        _ignore_signals()
        if folder is not None:
            folder.write_exit_file(exit_file)
        for number, handler in before.items():
            if handler is not abort_job:  # the exit file is written
                signal.signal(number, handler)
    return status


def _run_command(job: Job, words: list[str], folder: JobFolder) -> None:
    config = job.configure(read_call(words, job.inputs))
    line = command_line(config)
    folder.append_note(line)
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
    options = json.dumps(config.model_dump(mode="json"))
    status = _wait_for_worker(folder, [job.name, str(folder.path), options])
    if status in (EXIT_ABORTED, 128 + signal.SIGTERM) or -status in ENDING:
        raise _Stopped("the command was interrupted")
    if status < 0:
        cause = (
            " (usually because the memory of the machine was exhausted)" if -status == signal.SIGKILL else ""
        )
        raise SpisonetError(f"the command was killed by signal {-status}{cause}.")
    if status:
        raise SpisonetError(f"{job.executable} failed; see the error above.")
    folder.write_nodes([*job.nodes(folder.path), LOGFILE])


def _wait_for_worker(folder: JobFolder, words: list[str]) -> int:
    """Run a worker until it ends or the job is aborted; return its exit status."""
    _check_abort(folder)
    worker = start_worker(WORKER, *words)
    try:
        while True:
            try:
                return worker.wait(POLL_SECONDS)
            except subprocess.TimeoutExpired:
                _check_abort(folder)
    finally:
        end_worker(worker, signal.SIGINT, GRACE_SECONDS)


def _check_abort(folder: JobFolder) -> None:
    if folder.abort_requested:
        _ignore_signals()
        raise _Stopped(f"{ABORT_FILE} was found in {folder.path}")


def _stop(number: int, _: FrameType | None) -> None:
    _ignore_signals()
    try:
        name = signal.Signals(number).name
    except ValueError:  # a real-time signal
        name = f"signal {number}"
    raise _Stopped(f"{name} was received")


def _ignore_signals() -> None:
    """Ignore further signals while the job ends and the exit file is written."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


def _print_error(text: str) -> None:
    with suppress(OSError, ValueError):  # the log may be on a full disk
        sys.stdout.flush()
        sys.stderr.write(f"spisonet: {text}\n")
        sys.stderr.flush()
