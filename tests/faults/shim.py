"""The shared state of the library in ``shim.c``, which injects faults into this process and its children."""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

KINDS = ("none", "enospc", "edquot", "eio", "kill", "short", "slow", "clock")
SOURCE = Path(__file__).with_name("shim.c")
NUMBERS, TEXT_BYTES = struct.Struct("6l"), 1000
STATE_VARIABLE = "FAULTS_STATE"


def compiler() -> str | None:
    """Return the C compiler, or None where there is none or no way to preload a library."""
    return shutil.which("gcc") if os.uname().sysname == "Linux" and os.uname().machine == "x86_64" else None


def build(folder: Path) -> dict[str, str]:
    """Compile the library; return the environment of a process in which it is loaded."""
    library, state = folder / "shim.so", folder / "state"
    subprocess.run([str(compiler()), "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
    state.write_bytes(bytes(NUMBERS.size + 2 * TEXT_BYTES))
    return {"LD_PRELOAD": str(library), STATE_VARIABLE: str(state)}


@dataclass(frozen=True)
class Outcome:
    """What the library saw: calls such as ``(7, thread, "fsync", "/job.json")``, and the number of faults."""

    calls: list[tuple[int, int, str, str]]
    injected: int


class Shim:
    """The state; calls that change files in or below `folder` are counted while a fault is set."""

    def __init__(self, folder: Path) -> None:
        state = Path(os.environ[STATE_VARIABLE])
        self._folder, self._log = folder, state.with_name("calls.log")
        with state.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)

    def arm(self, kind: str = "none", at: int = 0, persistent: bool = False) -> None:
        """Count from 1, and inject a fault at call `at`, or at all from there on."""
        self._log.unlink(missing_ok=True)
        numbers = NUMBERS.pack(0, at, persistent, KINDS.index(kind), 0, 0)
        texts = (str(text).encode().ljust(TEXT_BYTES, b"\0") for text in (self._folder, self._log))
        self._memory[:] = numbers + b"".join(texts)

    def disarm(self) -> Outcome:
        """Stop counting; return what was seen."""
        injected = NUMBERS.unpack_from(self._memory)[4]
        self._memory[:] = bytes(len(self._memory))
        lines = self._log.read_text().splitlines() if self._log.is_file() else []
        words = (line.split(" ", 3) for line in lines)
        calls = [(int(number), int(thread), call, path) for number, thread, call, path in words]
        return Outcome(sorted(calls), injected)
