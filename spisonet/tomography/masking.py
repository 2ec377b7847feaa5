"""Masks of the specimen in tomograms (``make_mask``)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from spisonet.io.tomogram_table import DECONVOLVED
from spisonet.io.tomograms import written_tomogram
from spisonet.tomography.chunks import SLAB_VOXELS
from spisonet.tomography.filter_inputs import tomogram_sources

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from spisonet.io.tomogram_table import TomogramRow
    from spisonet.io.tomograms import TomogramFile
    from spisonet.tomography.filter_inputs import Sources
    from spisonet.tomography.filters_config import MakeMaskConfig

BINNING = 2
ANTIALIASING_SIGMA = 0.25  # binned voxels; IsoNet blurs by 0.5 voxels before it bins
DEFAULT_PERCENTAGE, DEFAULT_MAX_TILT = 50.0, 60.0
GOLD_MARGIN = 3  # binned voxels around a gold bead
GAUSSIAN_REACH = 4.0  # standard deviations
PERCENTILE_SAMPLES = 2**24
ALL = 100  # per cent
DENSITY_COLUMN, VARIANCE_COLUMN = "rlnMaskDensityPercentage", "rlnMaskStdPercentage"


@dataclass(frozen=True)
class MaskOptions:
    """Parameters of a mask.

    Attributes
    ----------
    patch_size : int
        Radius of the maximum and variance filters in binned voxels.
    density_percentage, std_percentage : float
        Percentage of voxels to keep by density, and by local variance.
    z_crop : float
        Fraction of the thickness to exclude at the top, and at the bottom.
    gold_sigma : float or None
        Regions around voxels darker than this many standard deviations are excluded.
    max_tilt_degrees : float or None
        Voxels outside the field of view at tilts up to this angle are excluded; None to keep them.
    """

    patch_size: int
    density_percentage: float
    std_percentage: float
    z_crop: float
    gold_sigma: float | None
    max_tilt_degrees: float | None = None


def mask_options(config: MakeMaskConfig, row: TomogramRow) -> MaskOptions:
    """Return the parameters of the mask of a tomogram, from the options or else from the table."""
    return MaskOptions(
        config.patch_size,
        _percentage(config.density_percentage, row, DENSITY_COLUMN),
        _percentage(config.std_percentage, row, VARIANCE_COLUMN),
        config.z_crop or 0.0,
        config.gold_sigma,
        _max_tilt(row) if config.tilt_edges else None,
    )


def masking_sources(config: MakeMaskConfig, row: TomogramRow) -> Sources:
    """Return the files from which the mask is made: deconvolved, full, or both halves."""
    deconvolved = row.path(DECONVOLVED) if config.use_deconv_tomo else None
    return tomogram_sources(row, config.input_column, deconvolved)


def _max_tilt(row: TomogramRow) -> float:
    tilts = [row.number_of(column) for column in ("rlnTiltMin", "rlnTiltMax")]
    return max((abs(tilt) for tilt in tilts if tilt is not None), default=DEFAULT_MAX_TILT)


def _percentage(requested: float | None, row: TomogramRow, column: str) -> float:
    if requested is not None:
        return requested
    listed = row.number_of(column)
    return DEFAULT_PERCENTAGE if listed is None else listed


def bin_tomogram(tomogram: TomogramFile) -> NDArray[np.float32]:
    """Average a tomogram over 2 x 2 x 2 voxels; an odd last plane, row or column is omitted."""
    shape = tuple(n // BINNING for n in tomogram.shape)
    binned = np.empty(shape, dtype=np.float32)
    rows, columns = (slice(0, n * BINNING) for n in shape[1:])
    height = max(1, SLAB_VOXELS // (tomogram.shape[1] * tomogram.shape[2]))
    for start in range(0, shape[0], height):
        stop = min(start + height, shape[0])
        slab = tomogram.read(slice(start * BINNING, stop * BINNING), rows, columns)
        cells = slab.reshape(stop - start, BINNING, shape[1], BINNING, shape[2], BINNING)
        binned[start:stop] = cells.mean(axis=(1, 3, 5))
    return binned


def specimen_mask(binned: NDArray[np.float32], options: MaskOptions) -> NDArray[np.bool_]:
    """Mask regions of high density and high local variance in a tomogram in which density is dark.

    Parameters
    ----------
    binned : ndarray
        Tomogram ``(z, y, x)``, binned by 2.
    options : MaskOptions
        Parameters.

    Returns
    -------
    ndarray of bool
        Mask of the same shape.

    References
    ----------
    Liu et al. (2022) Nat. Commun. 13, 6482 (IsoNet): the local maximum of the smoothed, inverted density
    and the local standard deviation are each above a percentile. At least 99 % of the voxels agree with
    IsoNet 0.2 in tomograms of even size. In odd ones IsoNet resamples to half the size, rounded down, which
    shifts its mask by up to a voxel. Its ``z_crop`` excludes one binned plane less at low z if the fraction
    is not a whole number of planes. IsoNet2 normalises the local standard deviation as if the tomogram were
    surrounded by zeros: its mask changes with the mean grey value, and covers the faces of the box.
    """
    mean = float(binned.mean(dtype=np.float64))
    # By planes: numpy would allocate the deviations of the whole volume in double precision.
    deviation = math.sqrt(np.mean([np.square(plane - np.float32(mean)).mean() for plane in binned]))
    gold_threshold = None if options.gold_sigma is None else -options.gold_sigma * deviation
    stride = max(1, binned.size // PERCENTILE_SAMPLES)
    samples = []
    for _, maximum, variance, gold in _features(binned, mean, options.patch_size, gold_threshold):
        chosen = ~gold.reshape(-1)[::stride]
        samples.append(
            np.stack([maximum.reshape(-1)[::stride][chosen], variance.reshape(-1)[::stride][chosen]])
        )
    sampled = np.concatenate(samples, axis=1)
    thresholds = [
        np.percentile(values, 100 - percentage) if percentage < ALL and values.size else -np.inf
        for values, percentage in zip(
            sampled, (options.density_percentage, options.std_percentage), strict=True
        )
    ]
    mask = np.zeros(binned.shape, dtype=bool)
    for slab, maximum, variance, gold in _features(binned, mean, options.patch_size, gold_threshold):
        mask[slab] = (maximum > thresholds[0]) & (variance > thresholds[1]) & ~gold
    n_excluded = math.ceil(options.z_crop * len(binned))
    if n_excluded:
        mask[:n_excluded] = mask[-n_excluded:] = False
    if options.max_tilt_degrees is not None:
        mask &= seen_in_all_tilts(binned.shape, options.max_tilt_degrees)[:, None, :]
    return mask


def _features(
    binned: NDArray[np.float32], mean: float, size: int, gold_threshold: float | None
) -> Iterator[tuple[slice, NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]]:
    """Yield slabs of planes with local maximum and variance of the smoothed density, and gold beads."""
    width = 2 * size + 1
    gold_reach = size + GOLD_MARGIN
    halo = max(math.ceil(GAUSSIAN_REACH * size / 2) + width, gold_reach)
    height = max(halo, SLAB_VOXELS // (binned.shape[1] * binned.shape[2]))
    for start in range(0, len(binned), height):
        slab = slice(start, min(start + height, len(binned)))
        first = max(0, start - halo)
        density = binned[first : slab.stop + halo] - np.float32(mean)
        inner = slice(slab.start - first, slab.stop - first)
        sigma = math.hypot(size / 2, ANTIALIASING_SIGMA)
        gold = np.zeros(binned[slab].shape, dtype=bool)
        if gold_threshold is not None:
            gold = ndimage.maximum_filter(density < gold_threshold, 2 * gold_reach + 1)[inner]
        # In place where possible: with their halo, slabs of large tomograms take gigabytes.
        smooth = ndimage.gaussian_filter(np.negative(density, out=density), sigma, truncate=GAUSSIAN_REACH)
        del density
        maximum = ndimage.maximum_filter(smooth, width)[inner].copy()
        local_mean = _local_mean(smooth, width)[inner].copy()
        variance = _local_mean(np.square(smooth, out=smooth), width)[inner] - np.square(local_mean)
        del smooth
        yield slab, maximum, variance, gold


def _local_mean(values: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Mean over a cube about each voxel, over the part of it that is inside of the volume."""
    sums = ndimage.uniform_filter(values, width, mode="constant")
    for axis, n in enumerate(values.shape):
        inside = ndimage.uniform_filter1d(np.ones(n, dtype=np.float32), width, mode="constant")
        sums /= inside.reshape([-1 if other == axis else 1 for other in range(values.ndim)])
    return np.asarray(sums)


def seen_in_all_tilts(shape: tuple[int, ...], max_tilt_degrees: float) -> NDArray[np.bool_]:
    """Return which voxels ``(z, x)`` are in the field of view of all images, tilted about y up to an angle.

    A voxel is projected to ``x cos t + z sin t``, whose largest absolute value over the tilts ``t`` has to be
    within ``n_x / 2``. It is reached at ``tan t = z / x``, or else at the maximum tilt.
    """
    z, x = (np.abs(np.arange(n) - (n - 1) / 2) for n in (shape[0], shape[2]))
    tilt = np.minimum(np.arctan2(z[:, None], x[None]), np.radians(max_tilt_degrees))
    reach = x[None] * np.cos(tilt) + z[:, None] * np.sin(tilt)
    return np.asarray(reach <= shape[2] / 2)


def write_mask(output: Path, tomogram: TomogramFile, binned: NDArray[np.bool_]) -> None:
    """Write a binned mask at the voxel size of the tomogram.

    Raises
    ------
    SpisonetError
        If the file cannot be written.
    """
    with written_tomogram(output, tomogram, "spisonet make_mask", np.int8) as mask:
        for z, plane in enumerate(unbinned_planes(binned, tomogram.shape)):
            mask[z] = plane


def unbinned_planes(binned: NDArray[np.bool_], shape: tuple[int, int, int]) -> Iterator[NDArray[np.bool_]]:
    """Yield the planes of a binned mask at the voxel size of a tomogram of this shape ``(z, y, x)``."""
    rows, columns = (
        np.minimum(np.arange(n) // BINNING, m - 1) for n, m in zip(shape[1:], binned.shape[1:], strict=True)
    )
    for z in range(shape[0]):
        yield binned[min(z // BINNING, len(binned) - 1)][np.ix_(rows, columns)]
