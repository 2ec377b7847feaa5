"""Put the jobs where RELION's GUI can load them."""

from __future__ import annotations

import difflib
import logging
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic_core import PydanticUndefined

from relion_external.jobs.definitions import JOBS, Job
from relion_external.jobs.project import finished_halves
from relion_external.jobs.run import describe
from relion_external.process import available_cores
from spisonet.errors import SpisonetError
from spisonet.io.atomic import atomic_path, prepare_output_folder

if TYPE_CHECKING:
    from relion_external.config import InstallJobsConfig, ListJobsConfig

log = logging.getLogger("spisonet")

FOLDER, SLURM_FILE = "spisonet_jobs", "slurm_gpu.sh"
PROJECT_FILE, RELION31_FILE = "default_pipeline.star", ".gui_externaljob.star"
MOST_THREADS = 16
# RELION replaces the XXX...XXX. Its queue tab's further fields can be added as XXXextra1XXX and so on.
SLURM = """\
#!/bin/bash
#SBATCH --job-name=spisonet
#SBATCH --partition=XXXqueueXXX
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=XXXthreadsXXX
#SBATCH --gres=gpu:1
#SBATCH --output=XXXoutfileXXX
#SBATCH --error=XXXerrfileXXX
#SBATCH --open-mode=append
# For several GPUs, ask for more in --gres and give the job the parameter gpuID, as in 0,1.

XXXcommandXXX
"""
JOB_HEADER = """\
data_job

_rlnJobType 99
_rlnJobTypeLabel relion.external
_rlnJobIsContinue 0
_rlnJobIsTomo 0

data_joboptions_values

loop_
_rlnJobOptionVariable #1
_rlnJobOptionValue #2
"""


def run_list_jobs(config: ListJobsConfig) -> None:
    """Print what every job takes."""
    log.info("%s", "\n".join(describe(job) for job in JOBS.values()))
    log.info("To have them ready in RELION's GUI: spisonet relion install-jobs PROJECT")


def run_install_jobs(config: InstallJobsConfig) -> None:
    """Write the job files of a project.

    Raises
    ------
    SpisonetError
        If the folder is no RELION project or cannot be written, or `relion31` is no job.
    """
    if not (config.project / PROJECT_FILE).is_file():
        raise SpisonetError(
            f"{config.project.resolve()} is no RELION project: it holds no {PROJECT_FILE}. "
            "Start RELION there first."
        )
    if config.relion31 is not None and config.relion31 not in JOBS:
        nearest = difflib.get_close_matches(config.relion31, JOBS, n=1, cutoff=0.0)[0]
        raise SpisonetError(f"--relion31 {config.relion31} is no job; did you mean {nearest}?")
    folder = config.project / FOLDER
    prepare_output_folder(folder)
    script = (folder / SLURM_FILE).resolve()
    _write(script, SLURM)
    script.chmod(0o755)
    halves = finished_halves(config.project)
    for job in JOBS.values():
        prepare_output_folder(folder / job.name)
        text = job_star(job, script, halves)
        _write(folder / job.name / "job.star", text)
        if job.name == config.relion31:
            _write(config.project / RELION31_FILE, text)
    log.info("Written: %s", ", ".join(f"{folder / name / 'job.star'}" for name in JOBS))
    log.info("RELION 4 and 5: Jobs > Load job.star. Fill in what is empty; auto is found or the default.")
    if config.relion31 is not None:
        log.info("RELION 3.1: External tab, Jobs > Load job settings shows %s.", config.relion31)
    else:
        log.info(
            "RELION 3.1: repeat this with --relion31 %s, then Jobs > Load job settings.", next(iter(JOBS))
        )


def job_star(job: Job, submission_script: Path, half1: Path | None) -> str:
    """Return the text of a ``job.star`` that RELION 3.1, 4 and 5 load.

    Parameters
    ----------
    job : Job
        What it is to run.
    submission_script : Path
        Template for the queue.
    half1 : Path or None
        Half map 1 of the project's last refinement.
    """
    options = {
        "fn_exe": str(_executable(job)),
        "in_3dref": str(half1) if half1 is not None and job.after_refinement else "",
        **dict.fromkeys(("in_mask", "in_part", "in_mic", "in_mov", "in_coords"), ""),
    }
    for number, name in enumerate(job.offered, start=1):
        options |= {f"param{number}_label": name, f"param{number}_value": _default(job, name)}
    options |= {
        "nr_threads": str(min(available_cores(), MOST_THREADS)),
        "other_args": "",
        "do_queue": "No",
        "min_dedicated": "1",
        "qsub": "sbatch",
        "qsubscript": str(submission_script),
        "queuename": "gpu",
    }
    rows = [f"{name} {_quoted(value)}" for name, value in options.items()]
    return JOB_HEADER + "\n".join(rows) + "\n \n"


def _default(job: Job, name: str) -> str:
    if name in job.automatic:
        return "auto"
    value = job.config.model_fields[job.aliases.get(name, name)].default
    if value is PydanticUndefined:
        return ""
    if value is None:
        return "auto"
    return ("No", "Yes")[value] if isinstance(value, bool) else str(value)


def _executable(job: Job) -> Path:
    """Find the console script of this installation; RELION's shell may not have it on its path."""
    beside = Path(sys.executable).parent / job.executable
    found = beside if beside.is_file() else shutil.which(job.executable)
    if found is None:
        raise SpisonetError(f"{job.executable} is not installed; install spisonet with pip.")
    path = Path(found).absolute()
    if " " in str(path):
        raise SpisonetError(f"RELION cannot run {path}: install spisonet in a folder without spaces.")
    return path


def _quoted(value: str) -> str:
    return f'"{value}"' if not value or " " in value else value


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
