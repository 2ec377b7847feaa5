"""Run a program on hostile inputs and judge how it ended."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

ROOT = Path(__file__).parents[2]
SECONDS, MEGABYTES = 60.0, 2048.0
SIGNS_OF_DEFECTS = ("Traceback (most recent", "--- Logging error", "Exception ignored", "Segmentation")
STATUSES = (0, 1, 2)  # success, a fault of the input, a fault of the command line


@dataclass(frozen=True)
class Outcome:
    """How a command line ended.

    Attributes
    ----------
    words : tuple of str
        The command line.
    status : int or None
        Exit status; negative for a signal, None if it did not end in time.
    output : str
        What it printed.
    seconds, megabytes : float
        Time and peak memory.
    changed : tuple of str
        Inputs that were changed or removed.
    left : tuple of str
        Temporary files that were left.
    """

    words: tuple[str, ...]
    status: int | None
    output: str
    seconds: float
    megabytes: float
    changed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    @property
    def fault(self) -> str:
        """What is wrong with the way it ended; empty if nothing is."""
        if self.status is None:
            return f"no end after {self.seconds:.0f} s"
        sign = next((sign for sign in SIGNS_OF_DEFECTS if sign in self.output), None)
        faults = {
            f"{sign}: {(self.output.strip() or ' ').splitlines()[-1][:300]}": sign is not None,
            f"exit status {self.status}": self.status not in STATUSES,
            "no message": self.status and not self.output.strip(),
            f"changed inputs: {', '.join(self.changed)}": self.changed,
            f"left over: {', '.join(self.left)}": self.left,
        }
        return next((fault for fault, is_there in faults.items() if is_there), "")


class Sandbox:
    """Context in which command lines are run, each in a forked process.

    Parameters
    ----------
    folder : Path
        Folder for the output of the programs.
    """

    def __init__(self, folder: Path) -> None:
        self._output = folder / "output.txt"

    def __enter__(self) -> Self:
        environment = {
            **os.environ,
            **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
            "OMP_WAIT_POLICY": "passive",
            "PYTHONPATH": str(ROOT),
            "MPLBACKEND": "agg",
        }
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.hostile.fork_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        assert self._server.stdout is not None
        assert self._server.stdout.readline() == "ready\n"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.terminate()
        self._server.wait()
        self._server.stdout.close()

    def run(
        self,
        folder: Path,
        program: str,
        *words: str | Path,
        seconds: float = SECONDS,
        megabytes: float = MEGABYTES,
        **environment: str,
    ) -> Outcome:
        """Run a command line in a folder, whose files count as inputs."""
        before = _snapshot(folder)
        request = {
            "program": program,
            "words": [str(word) for word in words],
            "folder": str(folder),
            "output": str(self._output),
            "seconds": seconds,
            "megabytes": megabytes,
            "environment": environment,
        }
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        answer = json.loads(self._server.stdout.readline())
        after = _snapshot(folder)
        return Outcome(
            words=(program, *request["words"]),
            output=self._output.read_bytes().decode("utf-8", errors="replace"),
            changed=tuple(
                sorted(name for name in before if _is_input(name) and after.get(name) != before[name])
            ),
            left=tuple(sorted(name for name in after.keys() - before.keys() if _is_temporary(name))),
            **answer,
        )


def _is_input(name: str) -> bool:
    """Whether a file may not change: others are written by commands that add to a finished run."""
    return not name.endswith(("progress.jsonl", "run.log", "report.html", "report.json"))


def _is_temporary(name: str) -> bool:
    return ".partial" in name or ".probe" in name


def _snapshot(folder: Path) -> dict[str, str]:
    """Return kind and content of all files in a folder."""
    found: dict[str, str] = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        if stat.S_ISREG(status.st_mode):
            found[str(path)] = hashlib.blake2b(path.read_bytes()).hexdigest()
        elif stat.S_ISLNK(status.st_mode):
            found[str(path)] = f"link to {os.readlink(path)}"
        elif not stat.S_ISDIR(status.st_mode):
            found[str(path)] = f"mode {stat.S_IFMT(status.st_mode)}"
    return found
