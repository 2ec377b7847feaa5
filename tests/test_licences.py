"""The table of licences lists the packages that an installation contains."""

from __future__ import annotations

import re
from importlib.metadata import metadata
from pathlib import Path

import pytest

from tools.licences import licence, needed_packages

ROOT = Path(__file__).parents[1]
# Licences that permit use, change and redistribution within a program of any licence.
PERMISSIVE = re.compile(
    r"0BSD|Apache-2\.0( WITH LLVM-exception)?|BSD(-[23]-Clause)?|BSL-1\.0|CC0-1\.0|ISC|MIT(-CMU)?|MPL-2\.0"
    r"|PSF-2\.0|PSF-based|Zlib"
)

pytestmark = pytest.mark.checkout


def test_the_table_lists_all_needed_packages_with_their_licences():
    text = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\w.-]+) \| (\S+) \| (.+?) \| (.+?) \|$", text, re.MULTILINE)
    listed = {row[0]: (row[2], row[3]) for row in rows if row[0] != "package"}
    assert listed == {name: (licence(metadata(name)), why) for name, why in needed_packages().items()}


def test_all_licences_permit_use_and_redistribution():
    for name in needed_packages():
        for part in re.split(r" (?:AND|OR) ", licence(metadata(name))):
            assert PERMISSIVE.fullmatch(part), f"{name}: {part}"
