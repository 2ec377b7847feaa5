"""Submit jobs to SLURM by a template of the site, in the manner of RELION's."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import time
from functools import lru_cache
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError

if TYPE_CHECKING:
    from pathlib import Path

PLACEHOLDER = re.compile(r"XXX(\w+?)XXX")
COMMAND = "command"
FILLED = (COMMAND, "outfile", "errfile", "name")  # by this program; the user is asked for the others
SECONDS_FOR_A_PROGRAM = 30
SECONDS_TO_BELIEVE = 5.0  # what squeue said
UNKNOWN_JOB = "Invalid job id"


def template_fields(template: Path) -> list[str]:
    """Return the names in ``XXXnameXXX`` that a template leaves to the user.

    Raises
    ------
    SpisonetError
        If it cannot be read, or does not say where the command goes.
    """
    try:
        names = dict.fromkeys(PLACEHOLDER.findall(template.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise SpisonetError(f"{template} cannot be read.") from error
    if COMMAND not in names:
        raise SpisonetError(f"{template} has no XXXcommandXXX: it does not say where the command goes.")
    return [name for name in names if name not in FILLED]


def write_script(
    template: Path, script: Path, arguments: list[str], output: Path, values: dict[str, str]
) -> None:
    """Fill in a template.

    Parameters
    ----------
    template, script : Path
        What to read and what to write.
    arguments : list of str
        Words of the command.
    output : Path
        File for what the command prints.
    values : dict
        The user's answers, by the names of `template_fields`.

    Raises
    ------
    SpisonetError
        If an answer is missing or has several lines, or a file cannot be read or written.
    """
    for name in template_fields(template):
        value = values.get(name, "").strip()
        if not value or not value.isprintable():
            raise SpisonetError(f"{template} asks for {name}: give one line.")
    filled = values | {
        COMMAND: shlex.join(arguments),
        "outfile": str(output),
        "errfile": str(output),
        "name": script.parent.name,
    }
    text = PLACEHOLDER.sub(lambda found: filled[found[1]].strip(), template.read_text(encoding="utf-8"))
    script.write_text(text, encoding="utf-8")
    script.chmod(0o700)


def is_available() -> bool:
    """Tell whether SLURM is on this machine."""
    return shutil.which("sbatch") is not None


def submit(script: Path) -> str:
    """Submit a script; return the number of the job.

    Raises
    ------
    SpisonetError
        If SLURM refuses.
    """
    printed = _ask("sbatch", "--parsable", str(script))
    number = printed.split(";")[0].strip()  # the cluster's name may follow
    if not number.isdecimal():
        raise SpisonetError(f"sbatch answered {printed.strip()!r}.")
    return number


def is_listed(number: str) -> bool:
    """Tell whether a job waits or runs; a queue that does not answer is believed to hold it."""
    return _is_listed(number, int(time.monotonic() / SECONDS_TO_BELIEVE))


@lru_cache(maxsize=256)
def _is_listed(number: str, _period: int) -> bool:
    try:
        return bool(_ask("squeue", "--noheader", "--jobs", number, "--format", "%T").strip())
    except SpisonetError as error:
        return UNKNOWN_JOB not in str(error)


def cancel(number: str) -> None:
    """End a job.

    Raises
    ------
    SpisonetError
        If SLURM refuses.
    """
    _ask("scancel", number)


def _ask(*words: str) -> str:
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=SECONDS_FOR_A_PROGRAM, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SpisonetError(f"{words[0]} cannot be run: {error}.") from error
    if done.returncode:
        raise SpisonetError(f"{words[0]}: {done.stderr.strip() or f'exit status {done.returncode}'}")
    return done.stdout
