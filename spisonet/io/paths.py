"""Absolute paths with all links followed."""

from __future__ import annotations

import errno
import os
from pathlib import Path


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
