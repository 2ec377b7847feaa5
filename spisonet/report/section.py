"""Sections of the report: each tells one thing about a run, in words, numbers and figures."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from spisonet.figures.output import save_figure
from spisonet.report.page import embedded_figure

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure


@dataclass
class Section:
    """One part of a report.

    Attributes
    ----------
    title : str
        Its heading.
    numbers : dict
        What it says, for the JSON file; JSON-serialisable, with units in the names.
    parts : list of str
        HTML of its body, in order.
    figures : dict
        Captions by the paths of its figures (PNG; an SVG file lies beside each).
    """

    title: str
    numbers: dict[str, Any] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)
    figures: dict[Path, str] = field(default_factory=dict)

    def add_figure(self, path: Path, caption: str, figure: Figure | None = None) -> None:
        """Show a figure with a caption; one that is given is drawn into `path` first."""
        if figure is not None:
            save_figure(path, figure, vector=True)
        self.figures[path] = caption
        self.parts.append(embedded_figure(path, caption))

    @property
    def html(self) -> str:
        """The section as part of a page."""
        return f"<section><h2>{escape(self.title)}</h2>{''.join(self.parts)}</section>"


def beside(page: Path, name: str) -> Path:
    """Name a PNG file that belongs to a page."""
    return page.with_name(f"{page.stem}_{name}.png")
