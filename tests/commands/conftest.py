"""A network that is trained once for the tests of commands that need one."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest

from spisonet.io.atomic import write_json
from spisonet.io.run_record import JOB_FILE, read_job_record
from tests.tomography.isonet import QUICK, run
from tests.tomography.simulation import write_halves


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder with even and odd tomograms a and b, and a network trained on them."""
    folder = tmp_path_factory.mktemp("trained")
    with contextlib.chdir(folder):
        for seed, name in enumerate("ab"):
            write_halves(folder, name, shape=(24, 40, 40), n=5, seed=seed)
        run("prepare_star --even even --odd odd --pixel_size 10 --defocus 30000")
        run(f"refine tomograms.star {QUICK} --CTF_mode phase_only --with_predict False --save_interval 1")
    return folder


@pytest.fixture
def trained(trained_once: Path, project: Path) -> Path:
    """A copy of the project with a trained network, as the working directory."""
    shutil.copytree(trained_once, project, dirs_exist_ok=True)
    # The original still exists: without this, its inputs would be those of the run to resume.
    record = read_job_record(project / "isonet_maps")
    write_json(project / "isonet_maps" / JOB_FILE, record | {"working_directory": str(project)})
    return project
