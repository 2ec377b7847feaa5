"""Memory and processor time that control groups of Linux (containers, Slurm jobs) leave to this process."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMBERSHIP_FILE = Path("/proc/self/cgroup")
ROOT = Path("/sys/fs/cgroup")
# Cached files in memory.stat, which the kernel removes for other data; version 1 has sums over the groups
# that a group contains under names of their own.
RECLAIMABLE = ("inactive_file", "active_file")
SUM_PREFIX = "total_"


def available_bytes() -> float:
    """Return the memory that the groups of this process leave to it; infinite without a limit."""
    return min((_left_in(folder) for folder in _folders("memory")), default=math.inf)


def processor_limit() -> float:
    """Return how many processors' time the groups of this process may use; infinite without a limit."""
    limits = []
    for folder in _folders("cpu"):
        quota, *period = _words(folder / "cpu.max") or ["max"]
        if quota != "max" and quota.isdigit() and period and period[0].isdigit():
            limits.append(int(quota) / max(int(period[0]), 1))
    return min(limits, default=math.inf)


def _folders(controller: str) -> Iterator[Path]:
    """Yield the folders of the groups of this process, and of the groups that contain them."""
    yield ROOT
    try:
        lines = MEMBERSHIP_FILE.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = (*line.split(":", 2), "", "")[:3]
        if controllers and controller not in controllers.split(","):
            continue
        place = Path(name.lstrip("/"))
        root = ROOT / controller if controllers else ROOT  # version 1 has a tree for each controller
        yield from (root / part for part in (place, *place.parents))


def _left_in(folder: Path) -> float:
    """Return the limit of a group minus what it uses, cached files not counted."""
    names = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))
    for limit_name, used_name in names:
        limit, used = _words(folder / limit_name), _words(folder / used_name)
        if limit and limit[0].isdigit():
            n_used = int(used[0]) if used and used[0].isdigit() else 0
            return max(0.0, float(int(limit[0]) - max(0, n_used - _reclaimable(folder))))
    return math.inf


def _reclaimable(folder: Path) -> int:
    words = _words(folder / "memory.stat")
    found = {
        name: int(value) for name, value in zip(words[::2], words[1::2], strict=False) if value.isdigit()
    }
    return sum(found.get(f"{SUM_PREFIX}{name}", found.get(name, 0)) for name in RECLAIMABLE)


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return []
