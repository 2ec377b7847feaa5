"""Resampling of tomograms and masks to another voxel size (``resize``)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from spisonet.errors import SpisonetError
from spisonet.fourier.filters import RadialCurve
from spisonet.fourier.windows import cosine_edge
from spisonet.io.tomogram_table import (
    DECONVOLVED,
    FULL_ISONET1,
    FULL_ISONET2,
    FULL_RELION5,
    HALVES,
)
from spisonet.io.tomograms import SUFFIXES, written_tomogram
from spisonet.tomography.chunks import Chunk, chunks, read_mirrored

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from spisonet.io.tomogram_table import TomogramRow
    from spisonet.io.tomograms import TomogramFile

DENSITIES = (FULL_ISONET1, FULL_ISONET2, FULL_RELION5, *HALVES, DECONVOLVED)
MASK = "rlnMaskName"
VOXEL_COORDINATES = ("rlnBoxFile", "rlnMaskBoundary")  # files of coordinates in voxels
CHUNK_EDGE, MARGIN = 192, 16  # voxels of the input, and of the larger of both voxel sizes
CURVE_POINTS, EDGE_WIDTH = 4097, 0.2  # of the new Nyquist
INSIDE = 0.5


def listed_tomogram(row: TomogramRow, column: str) -> Path | None:
    """Return the tomogram or mask in a column; RELION 5 and IsoNet2 use rlnTomoName for different things."""
    path = row.path(column)
    return path if path is not None and path.suffix.lower() in SUFFIXES else None


def resize_tomogram(tomogram: TomogramFile, output: Path, voxel_size_angstrom: float, is_mask: bool) -> None:
    """Resample a tomogram in chunks and write it; the centre of the first voxel does not move.

    Parameters
    ----------
    tomogram : TomogramFile
        Input.
    output : Path
        MRC file to write.
    voxel_size_angstrom : float
        New voxel size in Å. If it is larger, a low-pass filter ends at the new Nyquist frequency.
    is_mask : bool
        Whether the voxels are 0 or 1, before and after.

    Raises
    ------
    SpisonetError
        If the input cannot be read or is smaller than a voxel, or the output cannot be written.
    """
    ratio = voxel_size_angstrom / tomogram.voxel_size_angstrom
    if ratio > max(tomogram.shape):
        raise SpisonetError(
            f"--apix: voxels of {voxel_size_angstrom:g} Å are larger than {tomogram.path}.", field="apix"
        )
    z, y, x = (max(2, int((n - 1) / ratio) + 1) for n in tomogram.shape)
    new = replace(tomogram, shape=(z, y, x), voxel_size_angstrom=voxel_size_angstrom)
    lowpass = None if is_mask or ratio <= 1 else _lowpass(1 / ratio)
    label = f"spisonet resize: {tomogram.voxel_size_angstrom:g} to {voxel_size_angstrom:g} A"
    with written_tomogram(output, new, label, np.int8 if is_mask else np.float32, 1 / ratio) as result:
        for chunk in chunks(new.shape, max(MARGIN, int(CHUNK_EDGE / max(ratio, 1))), 0):
            result[chunk.inner] = _resample(tomogram, chunk, ratio, lowpass, is_mask)


def _resample(
    tomogram: TomogramFile, chunk: Chunk, ratio: float, lowpass: RadialCurve | None, is_mask: bool
) -> NDArray[np.float32] | NDArray[np.bool_]:
    z, y, x = (
        slice(math.floor(axis.start * ratio), math.ceil((axis.stop - 1) * ratio) + 1) for axis in chunk.inner
    )
    source = Chunk.around((z, y, x), math.ceil(MARGIN * max(ratio, 1)))
    values = read_mirrored(tomogram, source)
    if lowpass is not None:
        values = lowpass.apply(values)
    offset = [axis.start * ratio - first for axis, first in zip(chunk.inner, source.first, strict=True)]
    resampled: NDArray[np.float32] = ndimage.affine_transform(
        values, np.full(3, ratio), offset, chunk.shape, order=1 if is_mask else 3, mode="mirror"
    )
    return resampled > INSIDE if is_mask else resampled


def _lowpass(end: float) -> RadialCurve:
    """Low-pass that ends at a fraction of Nyquist."""
    f = np.linspace(0, 1, CURVE_POINTS)
    return RadialCurve(cosine_edge(f / end, 1 - EDGE_WIDTH, EDGE_WIDTH))
