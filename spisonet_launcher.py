"""Entry points of the console scripts.

Python puts the folder of a script named ``spisonet.py`` first on ``sys.path``, where the script shadows the
package ``spisonet``. This module has another name, and removes the folder before the package is imported.

External jobs handle signals before they import more than this module and `relion_external.signals`, which
therefore import no module that takes long.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False  # as in `typing`
if TYPE_CHECKING:
    from types import FrameType
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
    remove_script_folder()
    from relion_external.signals import (  # noqa: PLC0415 - only importable once sys.path is clean
        abort_until_started,
        hold_signals,
    )

    abort_until_started(sys.argv)
    if _lacks_utf8():
        hold_signals()  # until the new start handles them
    try:
        _run("relion_external.jobs.run", "run_script")
    except Exception:  # RELION waits for an exit file, even of a program that cannot start
        if "--o" in sys.argv[:-1]:
            path = os.path.join(sys.argv[sys.argv.index("--o") + 1], "RELION_JOB_EXIT_FAILURE")
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o666))
        raise


def _run(module: str, function: str) -> NoReturn:
    """Run a program, and end without a traceback if it is interrupted or its output cannot be written."""
    raises = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if raises:  # an exception within the import of a compiled module can end in a panic of the module
        signal.signal(signal.SIGINT, _exit_at_once)
    _use_utf8()
    # By default, idle threads of OpenMP keep their core busy, which makes a training several times slower as
    # soon as another program runs on the machine. The library reads this when PyTorch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    remove_script_folder()
    from importlib import import_module  # noqa: PLC0415

    from spisonet.io.streams import finish_streams, prepare_streams  # noqa: PLC0415

    prepare_streams()
    status: str | int | None = 0
    program = getattr(import_module(module), function)
    if raises:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        program()
    except SystemExit as done:
        status = done.code
    except KeyboardInterrupt:
        status = EXIT_INTERRUPTED
    sys.exit(finish_streams() or status)


def _exit_at_once(number: int, frame: FrameType | None) -> None:
    os._exit(EXIT_INTERRUPTED)


def _use_utf8() -> None:
    """Start again in Python's UTF-8 mode if the locale has only ASCII, in which names and text do not fit."""
    if _lacks_utf8():
        os.environ["PYTHONUTF8"] = "1"  # for programs that this one starts
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 - this program


def _lacks_utf8() -> bool:
    return sys.getfilesystemencoding() == "ascii" and bool(sys.executable)


def remove_script_folder() -> None:
    """Remove the folder of the running script from ``sys.path``."""
    script_folder = os.path.realpath(os.path.dirname(sys.argv[0]))
    sys.path[:] = [entry for entry in sys.path if entry and os.path.realpath(entry) != script_folder]
