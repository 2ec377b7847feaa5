"""The number of CPU threads that are useful on this machine."""

from __future__ import annotations

import os


def available_cores() -> int:
    """Return the number of cores that this process may use; MPI may have bound it to some of them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def limited_threads(requested: int) -> int:
    """Return a requested number of threads, limited to the available cores."""
    return max(1, min(requested, available_cores()))
