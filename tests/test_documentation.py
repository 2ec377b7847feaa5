"""The documentation site: pages of commands, links, and the whole site with its executed notebooks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import spisonet
from spisonet.anisotropy.config import ReconstructConfig
from spisonet.commands.registry import COPICK, CRYOSPARC, ISONET, RELION, SPISONET
from tools.documentation.command_pages import command_page, command_pages
from tools.documentation.hooks import PROJECT_PAGES
from tools.documentation.links import dead_links

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("docs/**/*.md")), *(ROOT / path for path in PROJECT_PAGES)]
LIST_ITEM = re.compile(r" *([-*]|\d+\.) ")

pytestmark = pytest.mark.checkout


def test_every_command_has_a_page_with_all_its_options():
    pages = command_pages()
    assert len(pages) == 1 + len(SPISONET) + len(RELION) + len(CRYOSPARC) + len(ISONET) + len(COPICK)
    page = command_page("spisonet.py", ReconstructConfig)
    for name in ReconstructConfig.model_fields:
        assert page.count(f"| `--{name}`") == 1
    assert "| `--validation`, `--validate`, `--no-validation` |" in page
    assert all(example in page for example in ReconstructConfig.examples)


def test_every_public_name_is_documented():
    page = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    documented = {line.rpartition(".")[2] for line in page.splitlines() if line.startswith("::: ")}
    assert documented == set(spisonet.__all__)


@pytest.mark.parametrize(
    ("html", "dead"),
    [
        ('<a href="b.html#here">', []),
        ('<a href="b.html#there">', ["b.html#there"]),
        ('<a href="c.html">', ["c.html"]),
        ('<a href="../a.html">', ["../a.html"]),
        ('<a href="https://example.org">', []),
        ('<script src="https://example.org/x.js"></script>', ["https://example.org/x.js"]),
        ('<link rel="stylesheet" href="https://example.org/x.css">', ["https://example.org/x.css"]),
        ('<img src="picture.png">', ["picture.png"]),
    ],
)
def test_dead_links(tmp_path, html, dead):
    site = tmp_path / "site"
    site.mkdir()
    (tmp_path / "a.html").touch()
    (site / "b.html").write_text('<h1 id="here">', encoding="utf-8")
    (site / "page.html").write_text(html, encoding="utf-8")
    assert dead_links(site) == [("page.html", link) for link in dead]


@pytest.mark.parametrize("document", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_lists_are_lists_on_the_site_too(document):
    # Python-Markdown needs an empty line between a paragraph and a list, also within an item, and steps of
    # four spaces; GitHub does not.
    wrong, in_fence, first = [], False, ""
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), 1):
        first = (first or line) if line.strip() else ""
        if line.lstrip().startswith("```"):
            in_fence = not in_fence
            wrong += [number] if in_fence and (len(line) - len(line.lstrip())) % 4 else []
        elif not in_fence and LIST_ITEM.match(line) and not LIST_ITEM.match(first):
            wrong.append(number)
    assert not wrong


def test_the_site_is_built_without_a_warning(tmp_path):
    # Executes the notebooks. A cell that fails, a page outside the navigation or a dead link ends the build.
    built = subprocess.run(
        [
            sys.executable,
            "-m",
            "mkdocs",
            "build",
            "--strict",
            "--quiet",
            "--site-dir",
            str(tmp_path / "site"),
        ],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "JUPYTER_PLATFORM_DIRS": "1"},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    assert not dead_links(tmp_path / "site")
