"""Processors of this machine: the CPU threads that are useful, and their instructions."""

from __future__ import annotations

import math
import os
from functools import cache
from pathlib import Path

from spisonet.io.control_groups import processor_limit

# CPU instructions with which convolutions in bf16 are much faster than in float32.
BFLOAT16_INSTRUCTIONS = frozenset({"amx_bf16", "avx512_bf16"})
PROCESSOR_FILE = Path("/proc/cpuinfo")  # of Linux


def available_cores() -> int:
    """Return the number of cores that this process may use.

    MPI may have bound it to some of them, and a control group (a container) may limit its processor time.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(cores, processor_limit())))


@cache
def has_bfloat16() -> bool:
    """Return whether convolutions in bf16 are much faster on this CPU; always False but on Linux."""
    try:
        lines = PROCESSOR_FILE.read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return not BFLOAT16_INSTRUCTIONS.isdisjoint(flags.split())


def limited_threads(requested: int) -> int:
    """Return a requested number of threads, limited to the available cores."""
    return max(1, min(requested, available_cores()))
