"""Absolute paths with all links followed, and versions of files."""

from __future__ import annotations

import errno
import os
from pathlib import Path

CHANGED = "changed_elsewhere"  # code of the error of an edit of an older version of a file


def real_path(path: Path) -> Path:
    """Return the absolute path of a file or folder, with all links followed; its end need not exist.

    Instead of `Path.resolve`, whose errors differ among versions of Python, and which leaves the links that
    follow a loop of links, so that ``loop/../link`` seems to be in the folder that it leads out of.

    Raises
    ------
    OSError
        If the path leads through a loop of links (``errno.ELOOP``) or cannot be searched.
    """
    real = os.path.realpath(path)
    if os.path.islink(real) or os.path.realpath(real) != real:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return Path(real)


def version_of(path: Path) -> str:
    """Return a text that differs after every change of a file; empty if there is no such file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return ""
    return f"{status.st_mtime_ns}.{status.st_ino}.{status.st_size}"  # times are coarser than edits
