"""Figure files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spisonet.io.atomic import atomic_path

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure


DPI = 110


def save_figure(path: Path, figure: Figure, vector: bool = False) -> None:
    """Write a figure as a PNG file, and as an SVG file beside it if asked to, atomically."""
    for target in (path, path.with_suffix(".svg")) if vector else (path,):
        with atomic_path(target) as temporary:
            figure.savefig(temporary, dpi=DPI, format=target.suffix[1:])
