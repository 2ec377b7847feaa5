"""Links of a built site that lead nowhere, or to another host where the page would need a network."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from pathlib import Path

REFERENCES = {"a": "href", "img": "src", "link": "href", "script": "src", "source": "src"}
SERVED_FROM_ROOT = "404.html"  # shown by a web server under any address
LOADED = ("img", "script", "source")  # by the browser, without a click


class _Page(HTMLParser):
    """Collects the links and the anchors of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the link and the anchor of a tag."""
        values = {name: value for name, value in attrs if value is not None}
        self.anchors.update(values[name] for name in ("id", "name") if name in values)
        if values.get("rel") == "canonical":
            return
        if link := values.get(REFERENCES.get(tag, "")):
            loaded = tag in LOADED or (tag == "link" and "stylesheet" in values.get("rel", ""))
            self.links.append(("loaded" if loaded else tag, link))


def dead_links(site: Path) -> list[tuple[str, str]]:
    """Return the page and the target of every dead link.

    Parameters
    ----------
    site : Path
        Folder of the built site.

    Returns
    -------
    list of (str, str)
        Page relative to the folder, and link. A file or anchor that does not exist is dead; so is a picture,
        script or style sheet of another host, because the site has to work offline.
    """
    pages: dict[Path, _Page] = {}
    for path in sorted(set(site.rglob("*.html")) - {site / SERVED_FROM_ROOT}):
        pages[path.resolve()] = page = _Page()
        page.feed(path.read_text(encoding="utf-8"))
    dead = []
    for path, page in pages.items():
        for kind, link in page.links:
            if not _leads_somewhere(path, kind, link, site.resolve(), pages):
                dead.append((path.relative_to(site.resolve()).as_posix(), link))
    return dead


def _leads_somewhere(path: Path, kind: str, link: str, site: Path, pages: dict[Path, _Page]) -> bool:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return kind != "loaded" or parts.scheme == "data"
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if target.is_dir():
        target /= "index.html"
    if not target.is_file() or not target.is_relative_to(site):
        return False
    anchor = unquote(parts.fragment)
    page = pages.get(target)
    return not anchor or page is None or anchor in page.anchors
