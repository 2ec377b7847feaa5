"""Write job templates that RELION's GUI can load."""

from __future__ import annotations

import difflib
import logging
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic_core import PydanticUndefined

from relion_external.job_form import EXTERNAL, FORM_FILE, form_text
from relion_external.jobs.definitions import JOBS
from relion_external.jobs.map_metadata import last_reconstructed_tomograms, last_refined_half1
from relion_external.jobs.run import describe
from spisonet.errors import SpisonetError
from spisonet.io.atomic import prepare_output_folder, write_text
from spisonet.io.paths import real_path
from spisonet.io.processors import available_cores

if TYPE_CHECKING:
    from relion_external.config import InstallJobsConfig, ListJobsConfig
    from relion_external.jobs.job import Job

log = logging.getLogger("spisonet")

FOLDER, SLURM_FILE = "spisonet_jobs", "slurm_gpu.sh"
PROJECT_FILE, RELION31_FILE = "default_pipeline.star", ".gui_externaljob.star"
MAX_THREADS = 16
# RELION replaces XXX...XXX. Further fields of its queue tab can be added as XXXextra1XXX and so on.
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
# For several GPUs, request them in --gres and set the parameter gpuID of the job, for example to 0,1.

XXXcommandXXX
"""


def run_list_jobs(config: ListJobsConfig) -> None:
    """Print the inputs and parameters of every job."""
    log.info("%s", "\n".join(describe(job) for job in JOBS.values()))
    log.info("To install the job templates for RELION's GUI: spisonet relion install-jobs PROJECT")


def run_install_jobs(config: InstallJobsConfig) -> None:
    """Write the job templates of a project.

    Raises
    ------
    SpisonetError
        If the folder is not a RELION project or cannot be written, or `relion31` is not a job.
    """
    require_project(config.project)
    if config.relion31 is not None and config.relion31 not in JOBS:
        nearest = difflib.get_close_matches(config.relion31, JOBS, n=1, cutoff=0.0)[0]
        raise SpisonetError(f"--relion31 {config.relion31} is not a job; did you mean {nearest}?")
    folder = config.project / FOLDER
    prepare_output_folder(folder)
    script = real_path(folder / SLURM_FILE)
    write_text(script, SLURM, mode=0o755)
    half1, tomograms = last_refined_half1(config.project), last_reconstructed_tomograms(config.project)
    for job in JOBS.values():
        prepare_output_folder(folder / job.name)
        text = job_star(job, script, half1, tomograms)
        write_text(folder / job.name / FORM_FILE, text)
        if job.name == config.relion31:
            write_text(config.project / RELION31_FILE, text)
    log.info("Written: %s", ", ".join(f"{folder / name / FORM_FILE}" for name in JOBS))
    log.info(
        "RELION 4 and 5: Jobs > Load job.star. Fill in the empty fields; auto: from the input, or default."
    )
    if config.relion31 is not None:
        log.info("RELION 3.1: External tab, Jobs > Load job settings shows %s.", config.relion31)
    else:
        log.info(
            "RELION 3.1: repeat this with --relion31 %s, then Jobs > Load job settings.", next(iter(JOBS))
        )


def require_project(project: Path) -> None:
    """Check that a folder is a RELION project.

    Raises
    ------
    SpisonetError
        If it has no pipeline file.
    """
    if not (project / PROJECT_FILE).is_file():
        raise SpisonetError(
            f"{real_path(project)} is not a RELION project: it has no {PROJECT_FILE}. "
            "Start RELION there first."
        )


def job_star(job: Job, submission_script: Path, half1: Path | None, tomograms: Path | None) -> str:
    """Return the text of a ``job.star`` that RELION 3.1, 4 and 5 load; see `job_options`."""
    return form_text(EXTERNAL, job_options(job, submission_script, half1, tomograms))


def job_options(
    job: Job, submission_script: Path, half1: Path | None, tomograms: Path | None
) -> dict[str, str]:
    """Return the options of the form of an External job.

    Parameters
    ----------
    job : Job
        Job to run.
    submission_script : Path
        Template for the queue.
    half1 : Path or None
        Half map 1 of the last refinement of the project.
    tomograms : Path or None
        Table of its last reconstructed tomograms.
    """
    options = {
        "fn_exe": str(_executable(job)),
        "in_3dref": str(half1) if half1 is not None and job.after_refinement else "",
        "in_mic": str(tomograms) if tomograms is not None and "in_mics" in job.inputs else "",
        **dict.fromkeys(("in_mask", "in_part", "in_mov", "in_coords"), ""),
    }
    for number, name in enumerate(job.shown_parameters, start=1):
        options |= {f"param{number}_label": name, f"param{number}_value": _default(job, name)}
    return options | {
        "nr_threads": str(min(available_cores(), MAX_THREADS)),
        "other_args": "",
        "do_queue": "No",
        "min_dedicated": "1",
        "qsub": "sbatch",
        "qsubscript": str(submission_script),
        "queuename": "gpu",
    }


def _default(job: Job, name: str) -> str:
    if name in job.automatic_parameters:
        return "auto"
    value = job.config.model_fields[job.aliases.get(name, name)].default
    if value is PydanticUndefined:
        return ""
    if value is None:
        return "auto"
    return ("No", "Yes")[value] if isinstance(value, bool) else str(value)


def _executable(job: Job) -> Path:
    """Return the console script of this installation; it may not be on the PATH of RELION."""
    beside = Path(sys.executable).parent / job.executable
    found = beside if beside.is_file() else shutil.which(job.executable)
    if found is None:
        raise SpisonetError(f"{job.executable} is not installed; install spisonet with pip.")
    path = Path(found).absolute()
    if " " in str(path):
        raise SpisonetError(
            f"RELION cannot run {path}, which contains a space; install spisonet in another folder."
        )
    return path
