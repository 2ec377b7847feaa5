"""Worker process of an External job: runs the command, then writes the logfile."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from relion_external.jobs.definitions import JOBS, LOGFILE
from spisonet.commands.main import run_config


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
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config = JOBS[name].config.model_validate_json(text)
    run_config(config)
    try:
        from relion_external.jobs.logfile import write_logfile  # noqa: PLC0415 - slow to import

        write_logfile(folder / LOGFILE.name, config)
    except Exception as error:  # noqa: BLE001 - the results are complete
        sys.stderr.write(f"spisonet: the results are complete, but {LOGFILE.name} was not written: {error}\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
