"""Figures of a drift of the poses: likelihood along the motion, and views before and after a correction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from spisonet.figures.diagnosis import HIGHEST, LOWEST, MAX_VIEWS
from spisonet.figures.hemisphere import draw_hemisphere, smoothed_density
from spisonet.figures.style import (
    BLUE,
    CORRELATION_COLOURS,
    GREY,
    LABEL_SIZE,
    ORANGE,
    TICK_SIZE,
    TITLE_SIZE,
    WIDTH_INCHES,
    add_legend_above,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from spisonet.analysis.pose_drift import PoseDrift


def draw_drift(drift: PoseDrift) -> Figure:
    """Draw the cross-half likelihood along the motion, with its standard errors."""
    figure = Figure(figsize=(WIDTH_INCHES / 2, 3.8), layout="constrained")
    axes = figure.add_subplot()
    degrees = drift.fractions * drift.motion_degrees
    axes.axhline(0, color=GREY, lw=0.7)
    for position, label, colour in (
        (0.0, "poses as they are", GREY),
        (drift.motion_degrees, f"most likely motion, {drift.motion_degrees:.1f}° rms", ORANGE),
    ):
        axes.axvline(position, color=colour, lw=1, linestyle=":", label=label)
    axes.errorbar(
        degrees, drift.rise, drift.standard_error, fmt="o-", color=BLUE, ms=4, lw=1.2, capsize=3,
        label="± standard error over particles",
    )  # fmt: skip
    axes.set_xlabel("collective motion of the poses (° rms)", fontsize=LABEL_SIZE)
    axes.set_ylabel("change of the log-likelihood\nper particle (nats)", fontsize=LABEL_SIZE)
    axes.tick_params(labelsize=TICK_SIZE)
    axes.spines[["top", "right"]].set_visible(False)
    add_legend_above(axes)
    return figure


def draw_views(views: Mapping[str, NDArray[np.float64]]) -> Figure:
    """Draw view distributions side by side.

    Parameters
    ----------
    views : mapping
        View directions ``(n, 3)``, symmetry mates included, by title.
    """
    figure = Figure(figsize=(WIDTH_INCHES, 4.6), layout="constrained")
    panels = figure.subplots(1, len(views), squeeze=False)[0]
    for panel, (title, directions) in zip(panels, views.items(), strict=True):
        step = -(-len(directions) // MAX_VIEWS)
        image = draw_hemisphere(
            panel, smoothed_density(directions[::step]), LogNorm(LOWEST, HIGHEST), CORRELATION_COLOURS
        )
        panel.set_title(title, fontsize=TITLE_SIZE)
    bar = figure.colorbar(image, ax=list(panels), fraction=0.025, pad=0.01, extend="both")
    bar.set_label("density relative to even views", fontsize=LABEL_SIZE)
    bar.ax.tick_params(labelsize=TICK_SIZE)
    return figure
