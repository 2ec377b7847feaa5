"""Console scripts of this installation."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from spisonet.errors import SpisonetError


def find_executable(name: str) -> str:
    """Return the path of a console script of this installation.

    Raises
    ------
    SpisonetError
        If it is not installed.
    """
    beside_python = Path(sys.executable).parent / name
    found = str(beside_python) if beside_python.is_file() else shutil.which(name)
    if found is None:
        raise SpisonetError(f"{name} is not installed; install spisonet with pip.")
    return found
