"""Worker processes that end with their parent."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from spisonet.errors import SpisonetError

if TYPE_CHECKING:
    from types import FrameType

MPI_VARIABLES = ("OMPI_", "PMIX_", "PMI_", "MPI_")
PARENT_VARIABLE = "SPISONET_PARENT"
POLL_SECONDS = 1.0
INIT = 1  # adopts processes whose parent has ended
SHELLS = (b"sh", b"dash", b"bash")
GRACE_SECONDS = 5.0


def start_worker(module: str, *words: str) -> subprocess.Popen[bytes]:
    """Start a module of this installation as a process; the module calls `end_with_parent` first."""
    # With the variables of RELION's MPI, libraries of the worker would wait for ranks that do not exist.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(MPI_VARIABLES)}
    environment[PARENT_VARIABLE] = str(os.getpid())
    environment["PYTHONUNBUFFERED"] = "1"
    # Python would end with a traceback if it were interrupted while it starts: `end_with_parent` unblocks.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        # In a new session, Ctrl-C in a terminal reaches the worker only through its parent.
        return subprocess.Popen(
            [sys.executable, "-P", "-m", module, *words], env=environment, start_new_session=True
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run_worker(module: str, *words: str, timeout: float) -> None:
    """Run a module of this installation as a process that ends when this one ends.

    Raises
    ------
    SpisonetError
        If it fails (code ``worker_failed``), is killed (``worker_killed``), or does not end within `timeout`
        seconds (``timeout``).
    """
    worker = start_worker(module, *words)

    def stop(number: int, _: FrameType | None) -> None:
        end_worker(worker)
        sys.exit(128 + number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        status = worker.wait(timeout)
    except subprocess.TimeoutExpired as error:
        raise SpisonetError(f"the training did not end within {timeout:g} s.", code="timeout") from error
    finally:
        end_worker(worker)
        for number, handler in before.items():
            signal.signal(number, handler)
    if status < 0:
        raise SpisonetError(f"the training was killed by signal {-status}.", code="worker_killed")
    if status:
        raise SpisonetError("the training failed.", code="worker_failed")


class _StandardError(logging.StreamHandler[TextIO]):
    """Write to the current standard error."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.setFormatter(logging.Formatter("spisonet: %(message)s"))

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """Standard error."""
        return sys.stderr


def log_to_standard_error() -> None:
    """Write the messages of the ``spisonet`` logger to RELION's ``run.err``."""
    logger = logging.getLogger("spisonet")
    logger.setLevel(logging.INFO)
    if not any(isinstance(handler, _StandardError) for handler in logger.handlers):
        logger.addHandler(_StandardError())


def end_with_parent() -> None:
    """End this process within a second of its parent, even if the parent has already died.

    Interrupts, which `start_worker` blocks while Python starts, are accepted from here on.

    RELION starts its external program through the shell of ``system()``, which outlives a rank that is
    killed; the process that started such a shell counts as the parent.
    """
    given = os.environ.pop(PARENT_VARIABLE, "")
    parent = int(given) if given.isdecimal() and given.isascii() else os.getppid()
    starter = _parent_of(parent) if _is_shell_of_system(parent) else None
    if starter == INIT:  # its rank ended while this process started
        os._exit(1)

    def watch() -> None:
        while os.getppid() == parent and (starter is None or _parent_of(parent) == starter):
            time.sleep(POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _is_shell_of_system(process: int) -> bool:
    """Whether a process is a shell that runs one command, as far as the system tells."""
    try:
        words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    except OSError:  # no such process, or not Linux
        return False
    return words[0].rpartition(b"/")[2] in SHELLS and words[1:2] == [b"-c"]


def _parent_of(process: int) -> int | None:
    """Return the number of a process's parent; None if the process has ended or the system does not tell."""
    try:
        status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return int(status.rpartition(")")[2].split()[1])


def end_worker(
    worker: subprocess.Popen[bytes], number: int = signal.SIGTERM, grace_seconds: float = GRACE_SECONDS
) -> None:
    """Send a signal to a worker, and kill it if it does not end within the grace period."""
    if worker.poll() is None:
        worker.send_signal(number)
        try:
            worker.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
