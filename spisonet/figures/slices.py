"""Central slices of maps and tomograms in grey values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from spisonet.figures.style import SMALL_LABEL_SIZE, SMALL_TICK_SIZE, TITLE_SIZE, set_equal_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage
    from numpy.typing import NDArray

    from spisonet.io.mrc import Volume

PLANES = ("XY", "XZ", "YZ")
CONTRAST_PERCENTILES = (0.5, 99.8)  # of the grey values, shown black and white


def central_slices(volume: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return the XY, XZ and YZ planes through the centre of a volume ``(z, y, x)``."""
    z, y, x = (n // 2 for n in volume.shape)
    return [volume[z], volume[:, y], volume[:, :, x]]


def grey_range(values: NDArray[np.float32]) -> tuple[float, float]:
    """Return the grey values that are shown black and white."""
    low, high = np.percentile(values, CONTRAST_PERCENTILES)
    return float(low), float(high)


def draw_slice(
    panel: Axes,
    image: NDArray[np.float32],
    plane: str,
    title: str,
    extent: tuple[float, float, float, float],
    limits: tuple[float, float],
    unit: str = "Å",
) -> AxesImage:
    """Draw one slice, with the same ticks on both axes.

    Parameters
    ----------
    panel : Axes
        Where to draw.
    image : ndarray
        ``(rows, columns)`` grey values, rows upwards.
    plane : str
        One of `PLANES`: the names of the axes across and up.
    title : str
        What is shown, such as ``before``.
    extent : tuple of float
        Left, right, lower and upper edge.
    limits : tuple of float
        Grey values shown black and white; see `grey_range`.
    unit : str
        Unit of length.

    Returns
    -------
    AxesImage
        For a colour bar.
    """
    low, high = limits
    drawn = panel.imshow(image, cmap="gray", vmin=low, vmax=high, origin="lower", extent=extent)
    set_equal_ticks(panel)
    panel.set_title(f"{plane}, {title}", fontsize=TITLE_SIZE)
    panel.set_xlabel(f"{plane[0].lower()} ({unit})", fontsize=SMALL_LABEL_SIZE)
    panel.set_ylabel(f"{plane[1].lower()} ({unit})", fontsize=SMALL_LABEL_SIZE)
    panel.tick_params(labelsize=SMALL_TICK_SIZE)
    return drawn


def add_density_bar(image: AxesImage, panels: list[Axes]) -> None:
    """Add a bar of the grey values beside panels."""
    figure = panels[0].get_figure()
    assert figure is not None
    bar = figure.colorbar(image, ax=panels, fraction=0.02, pad=0.01)
    bar.set_label("density", fontsize=SMALL_LABEL_SIZE)
    bar.ax.tick_params(labelsize=SMALL_TICK_SIZE)


def draw_central_slices(volumes: dict[str, NDArray[np.float32]], voxel_size_angstrom: float) -> Figure:
    """Draw the central slices of maps or tomograms, one row each with its own grey scale.

    Parameters
    ----------
    volumes : dict
        Densities ``(z, y, x)`` by title.
    voxel_size_angstrom : float
        Edge of a voxel in Å.
    """
    rows = {title: (central_slices(volume), grey_range(volume)) for title, volume in volumes.items()}
    return _draw_rows(rows, voxel_size_angstrom)


def draw_preview_slices(rows: dict[str, list[NDArray[np.float32]]], voxel_size_angstrom: float) -> Figure:
    """Draw the XY, XZ and YZ planes of maps, one row each with the grey scale of these planes.

    Parameters
    ----------
    rows : dict
        The three planes by title.
    voxel_size_angstrom : float
        Edge of a voxel in Å.
    """
    ranges = {
        title: grey_range(np.concatenate([p.ravel() for p in planes])) for title, planes in rows.items()
    }
    return _draw_rows({title: (planes, ranges[title]) for title, planes in rows.items()}, voxel_size_angstrom)


def _draw_rows(
    rows: dict[str, tuple[list[NDArray[np.float32]], tuple[float, float]]], voxel_size_angstrom: float
) -> Figure:
    figure = Figure(figsize=(9.6, 3.3 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), 3, squeeze=False)
    for row, (title, (planes, limits)) in zip(axes, rows.items(), strict=True):
        for panel, plane, image in zip(row, PLANES, planes, strict=True):
            up, across = (n * voxel_size_angstrom / 2 for n in image.shape)
            drawn = draw_slice(panel, image, plane, title, (-across, across, -up, up), limits)
        add_density_bar(drawn, list(row))
    return figure


def draw_slices(maps: dict[str, Volume], limit_angstrom: float) -> Figure:
    """Draw central slices of a map and of its corrected versions.

    Parameters
    ----------
    maps : dict
        Maps by title, one row each; the first sets the grey scale.
    limit_angstrom : float
        Resolution to which the maps were corrected.
    """
    figure = Figure(figsize=(9.6, 0.3 + 3.15 * len(maps)), layout="constrained")
    axes = figure.subplots(len(maps), 3, squeeze=False)
    first = next(iter(maps.values()))
    limits = grey_range(first.data)
    half_edge = first.box * first.voxel_size_angstrom / 2
    extent = (-half_edge, half_edge, -half_edge, half_edge)
    for row, (title, volume) in zip(axes, maps.items(), strict=True):
        for panel, plane, image in zip(row, PLANES, central_slices(volume.data), strict=True):
            drawn = draw_slice(panel, image, plane, title, extent, limits)
    add_density_bar(drawn, list(axes.ravel()))
    figure.suptitle(f"Central slices, corrected to {limit_angstrom:.2f} Å (same grey scale)", fontsize=11)
    return figure
