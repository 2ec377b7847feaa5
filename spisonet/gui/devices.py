"""GPUs of this machine, listed without PyTorch."""

from __future__ import annotations

import csv
import subprocess
from functools import cache

TIMEOUT_SECONDS = 10
QUERY = ("nvidia-smi", "--query-gpu=index,name", "--format=csv,noheader")


@cache
def list_gpus() -> dict[int, str]:
    """Return GPU names by index; empty without ``nvidia-smi`` or without a GPU."""
    try:
        result = subprocess.run(
            QUERY,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    rows = csv.reader(result.stdout.splitlines(), skipinitialspace=True)
    return {int(row[0]): row[1] for row in rows if len(row) == 2 and row[0].isdecimal()}
