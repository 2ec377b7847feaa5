"""``resize``: bring tomograms to another voxel size."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from spisonet.errors import SpisonetError
from spisonet.fourier.filters import RadialCurve
from spisonet.io.atomic import prepare_output_file, prepare_output_folder
from spisonet.io.tomogram_table import (
    FULL_ISONET1,
    FULL_ISONET2,
    FULL_RELION5,
    HALVES,
    TomogramTable,
    output_names,
)
from spisonet.io.tomograms import SUFFIXES, open_tomogram, written_tomogram
from spisonet.tomography.blocks import Block, blocks, read_mirrored
from spisonet.tomography.specimens import DECONVOLVED

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from spisonet.io.tomograms import TomogramFile
    from spisonet.tomography.config import ResizeConfig

log = logging.getLogger("spisonet")

DENSITIES = (FULL_ISONET1, FULL_ISONET2, FULL_RELION5, *HALVES, DECONVOLVED)
MASK, IN_VOXELS = "rlnMaskName", ("rlnBoxFile", "rlnMaskBoundary")
BLOCK_EDGE, MARGIN = 192, 16  # voxels; of the input, and of the larger voxels
CURVE_POINTS, EDGE_WIDTH = 4097, 0.2  # of the new Nyquist
INSIDE = 0.5


def run_resize(config: ResizeConfig) -> None:
    """Write all tomograms and masks of a table at another voxel size, and a table of them.

    Raises
    ------
    SpisonetError
        If files are missing or damaged, or something cannot be written.
    """
    table = TomogramTable.read(config.star_file)
    rows = table.rows
    target = config.out_folder.parent / f"{config.out_folder.name}.star"
    prepare_output_file(target, config.star_file)
    tasks = []
    for column in (*DENSITIES, MASK):
        # IsoNet2 and RELION 5 mean different things by rlnTomoName.
        listed = [(row, path) for row in rows if (path := _file(row.path(column))) is not None]
        outputs = output_names([path for _, path in listed], config.out_folder / column, ".mrc")
        tasks += [(row, column, path, output) for (row, path), output in zip(listed, outputs, strict=True)]
    if not tasks:
        raise SpisonetError(f"{config.star_file} names no tomograms.")
    missing = [str(path) for _, _, path, _ in tasks if not path.is_file()]
    if missing:
        raise SpisonetError(f"Missing: {', '.join(missing)}.")
    opened = [open_tomogram(path, row.voxel_size_angstrom) for row, _, path, _ in tasks]
    for (row, column, _, output), tomogram in zip(tasks, opened, strict=True):
        prepare_output_folder(output.parent)
        resize_tomogram(tomogram, output, config.apix, is_mask=column == MASK)
        table.set(row, column, output)
        log.info("%s: %.3f -> %.3f Å, %s", tomogram.path, tomogram.voxel_size_angstrom, config.apix, output)
    for row in rows:
        table.set(row, "rlnPixelSize", f"{config.apix:g}")
        for column in IN_VOXELS:
            if row.path(column) is not None:
                table.set(row, column, "None")
                log.warning("%s: its %s is in the old voxels and was left out.", row.shown, column)
    table.write_to(target)
    log.info("Wrote %s", target)


def _file(path: Path | None) -> Path | None:
    return path if path is not None and path.suffix in SUFFIXES else None


def resize_tomogram(tomogram: TomogramFile, output: Path, voxel_size_angstrom: float, is_mask: bool) -> None:
    """Write a tomogram at another voxel size, in blocks; the first voxel stays where it is.

    Parameters
    ----------
    tomogram : TomogramFile
        Input.
    output : Path
        File to write.
    voxel_size_angstrom : float
        New voxel size. Where it is larger, a low-pass ends at the new Nyquist frequency.
    is_mask : bool
        Whether its voxels are 0 and 1, and to stay so.
    """
    ratio = voxel_size_angstrom / tomogram.voxel_size_angstrom
    z, y, x = (max(2, int((n - 1) / ratio) + 1) for n in tomogram.shape)
    new = replace(tomogram, shape=(z, y, x), voxel_size_angstrom=voxel_size_angstrom)
    lowpass = None if is_mask or ratio <= 1 else _lowpass(1 / ratio)
    label = f"spisonet resize: {tomogram.voxel_size_angstrom:g} to {voxel_size_angstrom:g} A"
    with written_tomogram(output, new, label, np.int8 if is_mask else np.float32, 1 / ratio) as result:
        for block in blocks(new.shape, max(MARGIN, int(BLOCK_EDGE / max(ratio, 1))), 0):
            result[block.inner] = _resampled(tomogram, block, ratio, lowpass, is_mask)


def _resampled(
    tomogram: TomogramFile, block: Block, ratio: float, lowpass: RadialCurve | None, is_mask: bool
) -> NDArray[np.float32] | NDArray[np.bool_]:
    z, y, x = (
        slice(math.floor(part.start * ratio), math.ceil((part.stop - 1) * ratio) + 1) for part in block.inner
    )
    source = Block.around((z, y, x), math.ceil(MARGIN * max(ratio, 1)))
    values = read_mirrored(tomogram, source)
    if lowpass is not None:
        values = lowpass.apply(values)
    offset = [part.start * ratio - first for part, first in zip(block.inner, source.first, strict=True)]
    resampled: NDArray[np.float32] = ndimage.affine_transform(
        values, np.full(3, ratio), offset, block.shape, order=1 if is_mask else 3, mode="mirror"
    )
    return resampled > INSIDE if is_mask else resampled


def _lowpass(end: float) -> RadialCurve:
    """Low-pass that ends at a fraction of Nyquist."""
    f = np.linspace(0, 1, CURVE_POINTS)
    return RadialCurve(0.5 + 0.5 * np.cos(np.pi * np.clip((f / end - 1) / EDGE_WIDTH + 1, 0, 1)))
