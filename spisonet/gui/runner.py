"""Run one job in a process of its own, independent of the server: ``python -m spisonet.gui.runner FOLDER``.

The runner waits until the devices of the job are free, runs the command, forwards a request to stop, and
records the outcome in ``process.json``.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Thread
from typing import IO, TYPE_CHECKING, Any

from spisonet.gui.processes import host_name, process_identity
from spisonet.io.atomic import write_json
from spisonet.io.locks import private_folder
from spisonet.io.paths import real_path
from spisonet.io.run_record import FAILED, FINISHED, JOB_FILE, QUEUED, RUNNING

if TYPE_CHECKING:
    from types import FrameType

LAUNCH_FILE, PROCESS_FILE, OUTPUT_FILE = "launch.json", "process.json", "run.out"
HEARTBEAT_FILE = "heartbeat"  # its time tells other machines when the runner was last alive
SECONDS_BETWEEN_HEARTBEATS = 30.0
WAITING, ENDED, STOPPED = "waiting", "ended", "stopped"
INCOMPLETE = (QUEUED, RUNNING)  # status in job.json if the command has not recorded its end
GRACE_SECONDS = {signal.SIGINT: 30.0, signal.SIGTERM: 10.0, signal.SIGKILL: 10.0}
POLL_SECONDS = 0.2
NOT_STARTED = 127


class _StopRequested(Exception):  # noqa: N818 - a signal, not an error
    """The job is to end while it waits for its devices."""


class Runner:
    """Process that runs one job.

    Parameters
    ----------
    folder : Path
        Job folder with ``launch.json``, which lists the ``arguments`` of the command, the folder ``project``
        to run it in and the ``devices`` to wait for.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._launch = json.loads((folder / LAUNCH_FILE).read_text(encoding="utf-8"))
        self._process: dict[str, Any] = {
            "host": host_name(),
            "runner": process_identity(),
            "state": WAITING,
        }
        self._stopping = self._waiting = False

    def stop(self, _number: int, _frame: FrameType | None) -> None:
        """Stop the job; a signal handler."""
        self._stopping = True
        if self._waiting:
            self._waiting = False
            raise _StopRequested

    def run(self) -> None:
        """Wait for the devices, run the command and record the outcome."""
        status = NOT_STARTED
        Thread(target=self._beat, daemon=True).start()
        with ExitStack() as stack:
            try:
                tickets = self._acquire_devices(stack)
                if not self._stopping:
                    status = self._run_command(tickets)
            except OSError as error:
                with (self._folder / OUTPUT_FILE).open("a", encoding="utf-8") as output:
                    output.write(f"The job could not be started: {error}\n")
        for entry in ("child", "stopping"):
            self._process.pop(entry, None)
        # First the record, because other programs take the state of the process for the end of the job.
        self._complete_record(STOPPED if self._stopping else FAILED if status else FINISHED)
        self._update_process_file(state=ENDED, stopped=self._stopping, exit_status=status, ended=time.time())

    def _beat(self) -> None:
        while True:
            with suppress(OSError):
                (self._folder / HEARTBEAT_FILE).touch()
            time.sleep(SECONDS_BETWEEN_HEARTBEATS)

    def _update_process_file(self, **changes: object) -> None:
        self._process |= changes
        write_json(self._folder / PROCESS_FILE, self._process)

    def _acquire_devices(self, stack: ExitStack) -> list[IO[bytes]]:
        """Wait until all earlier jobs of this user on this machine have released the devices."""
        folder = private_folder()
        tickets: list[IO[bytes]] = []
        with suppress(_StopRequested):
            self._waiting = not self._stopping
            for name in self._launch["devices"] if self._waiting else []:
                ticket, earlier = _draw_ticket(folder, name, str(self._folder), stack)
                tickets.append(ticket)
                for number in earlier:
                    # Written only now, so that jobs that are started one after another keep their order.
                    holder = _holder_of(folder / f"{name}.{number}")
                    self._update_process_file(waiting_for={"device": name, "folder": holder})
                    _wait_for_ticket(folder / f"{name}.{number}")
                self._update_process_file()
            self._waiting = False
        self._process.pop("waiting_for", None)
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
                process_group=0,  # so that a signal reaches all of its processes
                pass_fds=[ticket.fileno() for ticket in tickets],  # keeps the devices locked while it lives
            )
        self._update_process_file(state=RUNNING, started=time.time(), child=process_identity(child.pid))
        while not self._stopping:
            with suppress(subprocess.TimeoutExpired):
                return child.wait(POLL_SECONDS)
        self._update_process_file(stopping=time.time())
        for number, seconds in GRACE_SECONDS.items():  # SIGINT (Ctrl-C) first: the run stays resumable
            with suppress(ProcessLookupError):
                os.killpg(child.pid, number)
            with suppress(subprocess.TimeoutExpired):
                return child.wait(seconds)
        return child.wait()

    def _complete_record(self, status: str) -> None:
        """Set the status in ``job.json`` if the command does not do so itself or was killed."""
        path = self._folder / JOB_FILE
        record = json.loads(path.read_text(encoding="utf-8"))
        if record.get("status") in INCOMPLETE:
            write_json(path, {**record, "status": status})


def _draw_ticket(folder: Path, name: str, holder: str, stack: ExitStack) -> tuple[IO[bytes], list[int]]:
    """Draw a ticket for a device; return it and the numbers of earlier tickets.

    A ticket is a locked file that names its holder, a job folder. The system unlocks it when the last process
    that holds it has ended, whatever the reason.
    """
    with (folder / f"{name}.drawing").open("ab") as drawing:
        fcntl.flock(drawing, fcntl.LOCK_EX)
        earlier = sorted(int(path.suffix[1:]) for path in folder.glob(f"{name}.[0-9]*"))
        number = 1 + max(earlier, default=0)
        ticket = stack.enter_context((folder / f"{name}.{number}").open("ab"))
        fcntl.flock(ticket, fcntl.LOCK_EX)
        ticket.write(os.fsencode(holder))
        ticket.flush()
    return ticket, earlier


def _holder_of(path: Path) -> str:
    """Return the job folder that a ticket names; empty if it has been returned."""
    try:
        return os.fsdecode(path.read_bytes())
    except OSError:
        return ""


def _wait_for_ticket(path: Path) -> None:
    """Wait until a ticket is returned, and remove it."""
    with suppress(FileNotFoundError), path.open("r+b") as ticket:
        fcntl.flock(ticket, fcntl.LOCK_EX)
        path.unlink()


def main() -> None:
    """Run the job whose folder is the only argument."""
    # A shell starts background processes with interrupts ignored, and the command would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    runner = Runner(real_path(Path(sys.argv[1])))
    signal.signal(signal.SIGTERM, runner.stop)
    runner.run()


if __name__ == "__main__":
    main()
