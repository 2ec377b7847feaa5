"""Figures of a refinement that is corrected in every iteration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PANEL_SIZE_INCHES = (3.6, 2.3)
PANELS_PER_ROW = 2


def draw_progress(curves: Mapping[str, Mapping[str, Sequence[tuple[int, float]]]]) -> Figure:
    """Draw quantities against the iteration, one panel each.

    Parameters
    ----------
    curves : mapping
        By the title of a panel, with its unit: ``(iteration, value)`` points of each class or body by its
        name. A legend is drawn where there are several.
    """
    n_rows = -(-len(curves) // PANELS_PER_ROW)
    width, height = PANEL_SIZE_INCHES
    figure = Figure(figsize=(PANELS_PER_ROW * width, n_rows * height), layout="constrained")
    for index, (title, parts) in enumerate(curves.items(), start=1):
        axis = figure.add_subplot(n_rows, PANELS_PER_ROW, index)
        for name, points in parts.items():
            iterations, values = zip(*points, strict=True) if points else ((), ())
            axis.plot(iterations, values, "o-", ms=3, lw=1.2, label=name)
        axis.set_title(title, fontsize=9, loc="left")
        axis.set_xlabel("iteration", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(parts) > 1:
            axis.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure
