"""Sections of a report: text, numbers and figures on one topic."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from spisonet.figures.style import save_figure
from spisonet.report.page import anchor, embedded_figure

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure


@dataclass
class Section:
    """One part of a report.

    Attributes
    ----------
    title : str
        Heading.
    numbers : dict
        Results for the JSON file, with units in the names.
    parts : list of str
        HTML of the body, in order.
    figures : dict
        Captions by the path of each figure (PNG; the same name with ``.svg`` is its vector version).
    """

    title: str
    numbers: dict[str, Any] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)
    figures: dict[Path, str] = field(default_factory=dict)

    def add_figure(self, path: Path, caption: str, figure: Figure | None = None) -> None:
        """Add a figure with a caption; if `figure` is given, it is written to `path` first."""
        if figure is not None:
            save_figure(path, figure, vector=True)
        self.figures[path] = caption
        self.parts.append(embedded_figure(path, caption))

    @property
    def html(self) -> str:
        """The section as part of a page."""
        heading = f"<h2 id='{anchor(self.title)}'>{escape(self.title)}</h2>"
        return f"<section>{heading}{''.join(self.parts)}</section>"


def beside(page: Path, name: str) -> Path:
    """Return the path of a PNG file beside a page, named after it."""
    return page.with_name(f"{page.stem}_{name}.png")
