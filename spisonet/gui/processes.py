"""Identify a process by number and start time, because the system reuses the numbers of ended processes."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

BOOT_FILE = Path("/proc/sys/kernel/random/boot_id")
START_FIELD = 22  # of /proc/PID/stat (proc(5)): start in ticks after boot
ZOMBIE = "Z"


def host_name() -> str:
    """Name of this machine."""
    return socket.gethostname()


def user_name() -> str:
    """Name of this user; the number of one whom the system does not know, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def process_start(pid: int) -> str | None:
    """Return a text that is unique to this start of a process number; None if no such process runs."""
    stat = Path(f"/proc/{pid}/stat")
    if not BOOT_FILE.is_file():  # not Linux
        result = subprocess.run(
            ["ps", "-o", "lstart=", "-p", str(pid)],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        return result.stdout.strip() or None
    try:
        # The second field, the name in brackets, may contain spaces.
        fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    if fields[0] == ZOMBIE:
        return None
    return f"{BOOT_FILE.read_text(encoding='ascii').strip()}:{fields[START_FIELD - 3]}"


def process_identity(pid: int | None = None) -> dict[str, Any]:
    """Return ``pid`` and ``start`` of a process, by default of this one."""
    number = os.getpid() if pid is None else pid
    return {"pid": number, "start": process_start(number)}


def is_run_by(pid: int, *words: str) -> bool:
    """Tell whether a process of this user has all words, or files of these names, in its command line.

    The files that name the processes of a job may have been written by others: without this test, stopping
    such a job could end any process of this user. True where the system does not tell.
    """
    process = Path(f"/proc/{pid}")
    if not BOOT_FILE.is_file():
        return True
    try:
        line = (process / "cmdline").read_text(encoding="utf-8", errors="surrogateescape").split("\0")
        own = process.stat().st_uid == os.getuid()
    except OSError:
        return False
    return own and {Path(word).name for word in line} >= set(words)


def is_alive(identity: dict[str, Any] | None) -> bool:
    """Tell whether a process of this machine with this `process_identity` is still running."""
    if not identity or identity.get("start") is None:
        return False
    return process_start(int(identity["pid"])) == str(identity["start"])
