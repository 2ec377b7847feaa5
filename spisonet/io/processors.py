"""Processors of this machine: the CPU threads that are useful, and their instructions."""

from __future__ import annotations

import math
import os
from functools import cache
from pathlib import Path

# CPU instructions with which convolutions in bf16 are much faster than in float32.
BFLOAT16_INSTRUCTIONS = frozenset({"amx_bf16", "avx512_bf16"})
PROCESSOR_FILE = Path("/proc/cpuinfo")  # of Linux
# Processor time in microseconds that a control group may use in a period, or "max", and the period.
CPU_QUOTA_FILE = Path("/sys/fs/cgroup/cpu.max")


def available_cores() -> int:
    """Return the number of cores that this process may use.

    MPI may have bound it to some of them, and a control group (a container) may limit its processor time.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = CPU_QUOTA_FILE.read_text(encoding="ascii").split()
        return max(1, min(cores, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError, ZeroDivisionError):  # no limit, or "max"
        return cores


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
