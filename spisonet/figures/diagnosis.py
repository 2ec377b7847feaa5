"""The figure of a diagnosis: FSC by direction, views, and the coverage of Fourier space."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from spisonet.figures.fsc3d import add_legend_below, draw_curves
from spisonet.figures.hemisphere import draw_hemisphere, smoothed_density
from spisonet.figures.style import CORRELATION_COLOURS, LABEL_SIZE, TICK_SIZE, TITLE_SIZE, WIDTH_INCHES

if TYPE_CHECKING:
    from spisonet.analysis.orientation_diagnostics import Diagnosis
    from spisonet.figures.hemisphere import FunctionOfDirection

MAX_VIEWS = 20_000  # that are drawn
LOWEST, HIGHEST = 0.03, 30.0  # density relative to even views


def draw_diagnosis(diagnosis: Diagnosis) -> Figure:
    """Draw the FSC by direction, the view distribution and the sampling density of Fourier space."""
    figure = Figure(figsize=(WIDTH_INCHES, 7.8), layout="constrained")
    radius = float(diagnosis.fsc.limit_shell)
    measured = diagnosis.measured.density
    particles, model = diagnosis.particles, diagnosis.view_distribution
    panels: dict[str, FunctionOfDirection] = {}
    if particles is None:
        title = "views: estimated from the half maps"
        panels[title] = smoothed_density(model.directions, model.view_weights)
    else:
        step = -(-len(particles.directions) // MAX_VIEWS)
        title = f"views: {particles.n_particles:,} particles"
        panels[title] = smoothed_density(particles.directions[::step])
        sampled = particles.sampling.density
        panels["Fourier space: sampled (particle angles)"] = lambda axes: sampled.at(radius * axes)
    panels["Fourier space: measured (FSC)"] = lambda axes: measured.at(radius * axes)
    grid = figure.add_gridspec(2, len(panels), height_ratios=(1, 1.25))
    curves = figure.add_subplot(grid[0, :])
    draw_curves(curves, diagnosis.fsc, diagnosis.metrics)
    curves.set_title("FSC of the half maps", fontsize=TITLE_SIZE, loc="left")
    add_legend_below(curves, columns=4)
    axes = [figure.add_subplot(grid[1, column]) for column in range(len(panels))]
    for panel, (title, values) in zip(axes, panels.items(), strict=True):
        image = draw_hemisphere(panel, values, LogNorm(LOWEST, HIGHEST), CORRELATION_COLOURS)
        panel.set_title(title, fontsize=TITLE_SIZE)
    bar = figure.colorbar(image, ax=axes, fraction=0.025, pad=0.01, extend="both")
    bar.set_label("density relative to even views", fontsize=LABEL_SIZE)
    bar.ax.tick_params(labelsize=TICK_SIZE)
    return figure
