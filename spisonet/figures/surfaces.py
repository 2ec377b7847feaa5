"""Pictures of isosurfaces: what lies first on the line of sight, shaded by its slope."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
from matplotlib.figure import Figure
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

VIEWS = {"along z": 0, "along y": 1, "along x": 2}  # axis of the array (z, y, x) to look along
PIXELS = 180  # of a picture's edge, about
LIGHT = (0.3, 0.5, 0.81)  # from the upper left, towards the eye
AMBIENT, FOG = 0.25, 0.35
INSIDE = 0.5
SHARE_OF_MASK, SHARE_OF_SPHERE = 0.35, 0.1  # of the volume, that is enclosed
BARS_NM = (0.5, 1, 2, 5, 10, 20, 50)


def enclosing_level(volume: NDArray[np.float32], mask: NDArray[np.float32] | None) -> float:
    """Return the density above which a map encloses a third of the mask, or a tenth of a sphere."""
    if mask is not None:
        inside = volume[mask > INSIDE]
        if len(inside):
            return float(np.quantile(inside, 1 - SHARE_OF_MASK))
    return float(np.quantile(volume, 1 - SHARE_OF_SPHERE * np.pi / 6))


def surface(volume: NDArray[np.float32], level: float, axis: int) -> NDArray[np.float64]:
    """Draw an isosurface as seen along an axis.

    Parameters
    ----------
    volume : ndarray
        ``(n, n, n)`` density ``(z, y, x)``.
    level : float
        Of the surface.
    axis : int
        Axis of the array to look along, from its end.

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
) -> Figure:
    """Draw isosurfaces of a map before and after that enclose the same volume, along three axes."""
    figure = Figure(figsize=(9.6, 6.6), layout="constrained")
    axes = figure.subplots(2, 3)
    edge = len(before) * voxel_size_angstrom / 20  # nm, half
    for row, (title, volume) in zip(axes, (("before", before), ("after", after)), strict=True):
        level = enclosing_level(volume, mask)
        for panel, (view, axis) in zip(row, VIEWS.items(), strict=True):
            panel.imshow(
                surface(volume, level, axis), cmap="gray", vmin=0, vmax=1, origin="lower",
                extent=(-edge, edge, -edge, edge),
            )  # fmt: skip
            panel.set_title(f"{title}, {view}", fontsize=10)
            panel.set_axis_off()
        bar = max((b for b in BARS_NM if b < edge), default=BARS_NM[0])
        row[0].plot([-edge, -edge + bar], [-edge, -edge], "k-", lw=2)
        row[0].annotate(f"{bar:g} nm", (-edge, -edge * 0.97), fontsize=8, va="bottom")
    return figure
