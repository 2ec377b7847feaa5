"""The GPUs of this machine, without PyTorch."""

from __future__ import annotations

import re
import subprocess
from functools import cache

LINE = re.compile(r"^GPU (\d+): (.+?)(?: \(UUID.*)?$", re.MULTILINE)
SECONDS_FOR_A_PROGRAM = 10


@cache
def list_gpus() -> dict[int, str]:
    """Return numbers and names; none where there is no ``nvidia-smi``."""
    try:
        done = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=SECONDS_FOR_A_PROGRAM, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return {int(number): name for number, name in LINE.findall(done.stdout)}
