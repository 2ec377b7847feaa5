"""The loss of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from spisonet.figures.style import add_legend_above

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def draw_loss(losses: Mapping[str, Sequence[float]], separate: bool = False) -> Figure:
    """Draw the mean training loss of every epoch.

    Parameters
    ----------
    losses : mapping
        Loss per epoch by the name of the network; a single curve has no legend.
    separate : bool
        Draw every curve in a panel of its own, for losses that cannot be compared.
    """
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    panels = figure.subplots(1, len(losses) if separate else 1, squeeze=False)[0]
    for number, (name, values) in enumerate(losses.items()):
        panel = panels[number if separate else 0]
        panel.plot(np.arange(1, len(values) + 1), values, "o-", ms=3, label=name)
        if separate:
            panel.set_title(name)
    for panel in panels:
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.set_xlabel("epoch")
    panels[0].set_ylabel("mean training loss")
    if len(losses) > 1 and not separate:
        add_legend_above(panels[0], columns=2)
    return figure


def draw_tomogram_losses(losses: Sequence[float], denoiser_losses: Sequence[float]) -> Figure:
    """Draw the losses of a training on tomograms; those of two networks cannot be compared.

    Parameters
    ----------
    losses, denoiser_losses : sequence of float
        Loss per epoch of the network, and of the one that denoises its inputs; empty if there is none.
    """
    if not denoiser_losses:
        return draw_loss({"network": losses})
    return draw_loss({"denoising": denoiser_losses, "filling missing wedges": losses}, separate=True)
