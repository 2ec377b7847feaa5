"""Entry points of the console scripts.

Python puts the folder of a script named ``spisonet.py`` first on ``sys.path``, where the script shadows the
package ``spisonet``. This module has another name, and removes the folder before the package is imported.
"""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import NoReturn

EXIT_INTERRUPTED = 130


def main() -> NoReturn:
    """Run the ``spisonet`` command line."""
    _run("spisonet.commands.main", "main")


def isonet() -> NoReturn:
    """Run the ``isonet`` command line."""
    _run("spisonet.commands.main", "isonet")


def relion_reconstruct() -> NoReturn:
    """Run the program that RELION calls for an external reconstruction."""
    _run("relion_external.reconstruct", "main")


def relion_job() -> NoReturn:
    """Run the External job that the console script is named after."""
    _remove_script_folder()
    from relion_external.signals import abort_until_started  # noqa: PLC0415 - only importable once sys.path is clean

    abort_until_started(sys.argv)
    try:
        _run("relion_external.jobs.run", "run_script")
    except Exception:  # RELION waits for an exit file, even of a program that cannot start
        if "--o" in sys.argv[:-1]:
            (Path(sys.argv[sys.argv.index("--o") + 1]) / "RELION_JOB_EXIT_FAILURE").touch()
        raise


def _run(module: str, function: str) -> NoReturn:
    """Run a program, and end without a traceback if it is interrupted or its output cannot be written."""
    _use_utf8()
    _remove_script_folder()
    from spisonet.io.streams import finish_streams, prepare_streams  # noqa: PLC0415

    prepare_streams()
    status: str | int | None = 0
    try:
        getattr(import_module(module), function)()
    except SystemExit as done:
        status = done.code
    except KeyboardInterrupt:
        status = EXIT_INTERRUPTED
    sys.exit(finish_streams() or status)


def _use_utf8() -> None:
    """Start again in Python's UTF-8 mode if the locale has only ASCII, in which names and text do not fit."""
    if sys.getfilesystemencoding() == "ascii" and sys.executable:
        os.environ["PYTHONUTF8"] = "1"  # for programs that this one starts
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 - this program


def _remove_script_folder() -> None:
    script_folder = os.path.realpath(os.path.dirname(sys.argv[0]))
    sys.path[:] = [entry for entry in sys.path if entry and os.path.realpath(entry) != script_folder]
