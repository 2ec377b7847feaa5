"""``make_mask``: where the specimen is."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.path import Path as Polygon
from scipy import ndimage

from spisonet.errors import SpisonetError
from spisonet.io.atomic import prepare_output_folder
from spisonet.io.imod import read_contours
from spisonet.io.tomograms import open_tomogram, written_tomogram
from spisonet.tomography.blocks import slabs
from spisonet.tomography.table import TomogramTable, require_files

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from spisonet.io.tomograms import TomogramFile
    from spisonet.tomography.config import MakeMaskConfig
    from spisonet.tomography.table import TomogramRow

log = logging.getLogger("spisonet")

BINNING = 2
DEFAULT_PERCENTAGE, DEFAULT_TILT = 50.0, 60.0
GOLD_SURROUNDINGS = 3  # binned voxels around a gold bead


@dataclass(frozen=True)
class MaskOptions:
    """How to mask; see the options of ``make_mask`` of the same names."""

    patch_size: int
    density_percentage: float
    std_percentage: float
    z_crop: float
    gold_sigma: float | None
    seen_up_to_degrees: float | None = None


def run_make_mask(config: MakeMaskConfig) -> None:
    """Mask the tomograms of a table, and note the masks in it.

    Raises
    ------
    SpisonetError
        If files are missing, a mask turns out empty, or something cannot be written.
    """
    table = TomogramTable.read(config.star_file)
    rows = table.chosen(config.tomo_idx)
    inputs = {row.shown: _input(config, row) for row in rows}
    boundaries = {row.shown: config.mask_boundary or row.path("rlnMaskBoundary") for row in rows}
    require_files(inputs, "tomogram")
    require_files({shown: path for shown, path in boundaries.items() if path is not None}, "boundary")
    prepare_output_folder(config.mask_folder)
    for row in rows:
        path, boundary = inputs[row.shown], boundaries[row.shown]
        assert path is not None
        options = MaskOptions(
            config.patch_size,
            _percentage(config.density_percentage, row, "rlnMaskDensityPercentage"),
            _percentage(config.std_percentage, row, "rlnMaskStdPercentage"),
            config.z_crop or 0.0,
            config.gold_sigma,
            _steepest_tilt(row) if config.tilt_edges else None,
        )
        tomogram = open_tomogram(path, row.voxel_size_angstrom)
        mask = specimen_mask(_binned(tomogram), options)
        if boundary is not None:
            mask &= inside_contours(read_contours(boundary), tomogram.shape)[::BINNING, ::BINNING, ::BINNING]
        if not mask.any():
            raise SpisonetError(
                f"The mask of {path} is empty: give larger percentages or a smaller --z_crop, "
                "or check its boundary."
            )
        output = config.mask_folder / f"{path.name.rsplit('.', 1)[0]}_mask.mrc"
        _write(output, tomogram, mask)
        for column, value in (
            ("rlnMaskDensityPercentage", options.density_percentage),
            ("rlnMaskStdPercentage", options.std_percentage),
            ("rlnMaskName", output),
        ):
            table.set(row, column, value)
        table.write()
        log.info("%s: %.0f %% of the tomogram -> %s", path, 100 * mask.mean(), output)


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
    """Read a tomogram with every second voxel along each axis, as the published masks are made."""
    planes = [
        tomogram.read(slab)[(-slab.start) % BINNING :: BINNING, ::BINNING, ::BINNING]
        for slab in slabs(tomogram.shape)
    ]
    return np.concatenate(planes)


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
    size = options.patch_size
    smooth = ndimage.gaussian_filter(binned, size / 2)
    gold = np.zeros(binned.shape, dtype=bool)
    if options.gold_sigma is not None:
        gold = binned < binned.mean() - options.gold_sigma * binned.std()
        gold = ndimage.maximum_filter(gold, 2 * (size + GOLD_SURROUNDINGS) + 1)
    allowed = ~gold
    crop = math.ceil(options.z_crop * len(binned))
    if crop:
        allowed[:crop] = allowed[-crop:] = False
    if options.seen_up_to_degrees is not None:
        allowed &= seen_in_all_tilts(binned.shape, options.seen_up_to_degrees)[:, None, :]
    densest = ndimage.maximum_filter(-smooth, 2 * size + 1)
    mean = ndimage.uniform_filter(smooth, 2 * size + 1)
    variance = ndimage.uniform_filter(np.square(smooth), 2 * size + 1) - np.square(mean)
    mask = allowed.copy()
    for values, percentage in ((densest, options.density_percentage), (variance, options.std_percentage)):
        if percentage < 100 and allowed.any():
            mask &= values > np.percentile(values[~gold], 100 - percentage)
    return mask


def seen_in_all_tilts(shape: tuple[int, ...], steepest_degrees: float) -> NDArray[np.bool_]:
    """Tell which voxels ``(z, x)`` lie in the field of view of every image, tilted about y up to an angle.

    A voxel is projected to ``x cos t + z sin t``, which is within ``±n_x / 2`` for all tilts ``t`` unless its
    distance from the tilt axis is larger and is reached within the range.
    """
    z, x = (np.abs(np.arange(n) - (n - 1) / 2) for n in (shape[0], shape[2]))
    steepest = np.minimum(np.arctan2(z[:, None], x[None]), np.radians(steepest_degrees))
    reach = x[None] * np.cos(steepest) + z[:, None] * np.sin(steepest)
    return np.asarray(reach <= shape[2] / 2)


def inside_contours(contours: list[NDArray[np.float32]], shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Mask what closed contours surround, between the lowest and the highest of them.

    Parameters
    ----------
    contours : list of ndarray
        ``(n, 3)`` points ``(x, y, z)`` in voxels, each contour in one plane. One contour alone surrounds all
        planes; between two, the nearest counts.
    shape : tuple of int
        ``(z, y, x)``.

    Raises
    ------
    SpisonetError
        If no contour has three points.
    """
    planes: dict[int, NDArray[np.bool_]] = {}
    y, x = np.mgrid[: shape[1], : shape[2]]
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    for contour in contours:
        if len(contour) >= 3:
            area = Polygon(contour[:, :2]).contains_points(points).reshape(shape[1:])
            height = round(float(np.median(contour[:, 2])))
            planes[height] = area | planes[height] if height in planes else area
    if not planes:
        raise SpisonetError("The boundary has no closed contour of three points or more.")
    heights = np.array(sorted(planes))
    mask = np.zeros(shape, dtype=bool)
    for z in range(shape[0]):
        if len(heights) == 1 or heights[0] <= z <= heights[-1]:
            mask[z] = planes[int(heights[np.abs(heights - z).argmin()])]
    return mask


def _write(output: Path, tomogram: TomogramFile, binned: NDArray[np.bool_]) -> None:
    with written_tomogram(output, tomogram, "spisonet make_mask", np.int8) as mask:
        for z in range(tomogram.shape[0]):
            plane = binned[min(z // BINNING, len(binned) - 1)]
            fine = plane.repeat(BINNING, axis=0).repeat(BINNING, axis=1)
            mask[z] = fine[: tomogram.shape[1], : tomogram.shape[2]]
