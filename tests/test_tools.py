"""The script that builds RELION 5, with a fake cmake."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "tools" / "build_relion5.sh"
FAKE_CMAKE = """\
#!/bin/sh
echo "$*" >>{log}
[ "$1" = --build ] || exit 0
bin="$2/bin"
mkdir -p "$bin"
while [ "$1" != --target ]; do shift; done
shift
for target in "$@"; do
    for name in "relion_$target" "relion_tomo_$target"; do echo >"$bin/$name"; chmod +x "$bin/$name"; done
done
"""


@pytest.fixture
def source(tmp_path) -> Path:
    """A folder that looks like RELION's source."""
    source = tmp_path / "relion source"
    tomogram_programs = source / "src" / "jaz" / "tomography" / "apps"
    tomogram_programs.mkdir(parents=True)
    (tomogram_programs / "subtomo.cpp").touch()
    (source / "src" / "macros.h").write_text('#define RELION_SHORT_VERSION "5.0.1"\n')
    return source


@pytest.fixture
def programs(tmp_path) -> Path:
    """Programs that the script calls, and a log of cmake's arguments."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sed", "mkdir", "nproc", "chmod"):
        (folder / name).symlink_to(shutil.which(name) or name)
    for name in ("make", "mpicxx", "c++", "python3"):
        (folder / name).write_text("#!/bin/sh\n")
    (folder / "cmake").write_text(FAKE_CMAKE.format(log=tmp_path / "log"))
    for path in folder.iterdir():
        if not path.is_symlink():
            path.chmod(0o755)
    return folder


def build(programs: Path, *words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(programs), "HOME": str(programs.parent / "home")} | variables
    return subprocess.run(
        [shutil.which("sh") or "sh", str(SCRIPT), *map(str, words)],
        env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_programs_are_built_once(source, programs, tmp_path):
    first, second = (build(programs, source, tmp_path / "cache") for _ in range(2))
    expected = tmp_path / "cache" / "5.0.1" / "bin"
    assert [first.returncode, second.returncode] == [0, 0], first.stderr
    assert first.stdout == second.stdout == f"{expected}\n"
    assert os.access(expected / "relion_refine_mpi", os.X_OK)
    assert len((tmp_path / "log").read_text().splitlines()) == 2  # configured and built once
    (expected / "relion_tomo_subtomo").unlink()
    assert build(programs, source, tmp_path / "cache").returncode == 0
    assert (tmp_path / "log").read_text().splitlines()[-1].endswith("--target subtomo")
    assert build(programs, source).stdout == f"{tmp_path}/home/.cache/spisonet/relion5/5.0.1/bin\n"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("no source", "give the folder of RELION's source"),
        ("another folder", "is not a checkout of RELION"),
        ("version 4", "is version 4.0.1 of RELION; check out the tag 5.0.1"),
        ("no cmake", "cmake is not installed (Debian: apt install cmake"),
        ("no mpicxx", "mpicxx is not installed"),
        ("no headers", "the header fftw3.h is not installed (Debian: apt install libfftw3-dev"),
    ],
)
def test_what_is_missing_is_said_in_a_sentence(source, programs, tmp_path, fault, message):
    words: list[Path] = [source, tmp_path / "cache"]
    if fault == "no source":
        words = []
    elif fault == "another folder":
        words = [tmp_path]
    elif fault == "version 4":
        (source / "src" / "macros.h").write_text('#define RELION_SHORT_VERSION "4.0.1"\n')
    elif fault == "no headers":
        (programs / "c++").write_text("#!/bin/sh\nexit 1\n")
    else:
        (programs / fault.split()[1]).unlink()
    done = build(programs, *words)
    assert done.returncode == 1
    assert done.stdout == ""
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "cache").exists()
