"""Start of the interface: libraries, folders, port."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from spisonet.gui.kept_address import read_address
from tests.gui.conftest import SCRIPTS, end, serve

ROOT = Path(__file__).parents[2]


def run_gui(*words: str, program: str = "spisonet.py") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPTS / program, "gui", *words], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_address_and_the_ssh_command_are_printed(tmp_path):
    started = subprocess.Popen(
        [SCRIPTS / "isonet.py", "gui", tmp_path, "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    assert started.stdout is not None
    lines = [started.stdout.readline() for _ in range(6)]
    started.terminate()
    started.wait(20)
    started.stdout.close()
    text = "".join(lines)
    port = text.partition("http://127.0.0.1:")[2].partition("/")[0]
    assert f"ssh -L {port}:127.0.0.1:{port} " in text
    assert str(tmp_path) in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere is not a folder."),
        ([".", "--allowed_folders", "/nowhere"], "/nowhere is not a folder."),
        ([".", "--roots", "/nowhere"], "/nowhere is not a folder."),  # the old spelling
        ([".", "--slurm_template", "none.sh"], "none.sh does not exist."),
    ],
)
def test_invalid_options_are_reported_in_one_sentence(words, message):
    done = run_gui(*words)
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith(message)
    assert done.stderr.count("\n") == 1


def test_a_port_in_use_is_reported(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = run_gui(str(tmp_path), "--port", port)
    assert done.returncode == 1
    assert done.stderr == f"spisonet: Port {port} is in use; choose another with --port.\n"


def test_without_a_port_the_next_free_one_is_used(tmp_path):
    first, second = (serve(tmp_path, "--port", "None") for _ in range(2))
    assert first.host != second.host
    end(first)
    end(second)


def test_missing_libraries_are_named(tmp_path):
    code = "import sys; sys.modules['uvicorn'] = None; from spisonet.commands.main import main; main(['gui'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert done.stderr == "spisonet: The graphical interface needs uvicorn: pip install 'spisonet[gui]'.\n"


def test_no_module_that_computes_is_imported():
    code = (
        "import sys, spisonet.gui.routes, spisonet.gui.runner\n"
        "heavy = {'torch', 'scipy', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "computing = {'learning', 'fourier', 'misalignment'}\n"
        "own = {tuple(name.split('.')) for name in sys.modules if name.startswith('spisonet.')}\n"
        "loaded = {'.'.join(n) for n in own if n[1] in computing and not n[-1].endswith(('config', n[1]))}\n"
        "print(sorted(heavy | loaded))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_a_kept_address_is_that_of_the_next_start_and_private(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    project = tmp_path / "project"
    project.mkdir()
    first = serve(project, "--keep_address")
    assert first.get("").status == 200  # it has started, and handles the signal to end
    end(first)
    (kept,) = (tmp_path / "state" / "spisonet" / "addresses").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert read_address(project) is not None
    assert read_address(tmp_path) is None
    token, port = read_address(project)
    again = serve(project, "--keep_address", "--port", str(port))
    assert again.get("").status == 200  # it has started, and handles the signal to end
    assert f"http://127.0.0.1:{port}/{token}/" == first.address == again.address
    done = run_gui(str(project), "--keep_address")
    assert done.stderr.startswith(f"spisonet: Port {port} of the kept address is in use")
    assert read_address(project) == (token, port)
    end(again)
    moved = serve(project, "--keep_address", "--port", "0")
    assert moved.get("").status == 200
    end(moved)
    assert read_address(project)[0] != token  # a program on the old port may know that one
    kept.chmod(0o644)
    assert read_address(project) is None  # others may know it
