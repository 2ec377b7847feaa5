"""Submit jobs to SLURM with the site's submission script, a template with RELION's placeholders."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import time
from functools import lru_cache
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.gui.processes import user_name
from spisonet.io.atomic import write_text

if TYPE_CHECKING:
    from pathlib import Path

PLACEHOLDER = re.compile(r"XXX(\w+?)XXX")
COMMAND = "command"
FILLED_IN = (COMMAND, "outfile", "errfile", "name")  # by this program; the form shows the others as fields
TIMEOUT_SECONDS = 30
SECONDS_BETWEEN_QUERIES = 5.0


def template_fields(template: Path) -> list[str]:
    """Return the names in ``XXXnameXXX`` that the user has to fill in.

    Raises
    ------
    SpisonetError
        If the template cannot be read or has no ``XXXcommandXXX``.
    """
    try:
        names = dict.fromkeys(PLACEHOLDER.findall(template.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise SpisonetError(f"{template} cannot be read.") from error
    if COMMAND not in names:
        raise SpisonetError(f"{template} lacks XXXcommandXXX, the placeholder for the command to run.")
    return [name for name in names if name not in FILLED_IN]


def write_script(
    template: Path, script: Path, arguments: list[str], output: Path, values: dict[str, str]
) -> None:
    """Write a submission script.

    Parameters
    ----------
    template, script : Path
        File to read and file to write.
    arguments : list of str
        Words of the command.
    output : Path
        File for the output of the command.
    values : dict
        Values of the fields that `template_fields` returns.

    Raises
    ------
    SpisonetError
        If a value is missing or has several lines, or a file cannot be read or written.
    """
    for name in template_fields(template):
        value = values.get(name, "").strip()
        if not value or not value.isprintable():
            raise SpisonetError(f"SLURM field {name} is empty or has several lines; enter one line.")
    all_values = values | {
        COMMAND: shlex.join(arguments),
        "outfile": str(output),
        "errfile": str(output),
        "name": script.parent.name,
    }
    text = PLACEHOLDER.sub(lambda found: all_values[found[1]].strip(), template.read_text(encoding="utf-8"))
    write_text(script, text, mode=0o700)


def is_available() -> bool:
    """Tell whether SLURM is installed on this machine."""
    return shutil.which("sbatch") is not None


def submit(script: Path) -> str:
    """Submit a script; return the number of the SLURM job.

    Raises
    ------
    SpisonetError
        If SLURM rejects the script.
    """
    printed = _run("sbatch", "--parsable", str(script))
    number = printed.split(";")[0].strip()  # the name of the cluster may follow
    if not number.isdecimal():
        raise SpisonetError(f"sbatch printed {printed.strip()!r} instead of a job number.")
    return number


def is_listed(number: str) -> bool:
    """Tell whether a job is waiting or running; also true while the queue cannot be read."""
    return _is_listed(number, int(time.monotonic() / SECONDS_BETWEEN_QUERIES))


@lru_cache(maxsize=256)
def _is_listed(number: str, _period: int) -> bool:
    try:
        return bool(_run("squeue", "--noheader", "--jobs", number, "--format", "%T").strip())
    except SpisonetError:
        # squeue fails for a job that it no longer knows, but also while the controller cannot be reached;
        # only in the latter case does it fail for the user's own list, too.
        return not _queue_is_readable(_period)


@lru_cache(maxsize=1)
def _queue_is_readable(_period: int) -> bool:
    try:
        _run("squeue", "--noheader", "--user", user_name(), "--format", "%A")
    except SpisonetError:
        return False
    return True


def cancel(number: str) -> None:
    """Cancel a job.

    Raises
    ------
    SpisonetError
        If ``scancel`` fails.
    """
    _run("scancel", number)


def _run(*words: str) -> str:
    try:
        result = subprocess.run(
            words,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SpisonetError(f"{words[0]} cannot be run: {error}.") from error
    if result.returncode:
        raise SpisonetError(f"{words[0]}: {result.stderr.strip() or f'exit status {result.returncode}'}")
    return result.stdout
