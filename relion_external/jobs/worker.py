"""Worker process of an External job: runs the command, then writes the logfile."""

from __future__ import annotations

import json
import signal
import sys
from importlib import import_module
from pathlib import Path

from relion_external.process import end_with_parent
from relion_external.signals import EXIT_ABORTED, exit_at_once
from spisonet.errors import known_error
from spisonet.io.streams import prepare_streams


def main(name: str, folder: Path, text: str) -> None:
    """Run a command and write its logfile.

    Parameters
    ----------
    name : str
        Name in `JOBS`.
    folder : Path
        Job folder.
    text : str
        Configuration of the command as JSON.
    """
    # Background processes of a shell ignore this signal, by which the parent interrupts the worker.
    signal.signal(signal.SIGINT, exit_at_once)
    end_with_parent()
    prepare_streams()
    from relion_external.jobs.definitions import JOBS, LOGFILE  # noqa: PLC0415 - slow to import
    from spisonet.commands.main import run_config  # noqa: PLC0415

    signal.signal(signal.SIGINT, signal.default_int_handler)
    config = JOBS[name].config.from_options(json.loads(text))  # names may be any bytes
    run_config(config)
    try:
        import_module("relion_external.jobs.logfile").write_logfile(folder / LOGFILE.name, config)
    except Exception as error:  # noqa: BLE001 - the results are complete
        reason = known_error(error) or error
        name = LOGFILE.name
        sys.stderr.write(f"spisonet: the results are complete, but {name} was not written: {reason}\n")


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
    except KeyboardInterrupt:
        sys.exit(EXIT_ABORTED)
