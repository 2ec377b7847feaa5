"""Hooks of MkDocs: add the generated pages; let links between files of the project be links of the site."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File, Files

from tools.documentation.command_pages import command_navigation, command_pages
from tools.documentation.links import dead_links
from tools.documentation.notebook_pages import notebook_page

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
# Documents outside ``docs`` that are pages of the site.
PROJECT_PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "benchmarks.md",
    "benchmarks/RESULTS.md": "results.md",
    "examples/hemagglutinin/README.md": "examples/hemagglutinin.md",
    "examples/subtomograms/README.md": "examples/subtomograms.md",
    "examples/tomogram/README.md": "examples/tomogram.md",
}
REPOSITORY_PAGES = {**PROJECT_PAGES, "README.md": "index.md"}
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)(#[^)]*)?\)")
NAMED_RESULTS = re.compile(r"(?<!\[)`benchmarks/RESULTS\.md`")
COMMANDS_ENTRY = "Commands"
# The plugin "offline" loads this from another host; the script of this project does the same for this site.
WORKER_OF_OTHER_HOST = "https://unpkg.com/iframe-worker/shim"
WORKER = "javascripts/worker_from_file.js"

log = logging.getLogger("mkdocs.hooks.spisonet")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill the entry of the commands in the navigation."""
    for entry in config.nav or []:
        if COMMANDS_ENTRY in entry:
            entry[COMMANDS_ENTRY] = command_navigation()
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the commands, of the notebooks, and of documents outside ``docs``."""
    for path, text in command_pages().items():
        files.append(File.generated(config, path, content=text))
    for source, path in PROJECT_PAGES.items():
        files.append(File.generated(config, path, content=(ROOT / source).read_text(encoding="utf-8")))
    for notebook in sorted(Path(config.docs_dir).glob("notebooks/*.ipynb")):
        log.info("Executing %s", notebook.name)
        page, figures = notebook_page(notebook)
        files.append(File.generated(config, f"notebooks/{notebook.stem}.md", content=page))
        for name, data in figures.items():
            files.append(File.generated(config, f"notebooks/{name}", content=data))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links point to pages of the site."""
    uri = page.file.src_uri
    source = next((name for name, path in PROJECT_PAGES.items() if path == uri), f"docs/{uri}")
    folder = (ROOT / source).parent

    def site_link(match: re.Match[str]) -> str:
        target = (folder / match[1]).resolve()
        if not target.is_relative_to(ROOT):
            return match[0]
        name = target.relative_to(ROOT).as_posix()
        path = REPOSITORY_PAGES.get(name, name.removeprefix("docs/"))
        path = re.sub(r"\.ipynb$", ".md", path)
        return f"]({_relative(path, uri)}{match[2] or ''})"

    markdown = NAMED_RESULTS.sub(f"[`benchmarks/RESULTS.md`]({_relative('results.md', uri)})", markdown)
    return LINK.sub(site_link, markdown)


def _relative(path: str, uri: str) -> str:
    """Return the path of a page relative to another page."""
    return "../" * uri.count("/") + path


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Take the script for search without a web server from the site itself."""
    return output.replace(WORKER_OF_OTHER_HOST, _relative(WORKER, page.file.src_uri))


def on_post_build(config: MkDocsConfig, **_: Any) -> None:
    """Report links of the built site that lead nowhere; with ``--strict`` the build fails."""
    for page, link in dead_links(Path(config.site_dir)):
        log.warning("%s: dead link %s", page, link)
