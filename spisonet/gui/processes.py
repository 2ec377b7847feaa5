"""Know a process again: its number is given to others after its end, its start is not."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path
from typing import Any

BOOT_FILE = Path("/proc/sys/kernel/random/boot_id")
START_FIELD = 22  # of /proc/PID/stat (proc(5)): start in ticks after boot
ZOMBIE = "Z"


def this_host() -> str:
    """Name of this machine."""
    return socket.gethostname()


def process_start(pid: int) -> str | None:
    """Return a text that tells a process from later ones of the same number; None if there is none."""
    stat = Path(f"/proc/{pid}/stat")
    if not BOOT_FILE.is_file():  # not Linux
        asked = subprocess.run(
            ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        return asked.stdout.strip() or None
    try:
        # The second field, the name in brackets, may hold spaces.
        fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    if fields[0] == ZOMBIE:
        return None
    return f"{BOOT_FILE.read_text(encoding='ascii').strip()}:{fields[START_FIELD - 3]}"


def identity(pid: int | None = None) -> dict[str, Any]:
    """Describe a process, by default this one."""
    number = os.getpid() if pid is None else pid
    return {"pid": number, "start": process_start(number)}


def is_alive(described: dict[str, Any] | None) -> bool:
    """Tell whether a process that `identity` described on this machine still runs."""
    if not described or described.get("start") is None:
        return False
    return process_start(int(described["pid"])) == str(described["start"])
