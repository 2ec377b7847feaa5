"""Another machine: no privileges, LANG=C, no HOME, a read-only checkout, a path that is not ASCII."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile.inputs import write_inputs

ROOT = Path(__file__).parents[2]
SCRIPT = "from spisonet_launcher import {function}\n\n{function}()\n"
# Root without capabilities is bound by permissions as any other user.
WITHOUT_CAPABILITIES = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a read-only copy of the packages, scripts, and inputs."""
    place = tmp_path_factory.mktemp("other") / "a folder é"
    packages, scripts, project = place / "site-packages", place / "bin", place / "project"
    for name in ("spisonet", "relion_external"):
        shutil.copytree(ROOT / name, packages / name)
    shutil.copy2(ROOT / "spisonet_launcher.py", packages)
    scripts.mkdir()
    functions = {
        "spisonet.py": "main",
        "isonet.py": "isonet",
        "spisonet-relion-reconstruct": "relion_reconstruct",
        "spisonet-job-whitening": "relion_job",
    }
    for name, function in functions.items():
        (scripts / name).write_text(SCRIPT.format(function=function))
    project.mkdir()
    write_inputs(project)
    for folder, _, files in os.walk(packages):
        for file in files:
            os.chmod(os.path.join(folder, file), 0o444)
        os.chmod(folder, 0o555)
    yield place
    for folder, _, _ in os.walk(packages):
        os.chmod(folder, 0o755)


def run(machine: Path, program: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    prefix = WITHOUT_CAPABILITIES if os.geteuid() == 0 and shutil.which("setpriv") else []
    return subprocess.run(
        [*prefix, sys.executable, str(machine / "bin" / program), *words],
        cwd=machine / "project",
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(machine / "site-packages"),
            "LANG": "C",
            "LC_ALL": "C",
            "PYTHONUTF8": "0",
            "PYTHONCOERCECLOCALE": "0",
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        timeout=600,
        check=False,
    )


@pytest.mark.parametrize(
    ("program", "line", "status"),
    [
        ("spisonet.py", "fsc3d half1.mrc half2.mrc --o é/fsc.mrc --ncpus 1", 0),
        ("isonet.py", "prepare_star --even even --odd odd --tilt_folder tilts --output_star é.star", 0),
        ("spisonet-relion-reconstruct", "--check Refine3D/job007", 1),
        ("spisonet-job-whitening", "--o External/é/ --in_3dref half1.mrc --high_res 6 --low_res 20", 0),
        ("spisonet.py", "whitening half1.mrc --o ../site-packages/x.mrc", 1),
    ],
)
def test_programs_need_nothing_but_a_folder_to_write_to(machine, program, line, status):
    (machine / "project/External/é").mkdir(parents=True, exist_ok=True)
    done = run(machine, program, *line.split())
    assert b"Traceback" not in done.stderr + done.stdout
    assert done.returncode == status, done.stderr
    if program == "spisonet-job-whitening":
        assert (machine / "project/External/é/RELION_JOB_EXIT_SUCCESS").is_file()
