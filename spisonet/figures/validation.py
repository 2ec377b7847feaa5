"""Figures of held-out validation and of the inferred fraction by direction."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.tri import Triangulation

from spisonet.analysis.directional_power import N_BANDS, DirectionalShares
from spisonet.figures.reconstruction import label_resolutions
from spisonet.validation.heldout import HALF

CONTOURS = (0.25, 0.5, 0.75)


def draw_shares(shares: DirectionalShares, box_angstrom: float, name: str) -> Figure:
    """Draw shares over resolution, and over the hemisphere of directions in some bands of resolution.

    The hemisphere is seen along z, in Lambert's azimuthal projection of equal areas; readable without colour.
    """
    figure = Figure(figsize=(11.0, 3.6), layout="constrained")
    n_bands = min(N_BANDS, len(shares.shells))
    first, *globes = figure.subplots(1, 1 + n_bands, width_ratios=[1.5] + [1] * n_bands)
    frequency = shares.shells / box_angstrom
    first.fill_between(
        frequency, shares.curves.min(axis=0), shares.curves.max(axis=0), color="0.85", label="all directions"
    )
    first.plot(frequency, shares.mean, "k-", label="whole shells")
    first.set(ylim=(0, 1), ylabel=name)
    first.set_xlabel("spatial frequency / Å⁻¹")
    first.legend(fontsize=8, loc="upper left")
    up = shares.axes * np.where(shares.axes[:, 2] < 0, -1, 1)[:, None]
    # Axes on the rim belong to both sides of it.
    rim = up[np.abs(up[:, 2]) < 1e-9]
    x, y, z = np.concatenate([up, -rim]).T
    index = np.concatenate([np.arange(len(up)), np.flatnonzero(np.abs(up[:, 2]) < 1e-9)])
    scale = np.sqrt(1 / (1 + z))
    triangles = Triangulation(x * scale, y * scale)
    for axis, band in zip(globes, np.array_split(np.arange(len(shares.shells)), len(globes)), strict=True):
        values = shares.curves[:, band].mean(axis=1)[index]
        image = axis.tripcolor(triangles, values, cmap="cividis", vmin=0, vmax=1, shading="gouraud")
        image.set_rasterized(True)
        if np.ptp(values) > 0:
            lines = axis.tricontour(triangles, values, levels=CONTOURS, colors="white", linewidths=0.8)
            axis.clabel(lines, fontsize=7)
        low, high = (box_angstrom / shares.shells[band[end]] for end in (0, -1))
        axis.set_title(f"{low:.1f} to {high:.1f} Å", fontsize=9)
        axis.set_aspect("equal")
        axis.set_axis_off()
        for text, place in (("x", (1.04, 0)), ("y", (0, 1.04))):
            axis.annotate(text, place, fontsize=8, ha="center", va="center")
        axis.plot(0, 0, "k+", ms=5)
    bar = figure.colorbar(image, ax=globes, shrink=0.8, ticks=[0, *CONTOURS, 1])
    bar.set_label(f"{name}; z is in the middle (+)", fontsize=8)
    return figure


def draw_held_out(curves: dict[str, list[float]]) -> Figure:
    """Draw how well hidden cones were recovered, by resolution; see ``validation.json`` for the curves."""
    figure = Figure(figsize=(11.0, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    frequency = 1 / np.array(curves["resolution_angstrom"])
    left.plot(frequency, curves["ceiling"], "k--", label="ceiling")
    left.plot(frequency, curves["fsc"], "k-", label="prediction, raw half map 2")
    left.set_ylabel("FSC inside the hidden cones")
    right.plot(frequency, curves["recovered"], "k-", label="with the network")
    right.plot(frequency, curves["recovered_without_network"], "k:", label="data, mask and positivity alone")
    right.axhline(HALF, color="0.6", lw=0.8)
    right.set_ylabel("recovered fraction")
    for axis in (left, right):
        axis.set_ylim(-0.1, 1.05)
        axis.set_xlabel("spatial frequency / Å⁻¹")
        axis.legend(fontsize=8, loc="lower left")
        label_resolutions(axis)
    return figure
