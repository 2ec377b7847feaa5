"""Entry points of the console scripts.

Python puts the folder of a script named ``spisonet.py`` first on ``sys.path``, where the script shadows the
package ``spisonet``. This module has another name, and removes the folder before the package is imported.
"""

import sys
from pathlib import Path


def main() -> None:
    """Run the ``spisonet`` command line."""
    _remove_script_folder()
    from spisonet.commands.main import main as run  # noqa: PLC0415 - only importable once sys.path is clean

    run()


def isonet() -> None:
    """Run the ``isonet`` command line."""
    _remove_script_folder()
    from spisonet.commands.main import isonet as run  # noqa: PLC0415

    run()


def relion_reconstruct() -> None:
    """Run the program that RELION calls for an external reconstruction."""
    _remove_script_folder()
    from relion_external.reconstruct import main as run  # noqa: PLC0415

    run()


def relion_job() -> None:
    """Run the External job that the console script is named after."""
    _remove_script_folder()
    try:
        from relion_external.jobs.definitions import JOBS  # noqa: PLC0415
        from relion_external.jobs.run import main as run  # noqa: PLC0415
    except BaseException:  # RELION waits for an exit file, even of a program that cannot start
        if "--o" in sys.argv[:-1]:
            (Path(sys.argv[sys.argv.index("--o") + 1]) / "RELION_JOB_EXIT_FAILURE").touch()
        raise

    script = Path(sys.argv[0]).resolve().name
    run(next(name for name, job in JOBS.items() if job.executable == script))


def _remove_script_folder() -> None:
    script_folder = Path(sys.argv[0]).resolve().parent
    sys.path[:] = [entry for entry in sys.path if entry and Path(entry).resolve() != script_folder]
