"""Functions of direction on a hemisphere seen along z, in Lambert's equal-area projection."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
from matplotlib.patches import Circle

from spisonet.figures.style import LABEL_SIZE, SMALL_TICK_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.image import AxesImage
    from numpy.typing import NDArray

    FunctionOfDirection = Callable[[NDArray[np.float64]], NDArray[np.floating]]

PIXELS = 161
MARGIN = 0.02  # drawn beyond the equator, and clipped
EQUATOR_DEGREES = 90
RINGS_DEGREES = (30, 60, EQUATOR_DEGREES)
SMOOTHING_DEGREES = 5.0  # standard deviation of the Gaussian kernel
CHUNK_PIXELS = 2000


def draw_hemisphere(
    panel: Axes,
    values: FunctionOfDirection,
    norm: Normalize,
    colour_map: str,
    contours: Sequence[float] = (),
) -> AxesImage:
    """Draw a function of direction that is the same for opposite directions.

    Parameters
    ----------
    panel : Axes
        Where to draw.
    values : callable
        Maps ``(n, 3)`` unit vectors ``(x, y, z)`` to ``(n,)`` values.
    norm : Normalize
        Maps values to colours; its `vmin` must be set.
    colour_map : str
        Name of a matplotlib colour map.
    contours : sequence of float
        Values at which to draw labelled contours. Without contours, rings mark polar angles of 30° and 60°.

    Returns
    -------
    AxesImage
        For a colour bar.
    """
    edge = 1 + MARGIN
    side = np.linspace(-edge, edge, PIXELS)
    x, y = np.meshgrid(side, side)
    r2 = x**2 + y**2
    inside = r2 <= edge**2
    # Lambert: the radius is sqrt(2) sin(θ / 2) for a polar angle θ, so that the equator is at 1.
    plane = np.stack([x, y], axis=-1)[inside] * np.sqrt(2 - r2[inside])[:, None]
    lowest = float(norm.vmin or 0.0)
    image = np.full(x.shape, lowest)
    image[inside] = np.maximum(values(np.column_stack([plane, 1 - r2[inside]])), lowest / 10)
    drawn = panel.imshow(image, origin="lower", extent=(-edge, edge, -edge, edge), cmap=colour_map, norm=norm)
    equator = Circle((0, 0), 1, transform=panel.transData)
    drawn.set_clip_path(equator)
    if contours and image.min() < max(contours) and image.max() > min(contours):
        lines = panel.contour(x, y, image, levels=list(contours), colors="white", linewidths=0.8)
        lines.set_clip_path(equator)
        panel.clabel(lines, fontsize=SMALL_TICK_SIZE)
    if contours:
        _draw_ring(panel, EQUATOR_DEGREES, "black")
    else:
        _draw_labelled_rings(panel)
    _draw_axis_names(panel)
    return drawn


def _draw_ring(panel: Axes, polar_angle_degrees: float, colour: str) -> float:
    """Draw a circle of equal polar angle; return its radius."""
    angle = np.linspace(0, 2 * np.pi, 181)
    radius = float(np.sqrt(2) * np.sin(np.radians(polar_angle_degrees) / 2))
    panel.plot(radius * np.cos(angle), radius * np.sin(angle), color=colour, lw=0.7)
    return radius


def _draw_labelled_rings(panel: Axes) -> None:
    for degrees in RINGS_DEGREES:
        colour, side = ("black", "top") if degrees == EQUATOR_DEGREES else ("white", "bottom")
        radius = _draw_ring(panel, degrees, colour)
        panel.annotate(
            f"{degrees}°", (0, -radius), fontsize=SMALL_TICK_SIZE, ha="center", va=side, color=colour
        )


def _draw_axis_names(panel: Axes) -> None:
    panel.annotate("x", (1.03, 0), va="center", fontsize=LABEL_SIZE)
    panel.annotate("y", (0, 1.03), ha="center", va="bottom", fontsize=LABEL_SIZE)
    box = {"boxstyle": "circle,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.7}
    panel.annotate("z", (0, 0), ha="center", va="center", fontsize=LABEL_SIZE, bbox=box)
    panel.set_xlim(-1.12, 1.12)
    panel.set_ylim(-1.14, 1.14)
    panel.set_axis_off()


def smoothed_density(
    directions: NDArray[np.float64], weights: NDArray[np.floating] | None = None
) -> FunctionOfDirection:
    """Return the density of axes relative to an even distribution, smoothed by a few degrees.

    Parameters
    ----------
    directions : ndarray
        ``(n, 3)`` unit vectors ``(x, y, z)``; opposite vectors are the same axis.
    weights : ndarray, optional
        ``(n,)``, of sum 1; by default all axes weigh alike.
    """
    if weights is None:
        weights = np.full(len(directions), 1 / len(directions))
    area = 2 * np.pi / _sharpness()  # of the kernel on the sphere; a hemisphere has 2π
    sums = _kernel_sums(directions, (weights * 2 * np.pi / area)[:, None])
    return lambda axes: sums(axes)[:, 0]


def interpolated(directions: NDArray[np.float64], values: NDArray[np.floating]) -> FunctionOfDirection:
    """Return the weighted mean of the values at nearby axes; see `smoothed_density` for the axes."""
    sums = _kernel_sums(directions, np.column_stack([values, np.ones(len(values))]))

    def at(axes: NDArray[np.float64]) -> NDArray[np.floating]:
        total, weight = sums(axes).T
        return cast("NDArray[np.floating]", total / np.maximum(weight, np.finfo(np.float32).tiny))

    return at


def _sharpness() -> float:
    return float(1 / np.radians(SMOOTHING_DEGREES) ** 2)  # exp(-κ sin²/2) is a Gaussian of this width


def _kernel_sums(
    directions: NDArray[np.float64], weights: NDArray[np.floating]
) -> Callable[[NDArray[np.float64]], NDArray[np.float32]]:
    """Return a function from ``(n, 3)`` axes to ``(n, columns)`` sums of weights times kernel."""
    centres, columns = directions.T.astype(np.float32), weights.astype(np.float32)
    exponent = np.float32(-_sharpness() / 2)

    def at(axes: NDArray[np.float64]) -> NDArray[np.float32]:
        parts = [
            np.exp(exponent * (1 - (part @ centres) ** 2)) @ columns
            for part in np.array_split(axes.astype(np.float32), len(axes) // CHUNK_PIXELS + 1)
        ]
        return cast("NDArray[np.float32]", np.concatenate(parts))

    return at
