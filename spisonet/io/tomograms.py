"""Tomograms on disk, read and written by regions, so that they need not fit into memory."""

from __future__ import annotations

import math
import os
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import mrcfile
import numpy as np

from spisonet.errors import SpisonetError
from spisonet.io.atomic import atomic_path
from spisonet.io.labels import append_label
from spisonet.io.mrc_file import LARGEST_MRC, MrcFile, open_mrc

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray

TOMOGRAM_SUFFIXES = (".mrc", ".rec", ".map", ".st")
DEFAULT_VOXEL_SIZE = 1.0  # Å, in headers of programs that do not know the voxel size
SUFFIXES = (*TOMOGRAM_SUFFIXES, ".gz", ".bz2")


@dataclass(frozen=True)
class NewHeader:
    """What the header of an MRC file says besides shape and voxel size, of a file without one.

    Attributes
    ----------
    nstart : tuple of int
        Start of columns, rows and sections in voxels.
    origin_angstrom : tuple of float
        Origin ``(x, y, z)`` in Å.
    labels : tuple of str
        Labels.
    """

    nstart: tuple[int, int, int] = (0, 0, 0)
    origin_angstrom: tuple[float, float, float] = (0.0, 0.0, 0.0)
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class TomogramFile:
    """A tomogram on disk.

    Attributes
    ----------
    path : Path
        An MRC file.
    shape : tuple of int
        ``(z, y, x)``.
    voxel_size_angstrom : float
        Edge of a voxel in Å.
    """

    path: Path
    shape: tuple[int, int, int]
    voxel_size_angstrom: float

    @property
    def n_voxels(self) -> int:
        """Number of voxels."""
        return int(np.prod(self.shape))

    @property
    def header(self) -> MrcFile | NewHeader:
        """What a file of the same geometry takes over."""
        return open_mrc(self.path)

    @property
    def corner_angstrom(self) -> tuple[float, ...]:
        """Position ``(x, y, z)`` of the first voxel by the header: its start, or else its origin."""
        header = self.header
        if any(header.nstart):
            return tuple(self.voxel_size_angstrom * start for start in header.nstart)
        return header.origin_angstrom

    def read(self, *region: slice) -> NDArray[np.float32]:
        """Read a region ``(z, y, x)``, or the whole tomogram, as float32.

        Raises
        ------
        SpisonetError
            If the file is damaged, or the region contains NaN or infinite values.
        """
        values = open_mrc(self.path).read(*region)
        if not np.isfinite(values).all():
            raise SpisonetError(f"{self.path} contains NaN or infinite values.")
        return values


@dataclass(frozen=True)
class SummedTomogram(TomogramFile):
    """The sum of a tomogram and another one, such as even and odd.

    Attributes
    ----------
    other : TomogramFile
        The other one, of the same shape.
    """

    other: TomogramFile

    def read(self, *region: slice) -> NDArray[np.float32]:
        """Read a region of both, and return the sum; see `TomogramFile.read`."""
        return super().read(*region) + self.other.read(*region)


@dataclass(frozen=True)
class TomogramInMemory(TomogramFile):
    """A tomogram in memory.

    Attributes
    ----------
    data : ndarray of float32
        ``(z, y, x)`` densities.
    """

    data: NDArray[np.float32]

    def read(self, *region: slice) -> NDArray[np.float32]:
        """Read a region ``(z, y, x)``, or the whole tomogram; see `TomogramFile.read`."""
        return self.data[region]


def open_tomogram(
    path: Path,
    voxel_size_angstrom: float | None = None,
    remedy: str = "enter it as rlnPixelSize in the table",
) -> TomogramFile:
    """Open a tomogram by its header.

    Parameters
    ----------
    path : Path
        An MRC file, plain or compressed.
    voxel_size_angstrom : float, optional
        Voxel size that overrides that of the header.
    remedy : str
        What to do if neither is known, as the end of a sentence.

    Raises
    ------
    SpisonetError
        If the file is missing, damaged or not a volume, or has no voxel size.
    """
    file = open_mrc(path)
    if min(file.shape) < 2:
        raise SpisonetError(f"{path} is a 2D image, not a tomogram.")
    if not file.is_in_order:
        raise SpisonetError(f"{path} has the axis order {file.axes}; reorder the axes to x, y, z first.")
    return TomogramFile(path, file.shape, voxel_size_angstrom or file.cubic_voxel_size_angstrom(remedy))


def stem_of(path: Path) -> str:
    """Return the file name of a tomogram without its suffixes."""
    name = path.name
    for suffix in (".gz", ".bz2", *TOMOGRAM_SUFFIXES):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
    return name


@contextmanager
def written_tomogram(
    path: Path, like: TomogramFile, label: str, dtype: DTypeLike = np.float32, scale_of_start: float = 1.0
) -> Iterator[NDArray[Any]]:
    """Yield an array on disk for a new tomogram of the same geometry, renamed to `path` when complete.

    Parameters
    ----------
    path : Path
        Output file in an existing folder.
    like : TomogramFile
        Tomogram whose shape, voxel size, origin, start and labels are used.
    label : str
        Header label to add; see `append_label`.
    dtype : dtype
        Data type of the voxels.
    scale_of_start : float
        Old voxel size divided by the new one.

    Raises
    ------
    SpisonetError
        If the file cannot be written.
    """
    if 4 * math.prod(like.shape) > LARGEST_MRC:
        voxels = " x ".join(map(str, like.shape))
        raise SpisonetError(f"{path} cannot be written: it would have {voxels} voxels.")
    with atomic_path(path) as temporary:
        new = mrcfile.new_mmap(temporary, shape=like.shape, mrc_mode=_mode(dtype), overwrite=True)
        # Without allocation, writing to the memory map on a full disk would kill the process.
        if hasattr(os, "posix_fallocate"):
            with temporary.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, temporary.stat().st_size)
        try:
            source = like.header
            new.voxel_size = like.voxel_size_angstrom
            new.nstart = tuple(round(scale_of_start * start) for start in source.nstart)
            new.header.origin = source.origin_angstrom
            labels = append_label(list(source.labels), label)
            for index, text in enumerate(labels):
                new.header.label[index] = text.encode("ascii", "replace")
            new.header.nlabl = len(labels)
            yield new.data
            _write_statistics(new)
        finally:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about statistics of incomplete data
                new.close()


def _write_statistics(mrc: Any) -> None:
    """Set the statistics of a header plane by plane; mrcfile would need several copies of the volume."""
    planes = [(p.min(), p.max(), p.mean(dtype=np.float64), p.std(dtype=np.float64)) for p in mrc.data]
    lowest, highest, means, deviations = (np.array(values) for values in zip(*planes, strict=True))
    mrc.header.dmin, mrc.header.dmax = lowest.min(), highest.max()
    mrc.header.dmean = means.mean()
    mrc.header.rms = np.sqrt(np.mean(deviations**2 + (means - means.mean()) ** 2))


def _mode(dtype: DTypeLike) -> int:
    modes = {np.dtype(np.int8): 0, np.dtype(np.float32): 2}
    return modes[np.dtype(dtype)]
