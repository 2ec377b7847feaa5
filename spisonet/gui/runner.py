"""Run one job, detached from whoever asked for it: ``python -m spisonet.gui.runner FOLDER``.

It waits for the devices of the job, runs the command line, passes on a wish to stop, and notes what became
of it.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from spisonet.gui.processes import identity, this_host
from spisonet.io.atomic import write_json
from spisonet.io.run_record import JOB_FILE

if TYPE_CHECKING:
    from types import FrameType

LAUNCH_FILE, PROCESS_FILE, OUTPUT_FILE = "launch.json", "process.json", "run.out"
WAITING, RUNNING, ENDED = "waiting", "running", "ended"
FINISHED, FAILED, STOPPED = "finished", "failed", "stopped"
QUEUED = "queued"
UNSETTLED = (QUEUED, RUNNING)  # status in job.json of a command that ended without a word
PATIENCE_SECONDS = {signal.SIGINT: 30.0, signal.SIGTERM: 10.0, signal.SIGKILL: 10.0}
GLANCE_SECONDS = 0.2
NOT_STARTED = 127


class _StopWaiting(Exception):  # noqa: N818 - a wish, not an error
    """Somebody wants a job to end that waits for its devices."""


class Runner:
    """One job.

    Parameters
    ----------
    folder : Path
        Its folder, which holds ``launch.json``: ``arguments`` to run in ``project``, and the ``devices``
        to wait for.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._launch = json.loads((folder / LAUNCH_FILE).read_text(encoding="utf-8"))
        self._process: dict[str, Any] = {"host": this_host(), "runner": identity(), "state": WAITING}
        self._stopping = self._waiting = False

    def stop(self, _number: int, _frame: FrameType | None) -> None:
        """Note the wish to stop; a signal handler."""
        self._stopping = True
        if self._waiting:
            self._waiting = False
            raise _StopWaiting

    def run(self) -> None:
        """Wait, run, and note what became of it."""
        status = NOT_STARTED
        with ExitStack() as stack:
            try:
                tickets = self._take_devices(stack)
                if not self._stopping:
                    status = self._run_command(tickets)
            except OSError as error:
                with (self._folder / OUTPUT_FILE).open("a", encoding="utf-8") as output:
                    output.write(f"The job could not be started: {error}\n")
        self._process.pop("child", None)
        self._note(state=ENDED, stopped=self._stopping, exit_status=status, ended=time.time())
        self._settle(STOPPED if self._stopping else FAILED if status else FINISHED)

    def _note(self, **news: object) -> None:
        self._process |= news
        write_json(self._folder / PROCESS_FILE, self._process)

    def _take_devices(self, stack: ExitStack) -> list[IO[bytes]]:
        """Wait until no earlier job of this user on this machine has, or waits for, the devices."""
        folder = Path(tempfile.gettempdir()) / f"spisonet-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.lstat().st_uid != os.getuid():
            raise PermissionError(f"{folder} belongs to another user")
        tickets: list[IO[bytes]] = []
        with suppress(_StopWaiting):
            self._waiting = not self._stopping
            for name in self._launch["devices"] if self._waiting else []:
                ticket, earlier = _draw_ticket(folder, name, stack)
                tickets.append(ticket)
                self._note()  # only now, so that jobs that are started one after another keep their order
                _wait_for(folder, name, earlier)
            self._waiting = False
        return tickets

    def _run_command(self, tickets: list[IO[bytes]]) -> int:
        with (self._folder / OUTPUT_FILE).open("ab") as output:
            child = subprocess.Popen(
                self._launch["arguments"],
                cwd=self._launch["project"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                process_group=0,  # so that all of its processes can be told to stop
                pass_fds=[ticket.fileno() for ticket in tickets],  # its devices are taken as long as it lives
            )
        self._note(state=RUNNING, started=time.time(), child=identity(child.pid))
        while not self._stopping:
            with suppress(subprocess.TimeoutExpired):
                return child.wait(GLANCE_SECONDS)
        for number, patience in PATIENCE_SECONDS.items():  # first as Ctrl-C: it can be resumed then
            with suppress(ProcessLookupError):
                os.killpg(child.pid, number)
            with suppress(subprocess.TimeoutExpired):
                return child.wait(patience)
        return child.wait()

    def _settle(self, status: str) -> None:
        """Complete the record of a command that keeps none itself, or was killed."""
        path = self._folder / JOB_FILE
        record = json.loads(path.read_text(encoding="utf-8"))
        if record.get("status") in UNSETTLED:
            write_json(path, {**record, "status": status})


def _draw_ticket(folder: Path, name: str, stack: ExitStack) -> tuple[IO[bytes], list[int]]:
    """Draw a ticket of a device; return it and the numbers of the earlier ones.

    A ticket is a locked file. The system unlocks it when the last process that holds it has ended, however.
    """
    with (folder / f"{name}.drawing").open("ab") as drawing:
        fcntl.flock(drawing, fcntl.LOCK_EX)
        earlier = sorted(int(path.suffix[1:]) for path in folder.glob(f"{name}.[0-9]*"))
        number = 1 + max(earlier, default=0)
        ticket = stack.enter_context((folder / f"{name}.{number}").open("ab"))
        fcntl.flock(ticket, fcntl.LOCK_EX)
    return ticket, earlier


def _wait_for(folder: Path, name: str, earlier: list[int]) -> None:
    """Wait until every earlier ticket is given back."""
    for other in earlier:
        path = folder / f"{name}.{other}"
        with suppress(FileNotFoundError), path.open("r+b") as theirs:
            fcntl.flock(theirs, fcntl.LOCK_EX)
            path.unlink()


def main() -> None:
    """Run the job whose folder is the only argument."""
    # A shell lets what it starts in the background ignore interrupts, and so would the command.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    runner = Runner(Path(sys.argv[1]).resolve())
    signal.signal(signal.SIGTERM, runner.stop)
    runner.run()


if __name__ == "__main__":
    main()
