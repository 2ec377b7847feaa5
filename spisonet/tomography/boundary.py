"""Regions inside closed contours, such as the boundary of the specimen drawn in IMOD."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.path import Path as Polygon

from spisonet.errors import SpisonetError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

MIN_CORNERS = 3
MIN_Z_RANGE = 10.0  # voxels between two last points that limit the range of planes


def inside_contours(
    contours: list[NDArray[np.float32]], shape: tuple[int, ...], binning: int = 1
) -> Iterator[NDArray[np.bool_]]:
    """Yield, plane by plane, the region inside closed contours.

    As in IsoNet's tutorial, one polygon may be followed by two points on other planes, which are then the
    first and the last plane; without them one polygon applies to all planes. With polygons on several
    planes, each plane uses the nearest, from the lowest to the highest polygon.

    Parameters
    ----------
    contours : list of ndarray
        ``(n, 3)`` points ``(x, y, z)`` in voxels of the tomogram, in the order of the file.
    shape : tuple of int
        ``(z, y, x)`` of the planes.
    binning : int
        Binning factor of the planes relative to the tomogram.

    Raises
    ------
    SpisonetError
        If no contour has three points.
    """
    points = np.concatenate([np.zeros((0, 3), dtype=np.float32), *contours])
    polygons, limits = contours, None
    if len(points) > MIN_CORNERS + 1 and abs(points[-1, 2] - points[-2, 2]) >= MIN_Z_RANGE:
        corners = points[:-2]
        if np.ptp(corners[:, 2]) <= 1:
            polygons, limits = [corners], sorted(points[-2:, 2])
    y, x = np.mgrid[: shape[1], : shape[2]]
    centres = binning * np.stack([x.ravel(), y.ravel()], axis=1) + (binning - 1) / 2
    planes: dict[int, NDArray[np.bool_]] = {}
    for polygon in polygons:
        if len(polygon) >= MIN_CORNERS:
            area = Polygon(polygon[:, :2]).contains_points(centres).reshape(shape[1:])
            height = round(float(np.median(polygon[:, 2])))
            planes[height] = area | planes[height] if height in planes else area
    if not planes:
        raise SpisonetError("The boundary has no closed contour of three or more points.")
    heights = np.array(sorted(planes))
    if limits is None:
        limits = [-np.inf, np.inf] if len(heights) == 1 else [heights[0], heights[-1]]
    for index in range(shape[0]):
        z = binning * index + (binning - 1) / 2
        within = limits[0] - binning / 2 <= z <= limits[1] + binning / 2
        area = planes[int(heights[np.abs(heights - z).argmin()])]
        yield area if within else np.zeros(area.shape, dtype=bool)
