"""Planes of a volume on disk, read one by one without loading or mapping the file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.io.mrc_file import open_mrc

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

    from spisonet.io.mrc_file import MrcFile

AXES = "zyx"


@dataclass(frozen=True)
class PlaneReader:
    """A volume whose planes are read one by one.

    Attributes
    ----------
    file : MrcFile
        The file, whose axes are in the order x, y, z.
    """

    file: MrcFile

    @property
    def path(self) -> Path:
        """The MRC file."""
        return self.file.path

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(z, y, x)``."""
        return self.file.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type on disk."""
        return self.file.dtype

    @property
    def voxel_size_angstrom(self) -> float | None:
        """Edge of a voxel along x in Å; None if the header has none."""
        size = self.file.voxel_size_xyz[0]
        return size if math.isfinite(size) and size > 0 else None

    def read(self, axis: str, start: int, stop: int) -> NDArray[np.float32]:
        """Read planes perpendicular to an axis.

        Parameters
        ----------
        axis : str
            ``z``, ``y`` or ``x``.
        start, stop : int
            First plane, and the one after the last.

        Returns
        -------
        ndarray
            ``(stop - start, rows, columns)``; rows and columns are the other two axes in the order z, y, x.

        Raises
        ------
        SpisonetError
            If the planes are outside the volume, or the file cannot be read.
        """
        across = AXES.index(axis)
        if not 0 <= start < stop <= self.shape[across]:
            raise SpisonetError(f"{self.path} has only {self.shape[across]} planes along {axis}.")
        region = [slice(None)] * 3
        region[across] = slice(start, stop)
        return np.ascontiguousarray(np.moveaxis(self.file.read(*region), across, 0))

    def read_voxel(self, z: int, y: int, x: int) -> float:
        """Read the density of one voxel.

        Raises
        ------
        SpisonetError
            If the voxel is outside the volume, or the file cannot be read.
        """
        if not all(0 <= index < n for index, n in zip((z, y, x), self.shape, strict=True)):
            raise SpisonetError(f"{self.path} has no voxel ({x}, {y}, {z}).")
        return float(self.file.read(*(slice(index, index + 1) for index in (z, y, x))).item())


def open_planes(path: Path) -> PlaneReader:
    """Open a volume by its header.

    Raises
    ------
    SpisonetError
        If the file is missing, compressed or damaged, is complex, or has another axis order than x, y, z.
    """
    file = open_mrc(path)
    if file.compression is not None:
        raise SpisonetError(f"{path} is compressed; decompress it to view its planes.")
    if not file.is_in_order:
        raise SpisonetError(f"{path} has the axis order {file.axes} instead of x, y, z.")
    return PlaneReader(file)
