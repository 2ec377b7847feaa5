"""The figure of a fraction of Fourier power by resolution and direction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from spisonet.figures.hemisphere import draw_hemisphere, interpolated
from spisonet.figures.style import (
    BLUE,
    FRACTION_COLOURS,
    LABEL_SIZE,
    TICK_SIZE,
    WIDTH_INCHES,
    add_legend_above,
    label_resolutions,
)

if TYPE_CHECKING:
    from spisonet.analysis.directional_power import DirectionalFractions

N_BANDS = 3  # of resolution, one hemisphere each
CONTOURS = (0.25, 0.5, 0.75)


def draw_directional_fraction(fraction: DirectionalFractions, box_angstrom: float, name: str) -> Figure:
    """Draw a fraction by resolution, and over the hemisphere of directions in bands of resolution.

    Parameters
    ----------
    fraction : DirectionalFractions
        Fraction in 0..1 by shell and direction.
    box_angstrom : float
        Box edge in Å.
    name : str
        Name of the fraction, for the axes.
    """
    figure = Figure(figsize=(WIDTH_INCHES, 3.6), layout="constrained")
    n_bands = min(N_BANDS, len(fraction.shells))
    first, *globes = figure.subplots(1, 1 + n_bands, width_ratios=[1.5] + [1] * n_bands)
    frequency = fraction.shells / box_angstrom
    low, high = fraction.curves.min(axis=0), fraction.curves.max(axis=0)
    first.fill_between(frequency, low, high, color=BLUE, alpha=0.2, lw=0, label="range over directions")
    first.plot(frequency, fraction.mean, "k-", label="whole shells")
    first.set(ylim=(0, 1), ylabel=name)
    add_legend_above(first)
    label_resolutions(first)
    norm = Normalize(0, 1)
    for panel, band in zip(globes, np.array_split(np.arange(len(fraction.shells)), n_bands), strict=True):
        values = interpolated(fraction.axes, fraction.curves[:, band].mean(axis=1))
        image = draw_hemisphere(panel, values, norm, FRACTION_COLOURS, CONTOURS)
        coarse, fine = (box_angstrom / fraction.shells[band[end]] for end in (0, -1))
        panel.set_title(f"{coarse:.1f} to {fine:.1f} Å", fontsize=LABEL_SIZE)
    bar = figure.colorbar(image, ax=globes, shrink=0.8, ticks=[0, *CONTOURS, 1])
    bar.set_label(name, fontsize=TICK_SIZE)
    return figure
