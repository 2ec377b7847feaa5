"""Self-contained HTML pages: tables, paragraphs, figures and the page itself."""

from __future__ import annotations

import base64
import re
from html import escape
from typing import TYPE_CHECKING

from spisonet.io.atomic import write_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# Names of files come from others: whatever they contain, a report runs no script and loads nothing.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
# Figures are numbered by the style sheet, in the order of the page.
STYLE = (
    "body{font:16px/1.45 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}"
    "body{counter-reset:figure}"
    "h1{margin:0 0 .4em}h2{margin:2em 0 .6em;border-bottom:1px solid #ccc;padding-bottom:.2em}"
    "img{max-width:100%}figure{margin:1.5em 0;counter-increment:figure}figcaption{color:#555;font-size:.92em}"
    "figcaption::before{content:'Figure ' counter(figure) '. ';font-weight:bold}"
    "table{border-collapse:collapse}th{text-align:left;border-bottom:1px solid #888}"
    "th,td{padding:.25em 1.2em .25em 0;vertical-align:top}tr+tr>td{border-top:1px solid #e4e4e4}"
    "td:first-child{color:#555}"
    ".verdict{border-left:6px solid #888;background:#f4f4f4;padding:.7em 1em;margin:1em 0}"
    ".verdict b{display:block;font-size:1.25em;margin-bottom:.2em}"
    ".verdict.good{border-color:#0d7c70;background:#e7f5f3}"
    ".verdict.caution{border-color:#c98a00;background:#fff6e0}"
    ".verdict.bad{border-color:#b3261e;background:#fdecea}"
    "nav ol{columns:2;padding-left:1.4em}nav a{color:#0a5f56}"
    ".note{background:#fff3d6;padding:.6em 1em}"
    "pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f4f4f4;padding:.6em 1em}"
    "@page{size:A4;margin:16mm}"
    "@media print{body{font-size:10.5pt;max-width:none;margin:0;padding:0}h2{break-after:avoid}"
    "figure,tr,pre,.verdict,.note{break-inside:avoid}figure img{max-height:215mm}"
    "nav a{color:inherit;text-decoration:none}*{print-color-adjust:exact}}"
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


def contents(titles: Iterable[str]) -> str:
    """Return a list of links to sections."""
    links = "".join(f"<li><a href='#{anchor(title)}'>{escape(title)}</a></li>" for title in titles)
    return f"<nav><ol>{links}</ol></nav>"


def anchor(title: str) -> str:
    """Return the name of a section in links."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def verdict_box(judgement: str, sentence: str, level: str) -> str:
    """Return a judgement with its reasons; level: ``good``, ``caution``, ``bad`` or ``neutral``."""
    return f"<p class='verdict {level}'><b>{escape(judgement)}</b>{escape(sentence)}</p>"


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
