"""Start a worker, watch it, and leave none behind."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, TextIO

from spisonet.errors import SpisonetError

if TYPE_CHECKING:
    from types import FrameType

MPI_VARIABLES = ("OMPI_", "PMIX_", "PMI_", "MPI_")
PARENT_VARIABLE = "SPISONET_PARENT"
POLL_SECONDS = 1.0
GRACE_SECONDS = 5.0


def start_worker(module: str, *words: str) -> subprocess.Popen[bytes]:
    """Run a module of this installation in a process of its own; there it should call `end_with_parent`."""
    # What RELION's MPI tells its ranks would make a worker's libraries wait for ranks that never come.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(MPI_VARIABLES)}
    environment[PARENT_VARIABLE] = str(os.getpid())
    environment["PYTHONUNBUFFERED"] = "1"
    # In a session of its own a terminal's Ctrl-C reaches it through its parent alone.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, *words], env=environment, start_new_session=True
    )


def run_worker(module: str, *words: str, timeout: float) -> None:
    """Run a module of this installation in a process of its own, which ends when this one does.

    Raises
    ------
    SpisonetError
        If it fails, is killed, or does not end within `timeout` seconds.
    """
    worker = start_worker(module, *words)

    def stop(number: int, _: FrameType | None) -> None:
        end_worker(worker)
        sys.exit(128 + number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        status = worker.wait(timeout)
    except subprocess.TimeoutExpired as error:
        raise SpisonetError(f"the training did not end within {timeout:g} s.") from error
    finally:
        end_worker(worker)
        for number, handler in before.items():
            signal.signal(number, handler)
    if status < 0:
        raise SpisonetError(f"the training was killed by signal {-status}.")
    if status:
        raise SpisonetError("the training failed.")


class _StandardError(logging.StreamHandler[TextIO]):
    """Write to whatever standard error is now."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.setFormatter(logging.Formatter("spisonet: %(message)s"))

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """Standard error."""
        return sys.stderr


def log_to_standard_error() -> None:
    """Show what the ``spisonet`` logger says in RELION's ``run.err``."""
    logger = logging.getLogger("spisonet")
    logger.setLevel(logging.INFO)
    if not any(isinstance(handler, _StandardError) for handler in logger.handlers):
        logger.addHandler(_StandardError())


def available_cores() -> int:
    """Count the processors that this process may use; MPI may have bound it to some."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def end_with_parent() -> None:
    """Let this process end within a second of its parent, even if that has died already."""
    parent = int(os.environ.pop(PARENT_VARIABLE, os.getppid()))

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def end_worker(
    worker: subprocess.Popen[bytes], number: int = signal.SIGTERM, grace_seconds: float = GRACE_SECONDS
) -> None:
    """Ask a worker to end by a signal, and end it if it does not within some time."""
    if worker.poll() is None:
        worker.send_signal(number)
        try:
            worker.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
