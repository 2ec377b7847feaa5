"""Notebooks, executed from start to end, as pages."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, Any

import nbformat
from nbclient import NotebookClient

if TYPE_CHECKING:
    from pathlib import Path

# With this variable the text and code are shown without being executed, for a quick look at the site.
SKIP_VARIABLE = "SPISONET_DOCS_SKIP_NOTEBOOKS"
SECONDS = 300


def notebook_page(notebook: Path) -> tuple[str, dict[str, bytes]]:
    """Execute a notebook, and return its page with the figures that the page shows.

    Parameters
    ----------
    notebook : Path
        The ``.ipynb`` file, without outputs; its cells run in its folder.

    Returns
    -------
    page : str
        Markdown.
    figures : dict of str to bytes
        PNG files by name; the page names them relative to itself.

    Raises
    ------
    CellExecutionError
        If a cell fails.
    """
    content = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    if not os.environ.get(SKIP_VARIABLE):
        NotebookClient(
            content, timeout=SECONDS, resources={"metadata": {"path": str(notebook.parent)}}
        ).execute()
    parts: list[str] = []
    figures: dict[str, bytes] = {}
    for cell in content.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
        elif cell.cell_type == "code":
            parts.append(f"```python\n{cell.source}\n```")
            for output in cell.outputs:
                parts.append(_output(output, f"{notebook.stem}_{len(figures) + 1}.png", figures))
    return "\n\n".join(part for part in parts if part) + "\n", figures


def _output(output: Any, figure: str, figures: dict[str, bytes]) -> str:
    """Return the Markdown of an output; a figure is added to `figures`."""
    if output.output_type == "stream":
        return f"```text\n{output.text.rstrip()}\n```"
    data = output.get("data", {})
    if "image/png" in data:
        figures[figure] = base64.b64decode(data["image/png"])
        return f"![Output of the cell above]({figure})"
    if "text/plain" in data:
        return f"```text\n{data['text/plain']}\n```"
    return ""
