"""The packages that set-up installs are pinned, and checked by hash where that is possible for everybody."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.checkout

PINNED = re.compile(r"^([\w.-]+)==(\S+)", re.MULTILINE)
# PyTorch has other files for each kind of GPU and cluster, and brings these packages with it.
OF_TORCH = {
    "torch",
    "filelock",
    "fsspec",
    "jinja2",
    "markupsafe",
    "mpmath",
    "networkx",
    "setuptools",
    "sympy",
}


def versions(name: str) -> dict[str, str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return {package.lower().replace("_", "-"): version for package, version in PINNED.findall(text)}


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_package_has_hashes_and_the_tested_version(name):
    lines = [line for line in (ROOT / name).read_text(encoding="utf-8").split("\n") if line]
    entries = "\n".join(lines).replace("\\\n", " ").split("\n")
    assert all(re.fullmatch(r"[\w.-]+==[^\\]+( +--hash=sha256:[0-9a-f]{64} *)+", entry) for entry in entries)
    constraints = versions("constraints.txt")
    for package, version in versions(name).items():
        assert constraints.get(package, version) == version


def test_only_pytorch_and_what_it_brings_have_no_hash():
    assert versions("constraints.txt").keys() - versions("requirements-dev.txt").keys() <= OF_TORCH
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert makefile.count("pip install $(HASHED)") == makefile.count("pip install $(INSTALL)") == 3
