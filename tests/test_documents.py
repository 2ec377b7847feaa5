"""The documents name files and options that exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from spisonet.commands.registry import PROGRAMS, SUBMITTED
from spisonet.commands.submission_config import SubmissionConfig
from spisonet.io.config import CommandLine

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.checkout

DOCUMENTS = [
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/*/*.md", "benchmarks/README.md")
    for path in sorted(ROOT.glob(pattern))
]
SOURCE_PATH = re.compile(r"`((?:spisonet|relion_external|tests|benchmarks|examples|docs)/[\w./]*)`")
LINK = re.compile(r"\]\((?!http)([^)#]+)")
COMMAND = re.compile(r"^ *(spisonet|isonet)\.py (\w+)((?:.*\\\n)*.*)", re.MULTILINE)
OPTION = re.compile(r"--([a-zA-Z]\w*)")


def names(program: str, command: str) -> set[str]:
    """Return the option names of a command."""
    config = next(config for config in PROGRAMS[program] if config.command == command)
    found = set(config.obsolete)
    submission = SubmissionConfig.model_fields if config in SUBMITTED else {}
    for name, info in (*config.model_fields.items(), *submission.items()):
        found |= {name, f"no_{name}"}
        for shape in info.metadata:
            if isinstance(shape, CommandLine):
                found |= {alias.lstrip("-") for alias in shape.aliases}
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_are_named_exist(document):
    text = document.read_text(encoding="utf-8")
    missing = [path for path in SOURCE_PATH.findall(text) if not (ROOT / path).exists()]
    missing += [path for path in LINK.findall(text) if not (document.parent / path).exists()]
    # spisonet/ is also the folder that the refinement hook writes.
    assert set(missing) <= {"spisonet/summary.html", "spisonet/summary.json"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_options_of_example_commands_exist(document):
    for program, command, rest in COMMAND.findall(document.read_text(encoding="utf-8")):
        known = {config.command for config in PROGRAMS[program]}
        if command in known:
            words = rest.split("#", maxsplit=1)[0]
            unknown = {option.replace("-", "_") for option in OPTION.findall(words)} - names(program, command)
            assert not unknown, f"{program}.py {command}: {unknown}"


# Added to the commands of README's quick starts, which train for minutes otherwise.
SHORTENED = {
    "spisonet.py reconstruct": "--method deconvolve --no-report",
    "isonet.py refine": "--n_subvolume 4 --with_predict False",
}


@pytest.mark.parametrize("section", ["Maps", "Tomograms", "RELION", "Python"])
def test_quick_starts_run_as_written_on_the_examples(section, tmp_path):
    readme = (ROOT / "README.md").read_text(encoding="utf-8").split(f"## {section}\n")[1]
    kind, block = re.findall(r"```(\w+)\n(.*?)```", readme, re.DOTALL)[0]
    lines = block.replace("\\\n", " ").strip().split("\n")
    if kind == "sh":
        options = [
            next((o for start, o in SHORTENED.items() if line.startswith(start)), "") for line in lines
        ]
        command = ["sh", "-ec", "\n".join(f"{line} {o}" for line, o in zip(lines, options, strict=True))]
    else:
        command = [sys.executable, "-c", block]
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    ran = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
