"""Signals that end a process, and the exit file of an External job that one of them ends."""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False  # as in `typing`, whose import takes long
if TYPE_CHECKING:
    from types import FrameType

EXIT_ABORTED = 130
ABORTED_FILE = "RELION_JOB_EXIT_ABORTED"
FOLDER_OPTION = "--o"
# Of a fault in the program itself.
CRASHES = frozenset(
    getattr(signal, name)
    for name in ("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV", "SIGSYS", "SIGTRAP")
    if hasattr(signal, name)
)
# That cannot be handled, or do not end a process.
OTHERS = frozenset(
    getattr(signal, name)
    for name in (
        *("SIGKILL", "SIGSTOP", "SIGCHLD", "SIGCONT", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG"),
        *("SIGWINCH", "SIGINFO"),
    )
    if hasattr(signal, name)
)
# What users, queueing systems and the kernel send to end a process, such as SIGUSR1 before a time limit.
ENDING = tuple(sorted(set(signal.valid_signals()) - CRASHES - OTHERS))

_job_folder: list[str] = []


def handled_signals() -> list[int]:
    """Return the signals that end this process; those that it was started to ignore are left out."""
    return [number for number in ENDING if signal.getsignal(number) not in (signal.SIG_IGN, None)]


def abort_until_started(arguments: list[str]) -> None:
    """Let signals end the start of an External job with its exit file, for which RELION waits.

    Parameters
    ----------
    arguments : list of str
        Words of the command line.
    """
    if FOLDER_OPTION in arguments[:-1]:
        _job_folder[:] = [arguments[arguments.index(FOLDER_OPTION) + 1]]
        for number in handled_signals():
            signal.signal(number, abort_job)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


def exit_at_once(number: int, frame: FrameType | None) -> None:
    """End this process while it imports; a signal handler.

    An exception that a handler raises within the import of a compiled module can end in a panic of it.
    """
    os._exit(EXIT_ABORTED)


def hold_signals() -> None:
    """Let signals wait for `abort_until_started` of the program that takes the place of this one."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)


def abort_job(number: int, frame: FrameType | None) -> None:
    """End this process and note in the job folder that it was aborted; a signal handler."""
    for folder in _job_folder:
        try:
            os.close(os.open(os.path.join(folder, ABORTED_FILE), os.O_CREAT | os.O_WRONLY, 0o666))
        except OSError:
            continue
    os._exit(EXIT_ABORTED)
