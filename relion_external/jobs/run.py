"""Run an External job: a worker does the work, this process keeps RELION's contract come what may."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from relion_external.jobs.arguments import FOLDER, INPUTS, find_folder, read_call
from relion_external.jobs.definitions import JOBS, LOGFILE
from relion_external.jobs.folder import ABORT_FILE, Ending, JobFolder
from relion_external.process import end_worker, start_worker
from spisonet import __version__
from spisonet.errors import SpisonetError
from spisonet.io.config import command_words

if TYPE_CHECKING:
    from types import FrameType

    from relion_external.jobs.definitions import Job

WORKER = "relion_external.jobs.worker"
POLL_SECONDS = 1.0
GRACE_SECONDS = 30.0  # a worker that is interrupted ends after its current step
EXIT_ABORTED = 130
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class _Stopped(BaseException):
    """The job is to end early; the text says why."""


def main(name: str, arguments: list[str] | None = None) -> NoReturn:
    """Run the job of a console script, and leave with status 0 only if it succeeded.

    Parameters
    ----------
    name : str
        Name in `JOBS`.
    arguments : list of str, optional
        The command line.
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
    """Tell what a job does, takes and offers."""
    lines = [f"{job.executable}: {(job.config.__doc__ or '').strip().splitlines()[0]}", ""]
    lines.append("The executable of a RELION External job. Inputs:")
    lines += [f"  {INPUTS[name]} (--{name}): {meaning}" for name, meaning in job.inputs.items()]
    lines += ["", "Parameters; the value auto stands for what is found, or the default:"]
    lines += [f"  {name}: {text}" for name, text in job.parameters.items()]
    return "\n".join(lines) + "\n"


def _run(name: str, words: list[str]) -> int:
    # What runs in the background of a shell ignores its Ctrl-C, and should go on doing so.
    heeded = [number for number in STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, _stop) for number in heeded}
    folder: JobFolder | None = None
    ending, status = Ending.FAILURE, 1
    try:
        folder = JobFolder(find_folder(words))
        folder.begin()
        _work(JOBS[name], words, folder)
        ending, status = Ending.SUCCESS, 0
    except SpisonetError as error:
        _complain(str(error))
    except _Stopped as reason:
        ending, status = Ending.ABORTED, EXIT_ABORTED
        more = " Continue the job to go on from its last epoch." if JOBS[name].trains else ""
        _complain(f"stopped: {reason}.{more}")
    except Exception:  # noqa: BLE001 - RELION has to be told of every failure
        _complain(traceback.format_exc())
    finally:
        _heed_no_more()
        if folder is not None:
            folder.end(ending)
        for number, handler in before.items():
            signal.signal(number, handler)
    return status


def _work(job: Job, words: list[str], folder: JobFolder) -> None:
    config = job.configure(read_call(words, job.inputs))
    line = shlex.join(["spisonet.py", *command_words(config)])
    folder.note(line)
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
    status = _supervise(folder, [job.name, str(folder.path), config.model_dump_json()])
    if status in (EXIT_ABORTED, 128 + signal.SIGTERM, -signal.SIGTERM, -signal.SIGINT):
        raise _Stopped("the work was interrupted")
    if status < 0:
        cause = " - most often because the machine's memory was full" if -status == signal.SIGKILL else ""
        raise SpisonetError(f"the work was ended by signal {-status}{cause}.")
    if status:
        raise SpisonetError(f"{job.executable} failed; the reason is above.")
    folder.write_nodes([*job.nodes(folder.path), LOGFILE])


def _supervise(folder: JobFolder, words: list[str]) -> int:
    """Wait for a worker, or for somebody to stop it."""
    _heed(folder)
    worker = start_worker(WORKER, *words)
    try:
        while True:
            try:
                return worker.wait(POLL_SECONDS)
            except subprocess.TimeoutExpired:
                _heed(folder)
    finally:
        end_worker(worker, signal.SIGINT, GRACE_SECONDS)


def _heed(folder: JobFolder) -> None:
    if folder.abort_is_asked_for:
        _heed_no_more()
        raise _Stopped(f"{ABORT_FILE} was found in {folder.path}")


def _stop(number: int, _: FrameType | None) -> None:
    _heed_no_more()
    raise _Stopped(f"{signal.Signals(number).name} was received")


def _heed_no_more() -> None:
    """Ignore further signals: one wish to stop is enough, and the exit file has to be written."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _complain(text: str) -> None:
    with suppress(OSError, ValueError):  # RELION's log may be on a full disk
        sys.stdout.flush()
        sys.stderr.write(f"spisonet: {text}\n")
        sys.stderr.flush()
