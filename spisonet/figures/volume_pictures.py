"""Pictures of volumes for a viewer: planes and their power spectra as PNG, and small volumes for surfaces.

Arrays in, encoded pictures out; nothing heavier than NumPy and Pillow is imported.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from spisonet.io.mrc import MASK_THRESHOLD

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

MAX_PICTURE_PIXELS = 1536  # along an edge; larger planes are binned
MAX_TRANSFORM_PIXELS = 1024  # along an edge; of larger planes, the centre is transformed
HISTOGRAM_BINS = 120
CONTRAST_PERCENTILES, EXTENT_PERCENTILES = (0.5, 99.5), (0.02, 99.98)
POWER_PERCENTILES = (5.0, 99.9)
OVERLAY_COLOUR, OVERLAY_ALPHA = (255, 150, 20), 64


@dataclass(frozen=True)
class DensityDistribution:
    """Distribution of the densities of a volume.

    Attributes
    ----------
    contrast : tuple of float
        Densities to draw black and white: the 0.5th and 99.5th percentile.
    extent : tuple of float
        Range of the histogram: nearly all densities.
    histogram : tuple of int
        Counts in equal bins over the extent.
    mean, standard_deviation : float
        Of the finite densities.
    """

    contrast: tuple[float, float]
    extent: tuple[float, float]
    histogram: tuple[int, ...]
    mean: float
    standard_deviation: float


def density_distribution(sample: NDArray[np.float32]) -> DensityDistribution:
    """Summarise finite densities ``(n,)``, n > 0."""
    low, high = (float(value) for value in np.percentile(sample, CONTRAST_PERCENTILES))
    begin, end = (float(value) for value in np.percentile(sample, EXTENT_PERCENTILES))
    if low == high:  # a mask, for example
        low, high = float(sample.min()), float(sample.max())
    if begin == end:
        begin, end = low, high
    if begin == end:
        end = begin + 1.0
    counts, _ = np.histogram(sample, HISTOGRAM_BINS, (begin, end))
    return DensityDistribution(
        (low, high if high > low else low + 1.0),
        (begin, end),
        tuple(counts.tolist()),
        float(sample.mean()),
        float(sample.std()),
    )


def draw_mean(planes: Iterable[NDArray[np.float32]], axis: str, contrast: tuple[float, float]) -> bytes:
    """Draw the mean of planes as PNG.

    Parameters
    ----------
    planes : iterable of ndarray
        Planes across an axis, their rows and columns in the order z, y, x.
    axis : str
        ``z``, ``y`` or ``x``.
    contrast : tuple of float
        Densities that become black and white; the first may be the larger one.
    """
    mean: NDArray[np.float32] | None = None
    n_planes = 0
    for plane in planes:
        mean = plane if mean is None else mean + plane
        n_planes += 1
    if mean is None:
        raise ValueError("There are no planes to draw.")
    return _encode(_grey(_reduced(_upright(mean / np.float32(n_planes), axis)), contrast))


def draw_power_spectrum(planes: Iterable[NDArray[np.float32]], axis: str) -> bytes:
    """Draw the logarithm of the mean power spectrum of planes as PNG, zero frequency in the centre.

    See `draw_mean` for the parameters. Planes are multiplied by a Hann window, without which their edges
    would draw a cross.
    """
    total: NDArray[np.float64] | float = 0.0
    for plane in planes:
        image = np.nan_to_num(_upright(plane, axis))
        image = image[tuple(_centre(n) for n in image.shape)]
        window = np.outer(*(np.hanning(n) for n in image.shape))
        total = total + np.abs(np.fft.fft2((image - image.mean()) * window)) ** 2
    power = np.log(np.fft.fftshift(np.maximum(total, np.finfo(np.float32).tiny)))
    low, high = (float(value) for value in np.percentile(power, POWER_PERCENTILES))
    return _encode(_grey(power, (low, high)))


def draw_mask_overlay(plane: NDArray[np.float32], axis: str) -> bytes:
    """Draw a plane of a mask as PNG: coloured above 0.5, transparent elsewhere."""
    reduced = _reduced(_upright(plane, axis))
    picture = np.zeros((*reduced.shape, 4), dtype=np.uint8)
    picture[reduced > MASK_THRESHOLD] = (*OVERLAY_COLOUR, OVERLAY_ALPHA)
    return _encode(picture)


@dataclass(frozen=True)
class SurfaceVolume:
    """Small volume of bytes from which a browser draws surfaces.

    Attributes
    ----------
    voxels : ndarray
        ``(z, y, x)`` densities from 0 to 255.
    low, high : float
        Densities that 0 and 255 stand for.
    mean, standard_deviation : float
        Of the densities before binning, on the scale of the voxels.
    """

    voxels: NDArray[np.uint8]
    low: float
    high: float
    mean: float
    standard_deviation: float


def surface_volume(layers: Iterable[NDArray[np.float32]], binning: int) -> SurfaceVolume:
    """Bin a volume for drawing its surface.

    Parameters
    ----------
    layers : iterable of ndarray
        ``(binning, y, x)`` consecutive planes across z.
    binning : int
        Edge in voxels of the cubes that are averaged.
    """
    means, squares, rows = [], [], []
    for layer in layers:
        finite = np.nan_to_num(layer, posinf=0, neginf=0)
        means.append(float(finite.mean(dtype=np.float64)))
        squares.append(float(np.mean(np.square(finite, dtype=np.float64))))
        rows.append(_binned(finite.mean(axis=0), binning, binning))
    binned = np.stack(rows)
    low, high = float(binned.min()), float(binned.max())
    scale = 255 / ((high - low) or 1.0)
    mean = float(np.mean(means))
    deviation = math.sqrt(max(0.0, float(np.mean(squares)) - mean**2))
    voxels = np.rint((binned - low) * scale).astype(np.uint8)
    return SurfaceVolume(voxels, low, high, (mean - low) * scale, deviation * scale)


def _upright(plane: NDArray[np.float32], axis: str) -> NDArray[np.float32]:
    """Orient a plane as 3dmod does: y (or z, in planes across y) points up."""
    return (plane.T if axis == "x" else plane)[::-1]


def _centre(n: int) -> slice:
    start = max(0, (n - MAX_TRANSFORM_PIXELS) // 2)
    return slice(start, start + min(n, MAX_TRANSFORM_PIXELS))


def _reduced(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bin a plane, each edge separately: the page draws it in its true proportions."""
    return _binned(plane, *(math.ceil(n / MAX_PICTURE_PIXELS) for n in plane.shape))


def _binned(plane: NDArray[np.float32], row_binning: int, column_binning: int) -> NDArray[np.float32]:
    if row_binning == column_binning == 1:
        return plane
    rows, columns = plane.shape[0] // row_binning, plane.shape[1] // column_binning
    complete = plane[: rows * row_binning, : columns * column_binning]
    cells = complete.reshape(rows, row_binning, columns, column_binning)
    mean: NDArray[np.float32] = cells.mean(axis=(1, 3))
    return mean


def _grey(plane: NDArray[Any], contrast: tuple[float, float]) -> NDArray[np.uint8]:
    low, high = contrast
    clipped = np.clip(np.nan_to_num(plane, nan=low), min(contrast), max(contrast))
    grey: NDArray[np.uint8] = ((clipped - low) * (255 / ((high - low) or 1.0))).astype(np.uint8)
    return grey


def _encode(picture: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
