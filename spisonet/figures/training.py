"""The loss of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from spisonet.figures.style import add_legend_above

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def draw_loss(losses: Mapping[str, Sequence[float]]) -> Figure:
    """Draw the mean training loss of every epoch.

    Parameters
    ----------
    losses : mapping
        Loss per epoch by the name of the network; a single curve has no legend.
    """
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    panel = figure.subplots()
    for name, values in losses.items():
        panel.plot(np.arange(1, len(values) + 1), values, "o-", ms=3, label=name)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.set_xlabel("epoch")
    panel.set_ylabel("mean training loss")
    if len(losses) > 1:
        add_legend_above(panel, columns=2)
    return figure
