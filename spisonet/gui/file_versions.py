"""Version of a file that a page shows: an edit of another version is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CHANGED = "changed_elsewhere"  # code of the error of an edit of another version


def version_of(path: Path) -> str:
    """Return a text that differs after every change of a file; empty if there is no such file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return ""
    return f"{status.st_mtime_ns}.{status.st_ino}.{status.st_size}"  # times are coarser than edits
