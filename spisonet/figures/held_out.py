"""The figure of held-out validation."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from spisonet.figures.style import WIDTH_INCHES, add_legend_above, label_resolutions
from spisonet.validation.held_out import RECOVERY_THRESHOLD


def draw_held_out(curves: dict[str, list[float]]) -> Figure:
    """Draw the FSC and the recovery in the held-out cones by resolution.

    Parameters
    ----------
    curves : dict
        ``by_resolution`` of ``validation.json``: ``resolution_angstrom``, ``fsc``, ``ceiling``, ``recovery``
        and ``recovery_without_network``, one value a shell each.
    """
    figure = Figure(figsize=(WIDTH_INCHES, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    frequency = 1 / np.array(curves["resolution_angstrom"])
    left.plot(frequency, curves["ceiling"], "k--", label="ceiling set by the noise of half map 2")
    left.plot(frequency, curves["fsc"], "k-", label="prediction and half map 2")
    left.set_ylabel("FSC in the held-out cones")
    right.plot(frequency, curves["recovery"], "k-", label="with the network")
    right.plot(frequency, curves["recovery_without_network"], "k:", label="without a network")
    right.axhline(RECOVERY_THRESHOLD, color="0.6", lw=0.8)
    right.set_ylabel("recovery (correlation with the signal)")
    lowest = np.nanmin([curves["fsc"], curves["recovery"], curves["recovery_without_network"]])
    for panel in (left, right):
        panel.set_ylim(min(-0.1, lowest - 0.05), 1.05)
        add_legend_above(panel)
        label_resolutions(panel)
    return figure
