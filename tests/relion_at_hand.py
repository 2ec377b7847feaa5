"""The RELION that the tests call, which is the first on PATH."""

from __future__ import annotations

import functools
import os
import shutil
from pathlib import Path

from relion_external.preflight import relion_version

BIN_VARIABLE = "SPISONET_RELION5"


@functools.cache
def version_at_hand() -> tuple[int, ...]:
    """Return the version of RELION on PATH, such as ``(5, 0, 1)``; empty if there is none."""
    program = shutil.which("relion_refine")
    return () if program is None else relion_version(program)


def prefer_relion5() -> None:
    """Put the folder of ``SPISONET_RELION5`` first on PATH, for this process and what it starts."""
    folder = os.environ.get(BIN_VARIABLE)
    if not folder:
        return
    if not (Path(folder) / "relion_refine").is_file():
        raise ValueError(f"{BIN_VARIABLE}={folder} is not a folder with the programs of RELION 5")
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
