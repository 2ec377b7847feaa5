"""Equations in LaTeX as MathML, which browsers show without scripts."""

from __future__ import annotations

from typing import Any

from latex2mathml.converter import convert


def equation(source: str, *_: Any, **__: Any) -> str:
    """Return the HTML of a block of LaTeX; the formatter of the fence ``math`` of Markdown."""
    return f'<div class="equation">{convert(source.strip(), display="block")}</div>'
