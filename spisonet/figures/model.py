"""The figure of Q-scores before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from spisonet.figures.style import BLUE, add_legend_above, set_equal_ticks

if TYPE_CHECKING:
    from numpy.typing import NDArray


def draw_q_scores(before: NDArray[np.float64], after: NDArray[np.float64]) -> Figure:
    """Draw the Q-score of each residue after the correction against that before.

    Parameters
    ----------
    before, after : ndarray
        ``(n_residues,)`` mean Q-score of each residue.
    """
    figure = Figure(figsize=(4.8, 4.6), layout="constrained")
    panel = figure.subplots()
    low = float(min(before.min(), after.min(), 0)) - 0.05
    high = float(max(before.max(), after.max())) + 0.05
    panel.plot([low, high], [low, high], color="0.6", lw=0.8)
    panel.plot(before, after, "o", ms=2, color=BLUE, alpha=0.5, mew=0)
    panel.plot(np.mean(before), np.mean(after), "+", ms=12, color="black", label="mean")
    panel.set(
        xlim=(low, high), ylim=(low, high), xlabel="Q-score before", ylabel="Q-score after", aspect="equal"
    )
    set_equal_ticks(panel)
    add_legend_above(panel)
    return figure
