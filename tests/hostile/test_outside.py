"""What the system, the environment and others' files may do to a program, as a user would see it."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from spisonet.io.mrc import Volume, write_volume
from tests.hostile.sandbox import Sandbox

SCRIPTS = Path(sys.executable).parent
WHITENING = ("whitening", "half.mrc", "--high_res", "6", "--low_res", "16", "--o")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox")) as sandbox:
        yield sandbox


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a map."""
    place = tmp_path / "project"
    place.mkdir()
    write_map(place / "half.mrc")
    return place


def write_map(path: Path) -> None:
    densities = np.random.default_rng(0).normal(size=(16,) * 3).astype(np.float32)
    write_volume(path, Volume(densities, 2.0))


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as place:
        place.bind(os.path.relpath(path))


def make_device(path: Path) -> Path:
    """Return a null device: one of our own for root, who could destroy that of the machine."""
    if os.geteuid() != 0:
        return Path(os.devnull)
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.stat(os.devnull).st_rdev)
    except OSError:
        pytest.skip("needs the permission to make a device")
    return path


# Outputs onto what is no regular file.


@pytest.mark.parametrize(
    "make",
    [
        os.mkfifo,
        Path.mkdir,
        make_socket,
        lambda path: path.symlink_to(make_device(path.with_name("device"))),
        lambda path: path.symlink_to(path.name),
    ],
    ids=["pipe", "folder", "socket", "link to a device", "link to itself"],
)
def test_only_regular_files_are_replaced(sandbox, folder, monkeypatch, make):
    monkeypatch.chdir(folder)
    make(folder / "out.mrc")
    outcome = sandbox.run(folder, "spisonet.py", *WHITENING, "out.mrc")
    assert (outcome.status, outcome.fault) == (1, "")
    assert "out.mrc" in outcome.output


def test_devices_survive(sandbox, folder):
    device = make_device(folder / "device")
    outcome = sandbox.run(folder, "spisonet.py", *WHITENING, device)
    assert (outcome.status, outcome.fault) == (1, "")
    assert device.is_char_device()


def test_links_to_outputs_are_followed(sandbox, folder):
    (folder / "elsewhere").mkdir()
    (folder / "out.mrc").symlink_to("elsewhere/real.mrc")
    assert sandbox.run(folder, "spisonet.py", *WHITENING, "out.mrc").status == 0
    assert (folder / "out.mrc").is_symlink()
    assert (folder / "elsewhere/real.mrc").is_file()


@pytest.mark.parametrize("name", ["run.log", "progress.jsonl", "job.json"])
def test_pipes_in_the_output_folder_are_not_written_to(sandbox, folder, name):
    (folder / "out").mkdir()
    os.mkfifo(folder / "out" / name)
    words = "reconstruct half.mrc half2.mrc --output_dir out --method deconvolve --device cpu --ncpus 1"
    data = np.random.default_rng(1).normal(size=(16,) * 3).astype(np.float32)
    write_volume(folder / "half2.mrc", Volume(data, 2.0))
    outcome = sandbox.run(folder, "spisonet.py", *words.split())
    assert (outcome.status, outcome.fault) == (1, "")


# The file system's own errors.


@pytest.mark.parametrize(
    "words",
    [
        ("whitening", "a" * 300, "--o", "out.mrc"),
        (*WHITENING, "a" * 300 + ".mrc"),
        (*WHITENING, "a/" * 3000 + "out.mrc"),
        ("whitening", "", "--o", "out.mrc"),
        (*WHITENING, ""),
        (*WHITENING, "half.mrc/out.mrc"),
        ("whitening", "half.mrc/x.mrc", "--o", "out.mrc"),
        ("whitening", "loop", "--o", "out.mrc"),
        (*WHITENING, "loop/out.mrc"),
        ("report", "loop"),
        ("report", "a" * 300),
        ("gui", "a" * 300),
        ("relion", "check", "a" * 300),
        ("relion", "install-jobs", "half.mrc"),
        ("fsd3d", "loop", "32"),
    ],
)
def test_errors_of_the_file_system_are_sentences(sandbox, folder, words):
    (folder / "loop").symlink_to("loop")
    outcome = sandbox.run(folder, "spisonet.py", *words)
    assert (outcome.status, outcome.fault) == (1, "")
    assert outcome.output.startswith("spisonet: ")


@pytest.mark.parametrize("length", [245, 250, 255])
def test_names_may_be_as_long_as_the_file_system_allows(sandbox, folder, length):
    name = "n" * (length - 4) + ".mrc"
    assert sandbox.run(folder, "spisonet.py", *WHITENING, name).status == 0
    assert (folder / name).is_file()


# Text that is not UTF-8.


def test_folders_whose_names_are_not_utf8(sandbox, tmp_path):
    place = tmp_path / os.fsdecode(b"caf\xe9 \xc5")
    place.mkdir()
    write_map(place / "half.mrc")
    outcome = sandbox.run(
        place, "spisonet.py", "whitening", place / "half.mrc", *WHITENING[2:], place / "o.mrc"
    )
    assert (outcome.status, outcome.fault) == (0, "")
    assert outcome.output.count("Written: ") == 1
    (place / "half.mrc").unlink()
    outcome = sandbox.run(
        place, "spisonet.py", "whitening", place / "half.mrc", *WHITENING[2:], place / "o.mrc"
    )
    assert (outcome.status, outcome.fault) == (1, "")


ASCII = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def run_script(
    folder: Path, program: str, *words: str, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [str(SCRIPTS / program), *words],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("spisonet.py", ["fsc3d", "--help"]),
        ("spisonet-relion-reconstruct", ["--help"]),
        ("spisonet-job-fsc3d", ["--help"]),
    ],
)
def test_programs_run_in_a_locale_of_ascii(folder, program, words):
    done = run_script(folder, program, *words, **ASCII)
    assert done.returncode == 0
    assert "Å".encode() in done.stdout
    assert done.stderr == b""


def test_a_program_without_home_and_temporary_folder(folder):
    environment = {
        name: value for name, value in os.environ.items() if name not in ("HOME", "USER", "LOGNAME")
    }
    environment |= {
        "TMPDIR": str(folder / "half.mrc"),
        "XDG_CACHE_HOME": str(folder / "half.mrc"),
        "SPISONET_PARENT": "abc",
        "RANK": "abc",
    }
    words = [str(SCRIPTS / "spisonet.py"), *WHITENING, "out.mrc"]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("redirection", "status", "message"),
    [("| true", 0, b""), ("<&- >&-", 0, b""), ("> /dev/full", 1, b"No space left on device")],
)
def test_closed_and_full_outputs_are_no_defects(folder, redirection, status, message):
    line = f"'{SCRIPTS / 'spisonet.py'}' --help {redirection}"
    done = subprocess.run(["sh", "-c", line], cwd=folder, capture_output=True, check=False)
    assert (done.returncode, done.stderr.count(b"\n")) == (status, status)
    assert message in done.stderr


# Option values.


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e300", "1e-300", "1e400"])
@pytest.mark.parametrize("option", ["--beta", "--apix", "--learning_rate"])
def test_numbers_that_no_calculation_can_hold_are_refused(sandbox, folder, option, value):
    outcome = sandbox.run(folder, "spisonet.py", "reconstruct", "half.mrc", option, value)
    assert (outcome.status, outcome.fault) == (1, "")
    assert outcome.output.startswith(f"spisonet: {option}: ")


@pytest.mark.parametrize(
    ("program", "line", "option"),
    [
        ("isonet.py", "psf --size 2000000000", "--size"),
        ("spisonet.py", "fsd3d particles.star 2000000000", "--map_dim"),
        ("isonet.py", "refine tomograms.star --cube_size 2000000000", "--cube_size"),
        ("isonet.py", "refine tomograms.star --filter_base 2000000000", "--filter_base"),
    ],
)
def test_boxes_that_no_array_can_hold_are_refused(sandbox, folder, program, line, option):
    outcome = sandbox.run(folder, program, *line.split())
    assert (outcome.status, outcome.fault) == (1, "")
    assert outcome.output.startswith(f"spisonet: {option}: ")


def test_threads_are_limited_to_the_machine(sandbox, folder):
    words = ("fsc3d", "half.mrc", "half.mrc", "--ncpus", "1000000")
    assert sandbox.run(folder, "spisonet.py", *words).fault == ""


# Signals.

INTERRUPTED_IMPORT = """
import os, signal
os.kill(os.getpid(), signal.SIGINT)
raise AssertionError
"""


def test_an_interrupt_within_an_import_ends_the_program_at_once(folder):
    """An exception within the import of a compiled module can end in a panic of the module."""
    (folder / "interrupted.py").write_text(INTERRUPTED_IMPORT)
    code = f"import sys; sys.path.insert(1, {str(folder)!r}); from spisonet_launcher import _run; "
    done = subprocess.run(
        [sys.executable, "-c", f"{code} _run('interrupted', 'main')"],
        cwd=folder.parent,  # which is left out of the path, as the folder of the script
        capture_output=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert (done.returncode, done.stderr) == (130, b"")


JOB = ("spisonet-job-whitening", "--o", "External/job001/", "--in_3dref", "half.mrc", "--high_res", "6")


@pytest.mark.parametrize(
    ("name", "seconds"),
    [("SIGTERM", 0.0), ("SIGHUP", 0.2), ("SIGUSR1", 0.0), ("SIGXCPU", 2.0), ("SIGRTMIN", 0.5)],
)
def test_a_signal_ends_an_external_job_with_its_exit_file(folder, name, seconds):
    job = folder / "External/job001"
    job.mkdir(parents=True)
    process = subprocess.Popen(
        [str(SCRIPTS / JOB[0]), *JOB[1:]], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    _wait_until_python_runs(process.pid)
    time.sleep(seconds)
    process.send_signal(getattr(signal, name))
    output, _ = process.communicate(timeout=120)
    written = {path.name for path in job.glob("RELION_JOB_EXIT_*")}
    assert written in ({"RELION_JOB_EXIT_ABORTED"}, {"RELION_JOB_EXIT_SUCCESS"})
    assert b"Traceback" not in output


def _wait_until_python_runs(pid: int) -> None:
    """Wait until the handlers are there; before, the process is still the interpreter that starts."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        caught = next((int(line.split()[1], 16) for line in lines if line.startswith("SigCgt")), 0)
        if caught >> (signal.SIGUSR1 - 1) & 1:
            return
        time.sleep(0.005)
    raise TimeoutError
