"""The figure of a diagnosis: correlation by direction, and directions of views and of Fourier space."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from spisonet.figures.fsc3d import draw_curves

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage
    from numpy.typing import NDArray

    from spisonet.analysis.orientation_diagnostics import Diagnosis

    OfDirections = Callable[[NDArray[np.float64]], NDArray[np.floating]]

PIXELS = 161
MARGIN = 0.02  # drawn beyond the equator, and clipped
SMOOTHING_DEGREES = 5.0
CHUNK_PIXELS = 2000
MOST_SHOWN = 20_000  # views
LOWEST, HIGHEST = 0.03, 30.0  # relative to even views
RINGS_DEGREES = (30, 60, 90)


def draw_diagnosis(diagnosis: Diagnosis) -> Figure:
    """Draw the FSC by direction, the view distribution, and how densely Fourier space is covered."""
    figure = Figure(figsize=(11.0, 7.4), layout="constrained")
    radius = float(diagnosis.fsc3d.limit_shell)
    measured = diagnosis.measured.density
    particles = diagnosis.particles
    model = diagnosis.model
    panels: dict[str, OfDirections] = {}
    if particles is None:
        panels["views that explain the correlation"] = _smoothed(model.directions, model.view_weights)
    else:
        panels[f"views of {particles.n_particles:,} particles"] = _smoothed(particles.directions)
        sampled = particles.coverage.density
        panels["Fourier space: sampled, by the angles"] = lambda axes: sampled.at(radius * axes)
    panels["Fourier space: measured, by the correlation"] = lambda axes: measured.at(radius * axes)
    grid = figure.add_gridspec(2, len(panels), height_ratios=(1, 1.25))
    curves = figure.add_subplot(grid[0, :])
    draw_curves(curves, diagnosis.fsc3d, diagnosis.metrics)
    curves.set_title("Correlation of the half maps", fontsize=10, loc="left")
    axes = [figure.add_subplot(grid[1, column]) for column in range(len(panels))]
    for panel, (title, values) in zip(axes, panels.items(), strict=True):
        image = _draw_hemisphere(panel, values)
        panel.set_title(title, fontsize=10)
    bar = figure.colorbar(image, ax=axes, fraction=0.025, pad=0.01, extend="both")
    bar.set_label("density relative to even views", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    return figure


def _draw_hemisphere(panel: Axes, values: OfDirections) -> AxesImage:
    """Draw a function of axes on half a sphere, seen along z, in the equal-area projection of Lambert."""
    side = np.linspace(-1 - MARGIN, 1 + MARGIN, PIXELS)
    x, y = np.meshgrid(side, side)
    r2 = x**2 + y**2
    inside = r2 <= (1 + MARGIN) ** 2
    # Lambert: the radius is sqrt(2) sin(θ / 2) of the polar angle θ, so that the equator is at 1.
    plane = np.stack([x, y], axis=-1)[inside] * np.sqrt(2 - r2[inside])[:, None]
    image = np.full(x.shape, LOWEST)
    image[inside] = np.maximum(values(np.column_stack([plane, 1 - r2[inside]])), LOWEST / 10)
    reach = 1 + MARGIN
    extent = (-reach, reach, -reach, reach)
    drawn = panel.imshow(image, origin="lower", extent=extent, cmap="viridis", norm=LogNorm(LOWEST, HIGHEST))
    drawn.set_clip_path(Circle((0, 0), 1, transform=panel.transData))
    turn = np.linspace(0, 2 * np.pi, 181)
    for degrees in RINGS_DEGREES:
        ring = np.sqrt(2) * np.sin(np.radians(degrees) / 2)
        colour, side_of_ring = ("black", "top") if degrees == RINGS_DEGREES[-1] else ("white", "bottom")
        panel.plot(ring * np.cos(turn), ring * np.sin(turn), color=colour, lw=0.7)
        panel.annotate(f"{degrees}°", (0, -ring), fontsize=7, ha="center", va=side_of_ring, color=colour)
    panel.annotate("x", (1.03, 0), va="center", fontsize=9)
    panel.annotate("y", (0, 1.03), ha="center", fontsize=9)
    panel.annotate("z", (0, 0), ha="center", va="center", fontsize=9, color="white")
    panel.set_xlim(-1.12, 1.12)
    panel.set_ylim(-1.14, 1.14)
    panel.set_axis_off()
    return drawn


def _smoothed(
    directions: NDArray[np.float64], view_weights: NDArray[np.float64] | None = None
) -> OfDirections:
    """Density of axes relative to an even distribution, smoothed by a few degrees."""
    if view_weights is None:
        directions = directions[:: -(-len(directions) // MOST_SHOWN)]
        view_weights = np.full(len(directions), 1 / len(directions))
    sharpness = 1 / np.radians(SMOOTHING_DEGREES) ** 2  # exp(-κ sin²/2) is a Gaussian of this width
    area = 2 * np.pi / sharpness  # of the kernel on the sphere; a hemisphere has 2π
    weights = (view_weights * 2 * np.pi / area).astype(np.float32)
    axes_of_views = directions.T.astype(np.float32)

    def at(axes: NDArray[np.float64]) -> NDArray[np.float32]:
        parts = []
        for part in np.array_split(axes.astype(np.float32), len(axes) // CHUNK_PIXELS + 1):
            sine2 = 1 - (part @ axes_of_views) ** 2
            parts.append(np.exp(np.float32(-sharpness / 2) * sine2) @ weights)
        return cast("NDArray[np.float32]", np.concatenate(parts))

    return at
