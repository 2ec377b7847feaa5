"""Planes of a volume on disk, read one by one without loading or mapping the file."""

from __future__ import annotations

import os
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import mrcfile
import numpy as np
from mrcfile.utils import data_dtype_from_header

from spisonet.errors import SpisonetError
from spisonet.io.mrc import COMPRESSIONS, UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

HEADER_BYTES = 1024
READ_BYTES = 2**23  # per read
AXES = "zyx"
XYZ_ORDER = ((1, 2, 3), (0, 0, 0))  # of the header fields mapc, mapr, maps


@dataclass(frozen=True)
class PlaneReader:
    """A volume whose planes are read one by one.

    Attributes
    ----------
    path : Path
        An MRC file.
    shape : tuple of int
        ``(z, y, x)``.
    voxel_size_angstrom : float or None
        Edge of a voxel along x in Å; None if the header has none.
    dtype : dtype
        Data type on disk.
    offset : int
        Number of bytes before the data.
    """

    path: Path
    shape: tuple[int, int, int]
    voxel_size_angstrom: float | None
    dtype: np.dtype[Any]
    offset: int

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
        read = {"z": self._sections, "y": self._rows, "x": self._columns}[axis]
        try:
            with self._opened() as file:
                return read(file, start, stop)
        except OSError as error:
            raise SpisonetError(f"{self.path} cannot be read: {error.strerror or error}.") from error

    def _sections(self, file: int, start: int, stop: int) -> NDArray[np.float32]:
        _, n_y, n_x = self.shape
        return self._part(file, start * n_y, (stop - start) * n_y).reshape(stop - start, n_y, n_x)

    def _rows(self, file: int, start: int, stop: int) -> NDArray[np.float32]:
        n_z, n_y, n_x = self.shape
        planes = np.empty((stop - start, n_z, n_x), dtype=np.float32)
        for z in range(n_z):
            planes[:, z] = self._part(file, z * n_y + start, stop - start)
        return planes

    def _columns(self, file: int, start: int, stop: int) -> NDArray[np.float32]:
        n_z, n_y, n_x = self.shape
        columns = np.empty((stop - start, n_z * n_y), dtype=np.float32)
        height = max(1, READ_BYTES // (n_x * self.dtype.itemsize))
        for first in range(0, n_z * n_y, height):
            last = min(first + height, n_z * n_y)
            columns[:, first:last] = self._raw(file, first, last - first)[:, start:stop].T
        return columns.reshape(stop - start, n_z, n_y)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        file = os.open(self.path, os.O_RDONLY)
        try:
            yield file
        finally:
            os.close(file)

    def _part(self, file: int, first_row: int, n_rows: int) -> NDArray[np.float32]:
        return self._raw(file, first_row, n_rows).astype(np.float32)

    def _raw(self, file: int, first_row: int, n_rows: int) -> NDArray[Any]:
        row = self.shape[2] * self.dtype.itemsize
        part = os.pread(file, n_rows * row, self.offset + first_row * row)
        if len(part) < n_rows * row:
            raise SpisonetError(f"{self.path} is truncated; it may have been replaced while it was open.")
        return np.frombuffer(part, self.dtype).reshape(n_rows, self.shape[2])


def open_planes(path: Path) -> PlaneReader:
    """Open a volume by its header.

    Raises
    ------
    SpisonetError
        If the file is missing, compressed or damaged, is complex, or has another axis order than x, y, z.
    """
    if not path.is_file():
        raise SpisonetError(f"{path} does not exist.")
    if path.suffix in COMPRESSIONS:
        raise SpisonetError(f"{path} is compressed; decompress it to view its planes.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with mrcfile.open(path, header_only=True, permissive=True) as mrc:
                header = mrc.header
                dtype = np.dtype(data_dtype_from_header(header))
                x, y, z = int(header.nx), int(header.ny), int(header.nz)
                offset = HEADER_BYTES + int(header.nsymbt)
                size = float(mrc.voxel_size.x)
                axes = tuple(int(header[axis]) for axis in ("mapc", "mapr", "maps"))
    except UNREADABLE as error:
        raise SpisonetError(f"{path} is not a readable MRC file: {error}.") from error
    if dtype.kind == "c":
        raise SpisonetError(f"{path} contains complex numbers (a Fourier transform), not a map.")
    if axes not in XYZ_ORDER:
        raise SpisonetError(f"{path} has the axis order {axes} instead of x, y, z.")
    if min(x, y, z) < 1 or path.stat().st_size < offset + x * y * z * dtype.itemsize:
        raise SpisonetError(f"{path} is truncated, or not a volume.")
    voxel_size = size if np.isfinite(size) and size > 0 else None
    return PlaneReader(path, (z, y, x), voxel_size, dtype, offset)
