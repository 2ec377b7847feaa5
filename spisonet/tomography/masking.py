"""``make_mask``: where the tomogram is."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.path import Path as Polygon
from scipy import ndimage

from spisonet.errors import SpisonetError
from spisonet.io.tomograms import written_tomogram
from spisonet.tomography.chunks import SLAB_VOXELS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from spisonet.io.tomogram_table import TomogramRow
    from spisonet.io.tomograms import TomogramFile
    from spisonet.tomography.filters_config import MakeMaskConfig

log = logging.getLogger("spisonet")

BINNING = 2
DEFAULT_PERCENTAGE, DEFAULT_TILT = 50.0, 60.0
GOLD_SURROUNDINGS = 3  # binned voxels around a gold bead
GAUSSIAN_REACH = 4.0  # standard deviations
PERCENTILE_SAMPLES = 2**24
ALL = 100  # per cent
FEWEST_CORNERS, LEAST_Z_RANGE = 3, 10.0


@dataclass(frozen=True)
class MaskOptions:
    """How to mask; see the options of ``make_mask`` of the same names."""

    patch_size: int
    density_percentage: float
    std_percentage: float
    z_crop: float
    gold_sigma: float | None
    seen_up_to_degrees: float | None = None


def _input(config: MakeMaskConfig, row: TomogramRow) -> Path | None:
    if config.input_column is not None:
        return row.path(config.input_column)
    deconvolved = row.path("rlnDeconvTomoName") if config.use_deconv_tomo else None
    return deconvolved or row.full or (row.halves[0] if row.halves else None)


def _steepest_tilt(row: TomogramRow) -> float:
    tilts = [row.number_of(column) for column in ("rlnTiltMin", "rlnTiltMax")]
    return max((abs(tilt) for tilt in tilts if tilt is not None), default=DEFAULT_TILT)


def _percentage(chosen: float | None, row: TomogramRow, column: str) -> float:
    if chosen is not None:
        return chosen
    found = row.number_of(column)
    return DEFAULT_PERCENTAGE if found is None else found


def _binned(tomogram: TomogramFile) -> NDArray[np.float32]:
    """Average a tomogram over 2 x 2 x 2 voxels; an odd last plane, row or column is left out."""
    shape = tuple(n // BINNING for n in tomogram.shape)
    binned = np.empty(shape, dtype=np.float32)
    rows, columns = (slice(0, n * BINNING) for n in shape[1:])
    height = max(1, SLAB_VOXELS // (tomogram.shape[1] * tomogram.shape[2]))
    for start in range(0, shape[0], height):
        stop = min(start + height, shape[0])
        part = tomogram.read(slice(start * BINNING, stop * BINNING), rows, columns)
        cells = part.reshape(stop - start, BINNING, shape[1], BINNING, shape[2], BINNING)
        binned[start:stop] = cells.mean(axis=(1, 3, 5))
    return binned


def specimen_mask(binned: NDArray[np.float32], options: MaskOptions) -> NDArray[np.bool_]:
    """Mask what is dense and varies, in a tomogram in which density is dark.

    Parameters
    ----------
    binned : ndarray
        ``(z, y, x)``.
    options : MaskOptions
        How.

    Returns
    -------
    ndarray
        Same shape.

    References
    ----------
    Liu et al. (2022) Nat. Commun. 13, 6482 (IsoNet): the maximum of the smoothed, inverted densities around
    a voxel, and their standard deviation, are each above a percentile.
    """
    mean, deviation = float(binned.mean(dtype=np.float64)), float(binned.std(dtype=np.float64))
    darkest = None if options.gold_sigma is None else -options.gold_sigma * deviation
    stride = max(1, binned.size // PERCENTILE_SAMPLES)
    samples = []
    for _, densest, variance, gold in _features(binned, mean, options.patch_size, darkest):
        chosen = ~gold.reshape(-1)[::stride]
        samples.append(
            np.stack([densest.reshape(-1)[::stride][chosen], variance.reshape(-1)[::stride][chosen]])
        )
    sampled = np.concatenate(samples, axis=1)
    thresholds = [
        np.percentile(values, 100 - percentage) if percentage < ALL and values.size else -np.inf
        for values, percentage in zip(
            sampled, (options.density_percentage, options.std_percentage), strict=True
        )
    ]
    mask = np.zeros(binned.shape, dtype=bool)
    for slab, densest, variance, gold in _features(binned, mean, options.patch_size, darkest):
        mask[slab] = (densest > thresholds[0]) & (variance > thresholds[1]) & ~gold
    crop = math.ceil(options.z_crop * len(binned))
    if crop:
        mask[:crop] = mask[-crop:] = False
    if options.seen_up_to_degrees is not None:
        mask &= seen_in_all_tilts(binned.shape, options.seen_up_to_degrees)[:, None, :]
    return mask


def _features(
    binned: NDArray[np.float32], mean: float, size: int, darkest: float | None
) -> Iterator[tuple[slice, NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]]:
    """Yield slabs of planes with local maximum and variance of the smoothed densities, and gold beads."""
    width = 2 * size + 1
    around_gold = size + GOLD_SURROUNDINGS
    halo = max(math.ceil(GAUSSIAN_REACH * size / 2) + width, around_gold)
    height = max(halo, SLAB_VOXELS // (binned.shape[1] * binned.shape[2]))
    for start in range(0, len(binned), height):
        slab = slice(start, min(start + height, len(binned)))
        first = max(0, start - halo)
        part = binned[first : slab.stop + halo] - np.float32(mean)
        own = slice(slab.start - first, slab.stop - first)
        smooth = ndimage.gaussian_filter(part, size / 2, truncate=GAUSSIAN_REACH)
        densest = ndimage.maximum_filter(-smooth, width)[own]
        local = ndimage.uniform_filter(smooth, width)
        variance = (ndimage.uniform_filter(np.square(smooth), width) - np.square(local))[own]
        gold = np.zeros(densest.shape, dtype=bool)
        if darkest is not None:
            gold = ndimage.maximum_filter(part < darkest, 2 * around_gold + 1)[own]
        yield slab, densest, variance, gold


def seen_in_all_tilts(shape: tuple[int, ...], steepest_degrees: float) -> NDArray[np.bool_]:
    """Tell which voxels ``(z, x)`` lie in the field of view of every image, tilted about y up to an angle.

    A voxel is projected to ``x cos t + z sin t``, which is within ``±n_x / 2`` for all tilts ``t`` unless its
    distance from the tilt axis is larger and is reached within the range.
    """
    z, x = (np.abs(np.arange(n) - (n - 1) / 2) for n in (shape[0], shape[2]))
    steepest = np.minimum(np.arctan2(z[:, None], x[None]), np.radians(steepest_degrees))
    reach = x[None] * np.cos(steepest) + z[:, None] * np.sin(steepest)
    return np.asarray(reach <= shape[2] / 2)


def inside_contours(
    contours: list[NDArray[np.float32]], shape: tuple[int, ...], binning: int = 1
) -> Iterator[NDArray[np.bool_]]:
    """Yield, plane by plane, what closed contours surround.

    As in IsoNet's tutorial, one polygon may be followed by two points on other planes, which then are the
    first and the last plane; without them a polygon surrounds all planes. Of polygons on several planes the
    nearest counts, between the lowest and the highest.

    Parameters
    ----------
    contours : list of ndarray
        ``(n, 3)`` points ``(x, y, z)`` in voxels of the whole tomogram, in the order of the file.
    shape : tuple of int
        ``(z, y, x)`` of the planes.
    binning : int
        Voxels of the tomogram along a voxel of the planes.

    Raises
    ------
    SpisonetError
        If no contour has three points.
    """
    points = np.concatenate([np.zeros((0, 3), dtype=np.float32), *contours])
    polygons, limits = contours, None
    if len(points) > FEWEST_CORNERS + 1 and abs(points[-1, 2] - points[-2, 2]) >= LEAST_Z_RANGE:
        corners = points[:-2]
        if np.ptp(corners[:, 2]) <= 1:
            polygons, limits = [corners], sorted(points[-2:, 2])
    y, x = np.mgrid[: shape[1], : shape[2]]
    centres = binning * np.stack([x.ravel(), y.ravel()], axis=1) + (binning - 1) / 2
    planes: dict[int, NDArray[np.bool_]] = {}
    for polygon in polygons:
        if len(polygon) >= FEWEST_CORNERS:
            area = Polygon(polygon[:, :2]).contains_points(centres).reshape(shape[1:])
            height = round(float(np.median(polygon[:, 2])))
            planes[height] = area | planes[height] if height in planes else area
    if not planes:
        raise SpisonetError("The boundary has no closed contour of three points or more.")
    heights = np.array(sorted(planes))
    if limits is None:
        limits = [-np.inf, np.inf] if len(heights) == 1 else [heights[0], heights[-1]]
    for index in range(shape[0]):
        z = binning * index + (binning - 1) / 2
        within = limits[0] - binning / 2 <= z <= limits[1] + binning / 2
        area = planes[int(heights[np.abs(heights - z).argmin()])]
        yield area if within else np.zeros(area.shape, dtype=bool)


def _write(output: Path, tomogram: TomogramFile, binned: NDArray[np.bool_]) -> None:
    n_y, n_x = tomogram.shape[1:]
    rows, columns = (
        np.minimum(np.arange(n) // BINNING, m - 1) for n, m in zip((n_y, n_x), binned.shape[1:], strict=True)
    )
    with written_tomogram(output, tomogram, "spisonet make_mask", np.int8) as mask:
        for z in range(tomogram.shape[0]):
            mask[z] = binned[min(z // BINNING, len(binned) - 1)][np.ix_(rows, columns)]
