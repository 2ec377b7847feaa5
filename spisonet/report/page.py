"""Self-contained HTML pages: tables, paragraphs, figures and the page itself."""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING

from spisonet.io.atomic import write_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# Names of files come from others: whatever they contain, a report runs no script and loads nothing.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = (
    "body{font-family:sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}"
    "img{max-width:100%}figure{margin:2em 0}figcaption{color:#555}"
    "th{text-align:left;padding-right:1em}td{padding:.15em 1em .15em 0;vertical-align:top}"
    ".verdict{font-size:1.2em}"
    ".note{background:#fff3d6;padding:.6em 1em}pre{white-space:pre-wrap;background:#f4f4f4;padding:.6em 1em}"
)


def metadata_table(metadata: dict[str, str]) -> str:
    """Return a table of names and values."""
    rows = "".join(f"<tr><td>{escape(k)}</td><td>{escape(v)}</td></tr>" for k, v in metadata.items())
    return f"<table>{rows}</table>"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table with a header row; the first column names the rows."""
    lines = ["".join(f"<th>{escape(cell)}</th>" for cell in head)]
    lines += ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def paragraph(text: str) -> str:
    """Return a paragraph."""
    return f"<p>{escape(text)}</p>"


def heading(text: str) -> str:
    """Return a paragraph in bold."""
    return f"<p><b>{escape(text)}</b></p>"


def warning(text: str) -> str:
    """Return a highlighted paragraph."""
    return f"<p class='note'>{escape(text)}</p>"


def bullet_list(items: Iterable[str]) -> str:
    """Return a bulleted list."""
    return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"


def code_block(text: str) -> str:
    """Return text in a fixed-width font, such as a command line."""
    return f"<pre>{escape(text)}</pre>"


def embedded_figure(path: Path, caption: str) -> str:
    """Return a PNG file, or the SVG file of the same name, as an embedded figure with a caption."""
    vector = path.with_suffix(".svg")
    source, kind = (vector, "svg+xml") if vector.is_file() else (path, "png")
    image = base64.b64encode(source.read_bytes()).decode("ascii")
    text = escape(caption)
    picture = f"<img alt='{text}' src='data:image/{kind};base64,{image}'>"
    return f"<figure>{picture}<figcaption>{text}</figcaption></figure>"


def write_page(path: Path, title: str, heading: str, *parts: str) -> None:
    """Write a page atomically.

    Parameters
    ----------
    path : Path
        HTML file to write.
    title, heading : str
        Title of the window, and heading of the page.
    *parts : str
        HTML of the body, in order.
    """
    page = (
        f"<!doctype html><html lang='en'><meta charset='utf-8'>"
        f"<meta http-equiv='Content-Security-Policy' content=\"{POLICY}\"><title>{escape(title)}</title>"
        f"<style>{STYLE}</style><h1>{escape(heading)}</h1>{''.join(parts)}</html>"
    )
    write_text(path, page)
