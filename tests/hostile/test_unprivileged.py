"""Another machine: another user, LANG=C, no HOME, a read-only checkout, a path that is not ASCII."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.hostile.inputs import write_inputs

ROOT = Path(__file__).parents[2]
SCRIPT = "from spisonet_launcher import {function}\n\n{function}()\n"
NOBODY = 65534
# Root without capabilities is bound by permissions as any other user.
WITHOUT_CAPABILITIES = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
AS_NOBODY = [*WITHOUT_CAPABILITIES, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


@cache
def prefix() -> list[str]:
    """Return the words before a command line that is to run without privileges."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        return []
    # The interpreter may be in a folder that only root may search; setpriv itself still starts what is there.
    words = [*AS_NOBODY, "sh", "-c", '"$0" -c ""', sys.executable]
    done = subprocess.run(words, cwd="/", capture_output=True, check=False)
    return WITHOUT_CAPABILITIES if done.returncode else AS_NOBODY


@pytest.fixture(scope="module")
def machine() -> Iterator[Path]:
    """A folder with a read-only copy of the packages, scripts, and inputs."""
    folder = Path(tempfile.mkdtemp())  # folders of pytest can be searched by their owner alone
    folder.chmod(0o755)
    place = folder / "a folder é"
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
    (project / "External/é").mkdir(parents=True)
    write_inputs(project)
    for name, _, files in os.walk(packages):
        for file in files:
            os.chmod(os.path.join(name, file), 0o444)
        os.chmod(name, 0o555)
    if prefix() == AS_NOBODY:
        for name, _, files in os.walk(project):
            for file in (name, *(os.path.join(name, file) for file in files)):
                os.chown(file, NOBODY, NOBODY)
    yield place
    for name, _, _ in os.walk(packages):
        os.chmod(name, 0o755)
    shutil.rmtree(folder)


def run(machine: Path, program: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*prefix(), sys.executable, str(machine / "bin" / program), *words],
        cwd=machine / "project",
        env={
            **{name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ},
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
    done = run(machine, program, *line.split())
    assert b"Traceback" not in done.stderr + done.stdout
    assert done.returncode == status, done.stderr
    if program == "spisonet-job-whitening":
        assert (machine / "project/External/é/RELION_JOB_EXIT_SUCCESS").is_file()
