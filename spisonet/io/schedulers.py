"""Submit jobs to Slurm, Grid Engine and LSF by a script made from a template with RELION's placeholders."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.io.atomic import write_text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

PLACEHOLDER = re.compile(r"XXX(\w+?)XXX")
COMMAND = "command"
FILLED_IN = (COMMAND, "outfile", "errfile", "name")  # by this program; the form shows the others as fields
# Directives that name one of these are left out if it has no value: the scheduler has a default.
OPTIONAL = ("queue", "time", "memory")
DIRECTIVES = ("#SBATCH", "#$", "#BSUB")
QUOTING = "#\\\"'"  # characters that end or change a word of a directive
TEMPLATE_FOLDER = Path(__file__).with_name("submission_templates")
TIMEOUT_SECONDS = 30
SECONDS_BETWEEN_QUERIES = 5.0


@dataclass(frozen=True)
class Scheduler:
    """How a scheduler is used.

    Attributes
    ----------
    name : str
        Name of the scheduler, and of its template.
    program : tuple of str
        Words that submit a script.
    reads_script : bool
        Whether the script is given as the standard input instead of its name.
    number : Pattern
        Finds the number of the job in what the program prints.
    folder, array, after_success, after_end : str
        Options: working folder, array of ``{tasks}``, start after job ``{number}`` has succeeded, or ended.
    task, task_in_name : str
        Number of the task of an array in the script, and in the name of its output file.
    cancel : str
        Program that cancels a job.
    special : str
        Characters that it replaces in the name of an output file, or that end the name.
    """

    name: str
    program: tuple[str, ...]
    reads_script: bool
    number: re.Pattern[str]
    folder: str
    array: str
    after_success: str
    after_end: str
    task: str
    task_in_name: str
    cancel: str
    special: str

    @property
    def template(self) -> Path:
        """Template that is used unless another is given."""
        return TEMPLATE_FOLDER / f"{self.name}.sh"

    @property
    def is_available(self) -> bool:
        """Whether the program that submits is installed on this machine."""
        return shutil.which(self.program[0]) is not None


# sbatch(1) of Slurm 20.02 and later; qsub(1) of Grid Engine 6.2 and later; bsub of LSF 9.1.3 and later.
# A job whose condition can no longer be met is removed, because those after it would wait forever.
SLURM = Scheduler(
    name="slurm",
    program=("sbatch", "--parsable"),
    reads_script=False,
    number=re.compile(r"\s*(\d+)(;\S*)?\s*"),  # the name of the cluster may follow
    folder="--chdir={folder}",
    array="--array={tasks}",
    after_success="--dependency=afterok:{number} --kill-on-invalid-dep=yes",
    after_end="--dependency=afterany:{number}",
    task="$SLURM_ARRAY_TASK_ID",
    task_in_name="%a",
    cancel="scancel",
    special=f"%{QUOTING}",
)
GRID_ENGINE = Scheduler(
    name="sge",
    program=("qsub", "-terse"),
    reads_script=False,
    number=re.compile(r"\s*(\d+)(\.\d+-\d+:\d+)?\s*"),  # of an array, its tasks follow
    folder="-wd {folder}",
    array="-t {tasks}",
    after_success="-hold_jid {number}",  # whether it succeeds or not
    after_end="-hold_jid {number}",
    task="$SGE_TASK_ID",
    task_in_name="$TASK_ID",
    cancel="qdel",
    special=f"$:,{QUOTING}",  # a host may stand before the colon, and another file after the comma
)
LSF = Scheduler(
    name="lsf",
    program=("bsub",),
    reads_script=True,
    number=re.compile(r"(?:.*\n)*?Job <(\d+)> is submitted(?:.*\n?)*"),
    folder="-cwd {folder}",
    array="-J {name}[{tasks}]",
    after_success="-w done({number}) -ti",
    after_end="-w ended({number})",
    task="$LSB_JOBINDEX",
    task_in_name="%I",
    cancel="bkill",
    special=f"%{QUOTING}",
)
SCHEDULERS = {scheduler.name: scheduler for scheduler in (SLURM, GRID_ENGINE, LSF)}


@dataclass(frozen=True)
class Submission:
    """A script, and how it is submitted.

    Attributes
    ----------
    scheduler : Scheduler
        The scheduler.
    script : Path
        File of the script.
    folder : Path
        Working folder of the job.
    tasks : str or None
        Tasks of an array, such as ``1-20``; None for a single job.
    after : str or None
        Number of the job after which this one starts.
    needs_success : bool
        Whether that job has to succeed.
    """

    scheduler: Scheduler
    script: Path
    folder: Path
    tasks: str | None = None
    after: str | None = None
    needs_success: bool = True

    @property
    def words(self) -> list[str]:
        """The words of the command that submits the script."""
        scheduler = self.scheduler
        options = [scheduler.folder.format(folder=shlex.quote(str(self.folder)))]
        if self.tasks is not None:
            options.append(scheduler.array.format(tasks=self.tasks, name=self.script.stem))
        if self.after is not None:
            option = scheduler.after_success if self.needs_success else scheduler.after_end
            options.append(option.format(number=self.after))
        words = [*scheduler.program, *(word for option in options for word in shlex.split(option))]
        return words if scheduler.reads_script else [*words, str(self.script)]

    @property
    def line(self) -> str:
        """The command for a shell."""
        source = f" < {shlex.quote(str(self.script))}" if self.scheduler.reads_script else ""
        return shlex.join(self.words) + source


def output_file(scheduler: Scheduler, folder: Path, name: str) -> str:
    """Return the file for the output of a job as one word of a directive.

    Parameters
    ----------
    scheduler : Scheduler
        The scheduler.
    folder : Path
        Its folder.
    name : str
        Its name, with the number of the task if it has one.

    Raises
    ------
    SpisonetError
        If the scheduler does not take the name of the folder literally.
    """
    text = str(folder / name)
    if not str(folder).isprintable() or not set(scheduler.special).isdisjoint(str(folder)):
        raise SpisonetError(
            f"{folder} cannot be used with {scheduler.program[0]}: its name contains a character that cannot "
            f"be printed, or that is replaced there ({' '.join(scheduler.special)}); choose another folder.",
            code="invalid_option",
        )
    return f'"{text}"' if " " in text else text


def template_fields(template: Path) -> list[str]:
    """Return the names in ``XXXnameXXX`` that the user has to fill in.

    Raises
    ------
    SpisonetError
        If the template cannot be read or has no ``XXXcommandXXX``.
    """
    names = dict.fromkeys(PLACEHOLDER.findall(_template_text(template)))
    return [name for name in names if name not in FILLED_IN]


def _template_text(template: Path) -> str:
    try:
        text = template.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpisonetError(f"{template} cannot be read.") from error
    if f"XXX{COMMAND}XXX" not in text:
        raise SpisonetError(f"{template} lacks XXXcommandXXX, the placeholder for the command to run.")
    return text


def script_text(
    template: Path, command: str, output: str, name: str, values: Mapping[str, str], optional: Collection[str]
) -> str:
    """Return a submission script.

    Parameters
    ----------
    template : Path
        File with placeholders.
    command : str
        Command for a shell.
    output : str
        File for its output, see `output_file`.
    name : str
        Name of the job.
    values : mapping
        Values of the fields that `template_fields` returns.
    optional : collection of str
        Fields whose directives are left out if they have no value.

    Raises
    ------
    SpisonetError
        If a value is missing or has several lines, or the template is invalid.
    """
    text = _template_text(template)
    own = {COMMAND: command, "outfile": output, "errfile": output, "name": name}
    given = {field: value.strip() for field, value in values.items()} | own
    for field in template_fields(template):
        value = given.get(field, "")
        if not value.isprintable() or not (value or field in optional):
            raise SpisonetError(
                f"{template}: the field {field} has no value or one of several lines; enter one line, on the "
                f"command line by --submit_options {field}=VALUE.",
                field=field,
            )
    lines = text.splitlines(keepends=True)
    kept = [line for line in lines if not (line.startswith(DIRECTIVES) and _lacks(line, given, optional))]
    return PLACEHOLDER.sub(lambda found: given.get(found[1], ""), "".join(kept))


def _lacks(line: str, values: Mapping[str, str], optional: Collection[str]) -> bool:
    return any(field in optional and not values.get(field) for field in PLACEHOLDER.findall(line))


def write_script(
    template: Path, script: Path, arguments: list[str], output: Path, values: dict[str, str]
) -> None:
    """Write a script for Slurm, named after the folder of the script; see `script_text`."""
    file = output_file(SLURM, output.parent, output.name)
    text = script_text(template, shlex.join(arguments), file, script.parent.name, values, ())
    write_text(script, text, mode=0o700)


def submit(submission: Submission) -> str:
    """Submit a script; return the number of the job.

    Raises
    ------
    SpisonetError
        If the scheduler is not installed or rejects the script.
    """
    scheduler = submission.scheduler
    text = submission.script.read_text(encoding="utf-8") if scheduler.reads_script else ""
    printed = _run(*submission.words, text=text)
    found = scheduler.number.fullmatch(printed)
    if found is None:
        raise SpisonetError(f"{scheduler.program[0]} printed {printed.strip()!r} instead of a job number.")
    return found[1]


def is_listed(number: str) -> bool:
    """Tell whether Slurm lists a job as waiting or running; also true while the queue cannot be read."""
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
        _run("squeue", "--noheader", "--user", str(os.getuid()), "--format", "%A")
    except SpisonetError:
        return False
    return True


def cancel(number: str) -> None:
    """Cancel a job of Slurm.

    Raises
    ------
    SpisonetError
        If ``scancel`` fails.
    """
    _run(SLURM.cancel, number)


def _run(*words: str, text: str = "") -> str:
    try:
        result = subprocess.run(
            words,
            input=text,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise SpisonetError(
            f"{words[0]} is not installed on this machine: run this on a node that submits jobs."
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SpisonetError(f"{words[0]} cannot be run: {error}.") from error
    if result.returncode:
        raise SpisonetError(f"{words[0]}: {result.stderr.strip() or f'exit status {result.returncode}'}")
    return result.stdout
