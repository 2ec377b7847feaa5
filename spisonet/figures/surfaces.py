"""Shaded isosurfaces of a map before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
from matplotlib.figure import Figure
from scipy import ndimage

from spisonet.figures.style import SMALL_LABEL_SIZE, TITLE_SIZE
from spisonet.io.mrc import MASK_THRESHOLD

if TYPE_CHECKING:
    from numpy.typing import NDArray

VIEWS = {"along z": 0, "along y": 1, "along x": 2}  # axis of the array (z, y, x) along the line of sight
PIXELS = 180  # approximate edge of a picture
LIGHT = (0.3, 0.5, 0.81)  # from the upper left, towards the eye
AMBIENT, FOG = 0.25, 0.35
MASK_FRACTION, SPHERE_FRACTION = 0.35, 0.1  # of the volume, inside the surface
SCALE_BARS_ANGSTROM = (5, 10, 20, 50, 100, 200, 500)
BLUR_OF_LIMIT = 0.25  # standard deviation of the low-pass filter, relative to the resolution limit


def enclosing_level(volume: NDArray[np.float32], mask: NDArray[np.float32] | None) -> float:
    """Return the density whose isosurface encloses 35 % of the mask or, without one, 10 % of a sphere.

    Parameters
    ----------
    volume, mask : ndarray
        ``(n, n, n)``; the mask may be None. The sphere is inscribed in the box.
    """
    if mask is not None:
        inside = volume[mask > MASK_THRESHOLD]
        if len(inside):
            return float(np.quantile(inside, 1 - MASK_FRACTION))
    return float(np.quantile(volume, 1 - SPHERE_FRACTION * np.pi / 6))


def shaded_surface(volume: NDArray[np.float32], level: float, axis: int) -> NDArray[np.float64]:
    """Shade an isosurface seen along an axis.

    Parameters
    ----------
    volume : ndarray
        ``(n, n, n)`` density ``(z, y, x)``.
    level : float
        Density of the surface.
    axis : int
        Axis of the array along the line of sight; the eye is at its end.

    Returns
    -------
    ndarray
        Grey values in 0..1, rows up and columns to the right, 1 (white) where there is no surface.
    """
    # Depth first, from the eye; then up and right, in a right-handed frame.
    seen = np.flip(volume.transpose({0: (0, 1, 2), 1: (1, 0, 2), 2: (2, 0, 1)}[axis]), axis=0)
    if axis == 1:
        seen = np.flip(seen, axis=2)  # x runs to the left when seen from +y with z up
    zoom = max(1.0, PIXELS / len(volume))
    fine = ndimage.zoom(seen, zoom, order=1) if zoom > 1 else seen
    solid = fine > level
    hit = solid.any(axis=0)
    first = np.argmax(solid, axis=0)
    rows, columns = np.indices(hit.shape)
    before, at = fine[np.maximum(first - 1, 0), rows, columns], fine[first, rows, columns]
    part = np.divide(level - before, at - before, out=np.ones_like(at), where=at > before)
    depth = first - 1 + np.clip(part, 0, 1)
    places = np.stack([depth, rows, columns]) * ((len(seen) - 1) / (len(fine) - 1))
    slopes = np.stack(
        [ndimage.map_coordinates(g, places, order=1, mode="nearest") for g in np.gradient(seen)]
    )
    # Density falls outwards, so the normal points against its gradient; the eye is at small depths.
    away, up, right = -slopes / np.maximum(np.linalg.norm(slopes, axis=0), 1e-12)
    brightness = np.clip(-LIGHT[0] * right + LIGHT[1] * up - LIGHT[2] * away, 0, 1)
    reach = np.ptp(depth[hit]) if hit.any() else 0.0
    fog = FOG * np.clip((depth - depth[hit].min(initial=np.inf)) / reach, 0, 1) if reach else 0.0
    shade = (AMBIENT + (1 - AMBIENT) * brightness) * (1 - fog)
    return cast("NDArray[np.float64]", np.where(hit, 0.92 * shade, 1.0))


def draw_surfaces(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    mask: NDArray[np.float32] | None,
    voxel_size_angstrom: float,
    limit_angstrom: float,
) -> Figure:
    """Draw isosurfaces of a map before and after along three axes, at levels that enclose the same volume.

    Parameters
    ----------
    before, after : ndarray
        ``(n, n, n)`` densities; both are low-pass filtered, which removes noise beyond the limit.
    mask : ndarray or None
        ``(n, n, n)``; see `enclosing_level`.
    voxel_size_angstrom, limit_angstrom : float
        Voxel size and resolution limit in Å.
    """
    figure = Figure(figsize=(9.6, 6.6), layout="constrained")
    axes = figure.subplots(2, 3)
    edge = len(before) * voxel_size_angstrom / 2
    sigma = BLUR_OF_LIMIT * limit_angstrom / voxel_size_angstrom
    for row, (title, density) in zip(axes, (("before", before), ("after", after)), strict=True):
        volume = ndimage.gaussian_filter(density, sigma)
        level = enclosing_level(volume, mask)
        for panel, (view, axis) in zip(row, VIEWS.items(), strict=True):
            panel.imshow(
                shaded_surface(volume, level, axis), cmap="gray", vmin=0, vmax=1, origin="lower",
                extent=(-edge, edge, -edge, edge),
            )  # fmt: skip
            panel.set_title(f"{title}, {view}", fontsize=TITLE_SIZE)
            panel.set_axis_off()
        bar = max((b for b in SCALE_BARS_ANGSTROM if b < edge), default=SCALE_BARS_ANGSTROM[0])
        row[0].plot([-edge, -edge + bar], [-edge, -edge], "k-", lw=2)
        row[0].annotate(f"{bar:g} Å", (-edge, -edge * 0.97), fontsize=SMALL_LABEL_SIZE, va="bottom")
    return figure
