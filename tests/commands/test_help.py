"""The text of ``--help``, the groups of options, and completion in a shell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from spisonet.commands.help import command_help
from spisonet.commands.main import isonet, main
from spisonet.commands.registry import ISONET, RELION, SPISONET, SUBMITTED
from spisonet.commands.submission_config import SubmissionConfig
from spisonet.io.option_groups import NAMED, OptionGroup, grouped_options, option_group

MODELS = list(dict.fromkeys([*SPISONET, *ISONET, *RELION]))
SCRIPTS = Path(sys.executable).parent


def help_of(capsys, program, *words):
    program([*words, "--help"])
    return capsys.readouterr().out


@pytest.mark.parametrize("width", [50, 78])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.command)
def test_lines_end_between_words_and_every_option_is_listed_once(model, width):
    is_submitted = model in SUBMITTED
    text = command_help(model, f"program {model.command}", width, is_submitted)
    words = set(" ".join([model.__doc__, *(i.description for i in model.model_fields.values())]).split())
    assert words <= {*text.split(), *(word.removesuffix("]") for word in text.split())}
    for line in text.splitlines():
        long = line.split("  ")[-1]
        assert len(line) <= width or line.startswith("  -") or len(long.split()) == 1 or "--" in line, line
    starts = [text.index(f"\n{group.value}:\n") for group in grouped_options(model)]
    groups = text[min(starts, default=len(text)) :]
    listed = re.findall(r"^  (?:[A-Z]\w*, )?(--\w+)", groups, re.MULTILINE)
    names = [*model.model_fields, *(SubmissionConfig.model_fields if is_submitted else ())]
    assert sorted(listed) == sorted(f"--{name}" for name in names)


def test_options_are_shown_in_groups():
    text = command_help(next(m for m in SPISONET if m.command == "reconstruct"), "spisonet.py", 78)
    headings = re.findall(r"^(\w[\w ]*):$", text, re.MULTILINE)
    assert headings == ["Examples", *(group.value for group in OptionGroup)]


def test_a_file_that_is_read_is_an_input_and_training_needs_epochs():
    reconstruct, predict = (
        next(m for m in models if m.command == command)
        for models, command in ((SPISONET, "reconstruct"), (ISONET, "predict"))
    )
    assert option_group(reconstruct, "reference") is OptionGroup.INPUT
    assert option_group(reconstruct, "output_dir") is OptionGroup.OUTPUT
    assert option_group(reconstruct, "cube_size") is OptionGroup.TRAINING
    assert option_group(predict, "cube_size") is OptionGroup.ADVANCED
    assert next(iter(grouped_options(reconstruct)[OptionGroup.INPUT])) == "i1"


def test_no_group_names_an_option_that_does_not_exist():
    assert set(NAMED) <= {name for model in MODELS for name in model.model_fields}


@pytest.mark.parametrize(("program", "models"), [(main, SPISONET), (isonet, ISONET)])
def test_a_program_lists_its_commands_in_whole_sentences(capsys, monkeypatch, program, models):
    monkeypatch.setenv("COLUMNS", "70")
    text = help_of(capsys, program)
    assert "..." not in text
    plain = " ".join(text.split())
    for model in models:
        summary = " ".join(model.__doc__.split("\n\n")[0].split())
        assert f"{model.command} {summary}" in plain


def test_a_command_of_a_group_has_the_same_help(capsys):
    text = help_of(capsys, main, "relion", "rescue")
    assert "Usage: " in text
    assert "relion rescue" in text
    assert "\nCommon options:\n" in text


@pytest.mark.parametrize(
    ("program", "words", "expected"),
    [("spisonet", "nu", "nulltest"), ("isonet", "refine --see", "--seed"), ("isonet", "check --js", None)],
)
def test_a_shell_completes_commands_and_options(program, words, expected):
    """As the script of ``--show-completion`` calls the program."""
    line = f"{program} {words}"
    request = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    request[f"_{program.upper()}_COMPLETE"] = "complete_bash"
    done = subprocess.run(
        [SCRIPTS / program], env={**os.environ, **request}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ([] if expected is None else [expected])
