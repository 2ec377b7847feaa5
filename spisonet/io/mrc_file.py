"""MRC files of any real mode, plain or compressed: the checked header, and densities region by region."""

from __future__ import annotations

import bz2
import gzip
import math
import warnings
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import mrcfile
import numpy as np
from mrcfile.bzip2mrcfile import Bzip2MrcFile
from mrcfile.gzipmrcfile import GzipMrcFile
from mrcfile.utils import data_dtype_from_header

from spisonet.errors import SpisonetError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

# Raised by mrcfile, gzip and bz2 if a header or a compressed stream is damaged.
UNREADABLE = (ValueError, OSError, RuntimeError, EOFError, MemoryError, OverflowError, zlib.error)
HEADER_BYTES = 1024
READ_BYTES = 2**23  # read at once
RELATIVE_VOXEL_SIZE_TOLERANCE = 1e-3
X_Y_Z = (1, 2, 3)
VOLUME_STACKS = range(401, 631)  # space groups of stacks of volumes


@dataclass(frozen=True)
class MrcFile:
    """An MRC file on disk.

    Attributes
    ----------
    path : Path
        The file.
    shape : tuple of int
        Numbers of sections, rows and columns.
    dtype : dtype
        Data type on disk.
    data_offset : int
        Number of bytes before the densities.
    compression : str or None
        ``gzip``, ``bzip2`` or None.
    axes : tuple of int
        Axes along columns, rows and sections; 1 is x, 2 is y, 3 is z.
    is_stack : bool
        Whether the header describes a stack of images.
    voxel_size_xyz : tuple of float
        Edges of a voxel in Å as in the header, which may be invalid.
    nstart, origin_angstrom : tuple
        Header fields ``nstart`` (voxels) and ``origin`` (Å).
    labels : tuple of str
        Text labels of the header.
    """

    path: Path
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    data_offset: int
    compression: str | None
    axes: tuple[int, int, int]
    is_stack: bool
    voxel_size_xyz: tuple[float, float, float]
    nstart: tuple[int, int, int]
    origin_angstrom: tuple[float, float, float]
    labels: tuple[str, ...]

    @property
    def is_in_order(self) -> bool:
        """Whether sections, rows and columns are z, y and x."""
        return self.axes == X_Y_Z

    @property
    def voxel_size_angstrom(self) -> float:
        """Edge of a cubic voxel in Å.

        Raises
        ------
        SpisonetError
            If the header has no voxel size, or the voxels are not cubic.
        """
        x, y, z = self.voxel_size_xyz
        if not all(np.isfinite((x, y, z))) or min(x, y, z) <= 0:
            raise SpisonetError(f"{self.path} has no voxel size in its header; give it with --apix.")
        if max(x, y, z) - min(x, y, z) > RELATIVE_VOXEL_SIZE_TOLERANCE * x:
            raise SpisonetError(
                f"{self.path} has voxels that are not cubic ({x:g} x {y:g} x {z:g} Å); resample it or give "
                "--apix."
            )
        return x

    def read(
        self, sections: slice = slice(None), rows: slice = slice(None), columns: slice = slice(None)
    ) -> NDArray[np.float32]:
        """Read a region as float32; only as much of the file as necessary is read.

        Parameters
        ----------
        sections, rows, columns : slice
            The region, without steps.

        Raises
        ------
        SpisonetError
            If the file is damaged or truncated.
        """
        first, stop = zip(
            *(s.indices(n)[:2] for s, n in zip((sections, rows, columns), self.shape, strict=True)),
            strict=True,
        )
        n_sections, n_rows, n_columns = (max(0, b - a) for a, b in zip(first, stop, strict=True))
        # Sections that are read completely are contiguous: one run of rows instead of one for each.
        n_runs, run_length = n_sections, n_rows
        if n_rows == self.shape[1]:
            n_runs, run_length = 1, n_sections * n_rows
        try:
            region = np.empty((n_sections, n_rows, n_columns), dtype=np.float32)
            runs = region.reshape(n_runs, run_length, n_columns)
            with self._open() as file:
                for index, run in enumerate(runs):
                    self._read_rows(file, (first[0] + index) * self.shape[1] + first[1], first[2], run)
        except UNREADABLE as error:
            raise _unreadable(self.path, error) from error
        return region

    def _open(self) -> Any:
        if self.compression == "gzip":
            return gzip.open(self.path)
        if self.compression == "bzip2":
            return bz2.open(self.path)
        return self.path.open("rb", buffering=0)

    def _read_rows(self, file: Any, first_row: int, first_column: int, rows: NDArray[np.float32]) -> None:
        """Read consecutive rows into an array ``(n_rows, n_columns)``."""
        row_bytes = self.shape[2] * self.dtype.itemsize
        file.seek(self.data_offset + first_row * row_bytes)
        if self.dtype == rows.dtype and rows.shape[1] == self.shape[2]:
            self._fill(file, rows)
            return
        height = max(1, READ_BYTES // row_bytes)
        block = np.empty((min(height, len(rows)), self.shape[2]), dtype=self.dtype)
        for start in range(0, len(rows), height):
            part = rows[start : start + height]
            self._fill(file, block[: len(part)])
            part[:] = block[: len(part), first_column : first_column + rows.shape[1]]

    def _fill(self, file: Any, array: NDArray[Any]) -> None:
        """Read bytes into a contiguous array."""
        view = memoryview(cast("Any", array.reshape(-1).view(np.uint8)))
        while view:
            n_bytes = file.readinto(view)
            if not n_bytes:
                raise SpisonetError(f"{self.path} is not a readable MRC file: it is truncated.")
            view = view[n_bytes:]


def open_mrc(path: Path) -> MrcFile:
    """Read and check the header of an MRC file.

    Raises
    ------
    SpisonetError
        If the file is missing, damaged or truncated, contains complex numbers or is a stack of volumes.
    """
    if not path.is_file():
        raise SpisonetError(f"{path} does not exist.", code="file_not_found")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with mrcfile.open(path, header_only=True, permissive=True) as mrc:
                file, space_group = _read_header(path, mrc), int(mrc.header.ispg)
    except UNREADABLE as error:
        raise _unreadable(path, error) from error
    if file.dtype.kind == "c":
        raise SpisonetError(f"{path} contains complex numbers (a Fourier transform), not a map.")
    if space_group in VOLUME_STACKS:
        raise SpisonetError(f"{path} is a stack of volumes, not a 3D map.")
    if min(file.shape) < 1 or file.data_offset < HEADER_BYTES:
        raise SpisonetError(f"{path} is not a readable MRC file: its header is damaged.")
    n_bytes = file.data_offset + math.prod(file.shape) * file.dtype.itemsize
    if file.compression is None and path.stat().st_size < n_bytes:
        raise SpisonetError(f"{path} is not a readable MRC file: it is truncated.")
    return file


def _read_header(path: Path, mrc: Any) -> MrcFile:
    header = mrc.header
    return MrcFile(
        path=path,
        shape=(int(header.nz), int(header.ny), int(header.nx)),
        dtype=np.dtype(data_dtype_from_header(header)),
        data_offset=HEADER_BYTES + int(header.nsymbt),
        compression=_compression(mrc),
        axes=_axes(header),
        is_stack=int(header.ispg) == 0 and int(header.mz) == 1,
        voxel_size_xyz=(float(mrc.voxel_size.x), float(mrc.voxel_size.y), float(mrc.voxel_size.z)),
        nstart=(int(header.nxstart), int(header.nystart), int(header.nzstart)),
        origin_angstrom=(float(header.origin.x), float(header.origin.y), float(header.origin.z)),
        labels=tuple(text for label in mrc.get_labels() if (text := label.strip())),
    )


def _compression(mrc: Any) -> str | None:
    if isinstance(mrc, GzipMrcFile):
        return "gzip"
    return "bzip2" if isinstance(mrc, Bzip2MrcFile) else None


def _axes(header: Any) -> tuple[int, int, int]:
    axes = int(header.mapc), int(header.mapr), int(header.maps)
    return X_Y_Z if axes == (0, 0, 0) else axes


def _unreadable(path: Path, error: BaseException) -> SpisonetError:
    reason = str(error).rstrip(".") or type(error).__name__
    return SpisonetError(f"{path} is not a readable MRC file: {reason}.")
