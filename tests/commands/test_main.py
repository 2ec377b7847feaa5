"""The program as a user starts it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from spisonet.commands.main import isonet, main

SCRIPTS = Path(sys.executable).parent


@pytest.mark.parametrize("program", ["spisonet.py", "spisonet"])
def test_console_scripts_run(program, tmp_path):
    done = subprocess.run([SCRIPTS / program, "--version"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("spisonet 2")


def test_the_package_of_the_scripts_name_in_the_current_folder_does_no_harm(tmp_path):
    (tmp_path / "spisonet.py").write_text("raise SystemExit('shadowed')")
    done = subprocess.run(
        [SCRIPTS / "spisonet.py", "fsd3d", "--help"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "Examples" in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["reconstruct", "none1.mrc", "none2.mrc"],
        ["reconstruct", "none1.mrc", "none2.mrc", "FSC3D.mrc", "mask.mrc"],
        ["fsc3d", "none1.mrc", "none2.mrc", "mask.mrc", "--ncpus", "16", "--limit_res", "3.5"],
        ["whitening", "none.mrc", "-o", "o.mrc", "--mask", "m.mrc", "--high_res", "3", "--low_res", "10"],
        ["combine_map", "none.mrc", "none.mrc", "c.mrc", "10", "--mask_file", "m.mrc"],
        ["angular_whiten", "none.mrc", "out.mrc", "10", "3.5"],
        ["fsd3d", "none.star", "256", "--sym", "c3", "--low_res", "10", "--high_res", "3", "--apix", "1.31"],
    ],
)
def test_a_missing_file_is_one_sentence_and_status_1(words, tmp_path):
    done = subprocess.run([SCRIPTS / "spisonet.py", *words], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("spisonet: none")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("program", "line", "words"),
    [
        (main, "FSC3D --help", "Usage: .* H H2 "),
        (main, "Relion Rescue --help", "Usage: .*escue "),
        (isonet, "Refine --help", "Usage: .* STAR_FILE "),
    ],
)
def test_commands_are_known_in_any_case_of_letters(capsys, program, line, words):
    program(line.split())
    assert re.match(words, capsys.readouterr().out)


@pytest.mark.parametrize("word", ["FSC", "fsc", "Fsc"])
def test_a_replaced_command_is_known_in_any_case_of_letters(capsys, word):
    with pytest.raises(SystemExit) as stopped:
        isonet([word, "a.mrc"])
    assert stopped.value.code == 1
    assert capsys.readouterr().err.startswith("spisonet: FSC is not a command of this program: use spisonet")


def test_an_unknown_option_is_a_usage_error(tmp_path):
    done = subprocess.run([SCRIPTS / "spisonet", "fsc3d", "--maks", "x"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "--maks" in done.stderr


def test_check_reports_and_trains():
    done = subprocess.run([SCRIPTS / "spisonet", "check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "training works" in done.stdout
