"""The External jobs of RELION as other programs list them: names, titles and executables."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from relion_external.jobs.job import EXECUTABLE_PREFIX

if TYPE_CHECKING:
    from relion_external.jobs.job import Job

# Category in the job list, and name of the job there.
CATEGORIES = {
    "fsc3d": ("map_analysis", "3D FSC of half maps"),
    "diagnose": ("map_analysis", "Diagnosis of anisotropy and misalignment"),
    "anisotropy": ("map_correction", "Anisotropy correction"),
    "whitening": ("map_utilities", "Whitening"),
    "angular-whiten": ("map_utilities", "Angular whitening"),
    "combine-map": ("map_utilities", "Combined resolutions of two maps"),
    "fsd3d": ("map_analysis", "Fourier sampling density of particles"),
    "rescue": ("map_correction", "Correction of drifted poses"),
    "report": ("map_analysis", "Report of an anisotropy correction"),
    "deconv": ("tomogram_correction", "CTF deconvolution of tomograms"),
    "mask": ("tomogram_correction", "Masks of tomograms"),
    "refine": ("tomogram_correction", "Training for the missing wedge"),
    "predict": ("tomogram_correction", "Missing wedge correction"),
    "correct": ("tomogram_correction", "Missing wedge correction in one step"),
}


def program_path(job: Job) -> str:
    """Return the executable of a job in this installation; its name if it is not there."""
    beside = Path(sys.executable).parent / job.executable
    return str(beside) if beside.is_file() else shutil.which(job.executable) or job.executable


def class_name(job: Job) -> str:
    """Return the name of the class of a job, such as ``SpisonetFsc3d``."""
    words = (program_name(job), *job.name.split("-"))
    return "".join(word.capitalize() for word in words)


def program_name(job: Job) -> str:
    """Return the program whose command a job runs: ``spisonet`` or ``isonet``."""
    return "spisonet" if job.prefix == EXECUTABLE_PREFIX else "isonet"
