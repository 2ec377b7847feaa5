"""Submit a command to a scheduler: one script for a run, an array of tasks for a table of tomograms.

Every job can be submitted again. A training goes on from its last checkpoint, and a task of an array keeps
the tomograms that it has corrected. The last job enters the results of all tasks into the table.
"""

from __future__ import annotations

import logging
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from spisonet.api.tomogram_output import (
    PREDICTION_FOLDER,
    TOMOGRAM_OUTPUT,
    merge_shards,
    predict_shard,
    prediction_of_training,
    training_folder,
)
from spisonet.commands.registry import program_words
from spisonet.commands.submission_config import MERGE
from spisonet.errors import SpisonetError
from spisonet.io.atomic import prepare_output_folder, write_text
from spisonet.io.config import command_words, is_output
from spisonet.io.installation import find_executable
from spisonet.io.run_record import JOB_FILE
from spisonet.io.schedulers import (
    OPTIONAL,
    SCHEDULERS,
    Scheduler,
    Submission,
    output_file,
    script_text,
    submit,
    template_fields,
)
from spisonet.io.shards import FOLDER as SHARD_FOLDER
from spisonet.io.shards import Shard
from spisonet.io.tomogram_table import TomogramTable, results_table
from spisonet.tomography.prediction_config import PredictConfig
from spisonet.tomography.training_config import CorrectConfig, TomogramTrainingConfig

if TYPE_CHECKING:
    from spisonet.commands.submission_config import SubmissionConfig
    from spisonet.io.config import CommandConfig

log = logging.getLogger("spisonet")

FOLDER = "submission"  # in the output folder
MOST_TASKS = 20  # of an array, unless more are asked for
NUMBER = "NUMBER"  # stands for the number of an earlier job that --dry_run does not know


@dataclass(frozen=True)
class _Step:
    """One job, which starts when the one before it has succeeded, or has ended.

    Attributes
    ----------
    name : str
        Name of its script.
    command : str
        Command for a shell.
    n_tasks : int or None
        Number of tasks of an array; None for a single job.
    needs_success : bool
        Whether the job before it has to succeed.
    """

    name: str
    command: str
    n_tasks: int | None = None
    needs_success: bool = True


def run_part(config: CommandConfig, part: str) -> None:
    """Correct a part of a table, or merge the parts, as ``--shard`` says.

    Raises
    ------
    SpisonetError
        If the command has no parts, or see `predict_shard` and `merge_shards`.
    """
    if not isinstance(config, PredictConfig):
        raise SpisonetError("--shard is an option of predict only.", code="invalid_option", field="shard")
    if part.startswith(MERGE):
        merge_shards(config, Shard.parse(part.replace(MERGE, "1", 1)).count)
    else:
        predict_shard(config, Shard.parse(part))


def run_submission(config: CommandConfig, submission: SubmissionConfig) -> None:
    """Write the scripts of a command and submit them, or print them.

    Raises
    ------
    SpisonetError
        If an input or the scheduler is missing, the template has a field without a value, the output folder
        cannot be written, or the scheduler rejects a script.
    """
    assert submission.submit is not None
    scheduler = SCHEDULERS[submission.submit]
    folder = _output_folder(config)
    _require_inputs(config)
    steps = _steps(config, folder, scheduler, submission.shards)
    template = submission.submit_template or scheduler.template
    values = _values(config, submission, template)
    texts = [_text(step, folder, scheduler, template, values) for step in steps]
    if not submission.dry_run:
        if not scheduler.is_available:
            raise SpisonetError(
                f"{scheduler.program[0]} is not installed on this machine: submit from a node that has it, "
                "or print the scripts with --dry_run.",
                code="invalid_option",
                field="submit",
            )
        prepare_output_folder(folder / FOLDER)
        _forget_parts(config, folder)
    jobs = [_job(step, folder, scheduler) for step in steps]
    if submission.dry_run:
        for index, (job, text) in enumerate(zip(jobs, texts, strict=True)):
            log.info("# %s\n%s", job.script, text)
            log.info("%s\n", replace(job, after=NUMBER if index else None).line)
        return
    for job, text in zip(jobs, texts, strict=True):
        write_text(job.script, text, mode=0o700)
    _submit_in_order(jobs)


def _job(step: _Step, folder: Path, scheduler: Scheduler) -> Submission:
    script = folder / FOLDER / f"{step.name}.sh"
    tasks = None if step.n_tasks is None else f"1-{step.n_tasks}"
    return Submission(scheduler, script, Path.cwd(), tasks, None, step.needs_success)


def _submit_in_order(jobs: list[Submission]) -> None:
    """Submit jobs, each of which waits for the one before it."""
    numbers: list[str] = []
    for job in jobs:
        try:
            numbers.append(submit(replace(job, after=numbers[-1] if numbers else None)))
        except SpisonetError as error:
            if not numbers:
                raise
            raise SpisonetError(
                f"{job.script} was not submitted: {str(error).rstrip('.')}. The jobs before it were; cancel "
                f"them by {job.scheduler.cancel} {' '.join(numbers)}, or submit the others when they have "
                f"ended: {_again(job)}",
                code=error.code,
            ) from error
        log.info("Submitted %s as job %s. To submit it again: %s", job.script, numbers[-1], _again(job))


def _again(job: Submission) -> str:
    """Return the line that submits a job again, without waiting for others."""
    return replace(job, after=None).line


def _steps(config: CommandConfig, folder: Path, scheduler: Scheduler, n_shards: int | None) -> list[_Step]:
    if isinstance(config, PredictConfig):
        return _prediction_steps(config, TomogramTable.read(config.star_file), scheduler, n_shards)
    if isinstance(config, CorrectConfig) or not isinstance(config, TomogramTrainingConfig):
        return [_Step(config.command, _restartable(config, folder))]
    table = TomogramTable.read(config.star_file)
    if not config.with_predict or table.lists_subtomograms:
        return [_Step(config.command, _restartable(config, folder))]
    training = config.model_copy(update={"with_predict": False})
    results = results_table(config.star_file, config.output_star, folder)
    prediction = prediction_of_training(config, folder, results)
    return [
        _Step(config.command, _restartable(training, folder)),
        *_prediction_steps(prediction, table, scheduler, n_shards),
    ]


def _prediction_steps(
    config: PredictConfig, table: TomogramTable, scheduler: Scheduler, n_shards: int | None
) -> list[_Step]:
    n_rows = len(table.chosen(config.tomo_idx))
    count = min(n_rows, n_shards or MOST_TASKS)
    line = shlex.join(_words(config.model_copy(update={"resume": False})))
    return [
        _Step(config.command, f'{line} --shard "{scheduler.task}/{count}"', count),
        _Step(MERGE, f"{line} --shard {MERGE}/{count}", needs_success=False),
    ]


def _restartable(config: CommandConfig, folder: Path) -> str:
    """Return the command for a shell; a repeated start of the same script resumes the run.

    The record of the run is newer than the script if this script has begun the run.
    """
    line = shlex.join(_words(config))
    if getattr(config, "resume", False):
        return line
    record, script = (
        shlex.quote(str(p)) for p in (folder / JOB_FILE, folder / FOLDER / f"{config.command}.sh")
    )
    return f"{line} $([ {record} -nt {script} ] && echo --resume)"


def _words(config: CommandConfig) -> list[str]:
    program, *group = program_words(config)
    return [find_executable(program), *group, *command_words(config)]


def _text(step: _Step, folder: Path, scheduler: Scheduler, template: Path, values: dict[str, str]) -> str:
    task = "" if step.n_tasks is None else f"_{scheduler.task_in_name}"
    output = output_file(scheduler, Path.cwd() / folder / FOLDER, f"{step.name}{task}.out")
    if step.name == MERGE:  # which computes nothing
        values = values | dict.fromkeys(("threads", "cores", "dedicated"), "1") | {"gpus": ""}
    return script_text(template, step.command, output, step.name, values, (*OPTIONAL, "gpus"))


def _values(config: CommandConfig, submission: SubmissionConfig, template: Path) -> dict[str, str]:
    """Return the values of RELION's fields, for one process with several threads, and the number of GPUs."""
    fields = template_fields(template)
    if unknown := submission.values.keys() - set(fields):
        raise SpisonetError(
            f"--submit_options: {template} has no field {', '.join(sorted(unknown))}; its fields are "
            f"{', '.join(fields)}.",
            code="invalid_option",
            field="submit_options",
        )
    n_gpus = _number_of_gpus(config)
    return {
        **dict.fromkeys(("mpinodes", "nodes"), "1"),
        **dict.fromkeys(("threads", "cores", "dedicated"), str(getattr(config, "ncpus", 1))),
        "gpus": str(n_gpus) if n_gpus else "",
        **submission.values,
    }


def _number_of_gpus(config: CommandConfig) -> int:
    device = str(getattr(config, "device", None) or "")
    if device and not device.startswith("cuda"):
        return 0
    text = getattr(config, "gpuID", None)
    return 1 if text is None else len(str(text).split(","))


def _output_folder(config: CommandConfig) -> Path:
    if isinstance(config, CorrectConfig):
        return config.output_dir or TOMOGRAM_OUTPUT
    if isinstance(config, TomogramTrainingConfig):
        return training_folder(config, TomogramTable.read(config.star_file))
    return Path(getattr(config, "output_dir"))  # noqa: B009 - of every command that can be submitted


def _require_inputs(config: CommandConfig) -> None:
    for name, value in config:
        is_input = isinstance(value, Path) and not is_output(name, type(config).model_fields[name])
        if is_input and not value.exists():
            raise SpisonetError(f"{value} does not exist.", code="file_not_found", field=name)


def _forget_parts(config: CommandConfig, folder: Path) -> None:
    """Remove the records of earlier parts, so that a new submission without ``--resume`` begins anew."""
    if not getattr(config, "resume", False):
        prediction = config.output_dir if isinstance(config, PredictConfig) else folder / PREDICTION_FOLDER
        for part in (prediction / SHARD_FOLDER).glob(f"*_of_*/{JOB_FILE}"):
            part.unlink(missing_ok=True)
