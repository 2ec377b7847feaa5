"""Volumes: MRC and EM files read with care, MRC written with the header geometry of what was read."""

from __future__ import annotations

import struct
import warnings
import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import emfile
import mrcfile
import numpy as np

from spisonet.errors import SpisonetError
from spisonet.io.atomic import atomic_path
from spisonet.io.labels import LABEL_LENGTH

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MAX_LABELS = 10
EM_SUFFIX = ".em"
RELATIVE_VOXEL_SIZE_TOLERANCE = 1e-3
COMPRESSIONS = {".gz": "gzip", ".bz2": "bzip2"}
# What mrcfile lets through when a header or a compressed stream is damaged.
UNREADABLE = (ValueError, OSError, RuntimeError, EOFError, MemoryError, OverflowError, zlib.error)


@dataclass(frozen=True)
class Volume:
    """A map and the header fields that place it in space.

    Attributes
    ----------
    data : ndarray of float32
        ``(z, y, x)`` densities.
    voxel_size_angstrom : float
        Edge of a (cubic) voxel in Å.
    origin_angstrom, nstart : tuple
        Header fields ``origin`` (Å) and ``nstart`` (voxels), each ``(x, y, z)``.
    labels : tuple of str
        Text labels of the header.
    name : str
        What to call the map in messages: the path it was read from.
    """

    data: NDArray[np.float32]
    voxel_size_angstrom: float
    origin_angstrom: tuple[float, float, float] = (0.0, 0.0, 0.0)
    nstart: tuple[int, int, int] = (0, 0, 0)
    labels: tuple[str, ...] = field(default=(), repr=False)
    name: str = "map"

    @property
    def box(self) -> int:
        """Edge length in voxels of a cubic volume."""
        return int(self.data.shape[0])

    def with_data(self, data: NDArray[np.floating]) -> Volume:
        """Return a volume with other densities and the same header geometry."""
        return replace(self, data=np.ascontiguousarray(data, dtype=np.float32))


def read_box(path: Path) -> int:
    """Read the edge in voxels of a cubic map from its header.

    Raises
    ------
    SpisonetError
        If the file is missing or no map.
    """
    if not path.is_file():
        raise SpisonetError(f"{path} does not exist.")
    if path.suffix == EM_SUFFIX:
        return int(_read_em(path, header_only=True)[0]["xdim"])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with mrcfile.open(path, header_only=True, permissive=True) as mrc:
                return int(mrc.header.nx)
    except UNREADABLE as error:
        raise SpisonetError(f"{path} is not a readable MRC file.") from error


def read_volume(path: Path, apix: float | None = None) -> Volume:
    """Read a cubic map.

    Parameters
    ----------
    path : Path
        An MRC/CCP4 map of any real mode, plain or compressed with gzip or bzip2, or an ``.em`` map of
        Dynamo, which tells no voxel size.
    apix : float, optional
        Voxel size in Å that overrides the header's.

    Returns
    -------
    Volume
        Densities as float32 in ``(z, y, x)`` whatever the axis order on disk.

    Raises
    ------
    SpisonetError
        If the file is missing, not such a file, not a cubic volume, has no voxel size, or holds
        NaN, Inf or a constant.
    """
    if not path.is_file():
        raise SpisonetError(f"{path} is a folder, not a map." if path.is_dir() else f"{path} does not exist.")
    if path.suffix == EM_SUFFIX:
        data = _read_em(path)[1]
        if apix is None:
            raise SpisonetError(f"{path} is an EM file, which has no voxel size; give it with --apix.")
        volume = Volume(data, apix, name=str(path))
    else:
        volume = _read_mrc(path, apix)
    data = volume.data
    if np.iscomplexobj(data):
        raise SpisonetError(f"{path} holds complex numbers (a transform), not a map.")
    if data.ndim != 3 or min(data.shape) == 1:
        raise SpisonetError(f"{path} is a 2D image or a stack of images of shape {data.shape}, not a 3D map.")
    if len(set(data.shape)) != 1:
        raise SpisonetError(f"{path} is not cubic: its shape is {data.shape}; pad or crop it to a cube.")
    return replace(volume, data=checked_densities(data, str(path)))


def _read_mrc(path: Path, apix: float | None) -> Volume:
    """Read an MRC file whose densities may be of any type and shape, in z, y, x."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with mrcfile.open(path, mode="r", permissive=True) as mrc:
                data, header = mrc.data, mrc.header
                voxel_size = mrc.voxel_size
                labels = tuple(text for label in mrc.get_labels() if (text := label.strip()))
                if data is None:
                    raise SpisonetError(f"{path} is not a readable MRC file; it may be truncated.")
                axes = tuple(int(header[axis]) for axis in ("mapc", "mapr", "maps"))
                is_stack = int(header.ispg) == 0 and int(header.mz) == 1
                nstart = tuple(int(header[f"n{axis}start"]) for axis in "xyz")
                origin = tuple(float(header.origin[axis]) for axis in "xyz")
                data = np.array(data)
    except UNREADABLE as error:
        reason = str(error).rstrip(".") or type(error).__name__
        raise SpisonetError(f"{path} is not a readable MRC file: {reason}.") from error
    if is_stack:
        raise SpisonetError(f"{path} is a 2D image or a stack of images of shape {data.shape}, not a 3D map.")
    if data.ndim == 3 and sorted(axes) == [1, 2, 3] and axes != (1, 2, 3):
        # Disk order (section, row, column) holds the axes (maps, mapr, mapc); put them in z, y, x.
        order = [axes[::-1].index(axis) for axis in (3, 2, 1)]
        data = data.transpose(order)
        nstart = tuple(nstart[axes.index(axis)] for axis in (1, 2, 3))
    return Volume(
        data=data,
        voxel_size_angstrom=header_voxel_size(path, voxel_size) if apix is None else apix,
        origin_angstrom=(origin[0], origin[1], origin[2]),
        nstart=(nstart[0], nstart[1], nstart[2]),
        labels=labels,
        name=str(path),
    )


def _read_em(path: Path, header_only: bool = False) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """Read the header and, unless it is enough, the densities of an EM file."""
    try:
        header, data = emfile.read(path, header_only=header_only)
    except (*UNREADABLE, KeyError, struct.error) as error:
        raise SpisonetError(f"{path} is not a readable EM file (of a little-endian machine).") from error
    return header, data


def checked_densities(data: NDArray[np.generic], name: str) -> NDArray[np.float32]:
    """Return the densities as contiguous float32.

    Raises
    ------
    SpisonetError
        If a value is NaN or infinite, or all are equal.
    """
    densities = np.ascontiguousarray(data, dtype=np.float32)
    n_bad = densities.size - int(np.count_nonzero(np.isfinite(densities)))
    if n_bad:
        raise SpisonetError(f"{name} holds {n_bad} NaN or infinite values.")
    if densities.min() == densities.max():
        raise SpisonetError(f"{name} is constant (every voxel is {densities.flat[0]:g}).")
    return densities


def header_voxel_size(path: Path, header_value: np.generic) -> float:
    """Return the voxel size in Å that a header gives.

    Raises
    ------
    SpisonetError
        If there is none, or the voxels are not cubic.
    """
    x, y, z = (float(header_value[axis]) for axis in "xyz")  # type: ignore[index]
    if not all(np.isfinite((x, y, z))) or min(x, y, z) <= 0:
        raise SpisonetError(f"{path} has no voxel size in its header; give it with --apix.")
    if max(x, y, z) - min(x, y, z) > RELATIVE_VOXEL_SIZE_TOLERANCE * x:
        raise SpisonetError(
            f"{path} has voxels that are not cubic ({x:g} x {y:g} x {z:g} Å); resample it or give --apix."
        )
    return x


def require_same_grid(reference: Volume, *others: Volume) -> None:
    """Check that maps share box and voxel size.

    Raises
    ------
    SpisonetError
        Naming the two files and what differs.
    """
    for other in others:
        if other.data.shape != reference.data.shape:
            raise SpisonetError(
                f"{other.name} has a box of {other.box} voxels but {reference.name} has {reference.box}."
            )
        difference = abs(other.voxel_size_angstrom - reference.voxel_size_angstrom)
        if difference > RELATIVE_VOXEL_SIZE_TOLERANCE * reference.voxel_size_angstrom:
            raise SpisonetError(
                f"{other.name} has voxels of {other.voxel_size_angstrom:g} Å but {reference.name} has "
                f"{reference.voxel_size_angstrom:g} Å; correct the headers or give --apix."
            )


def write_volume(path: Path, volume: Volume, label: str = "", dtype: type[np.floating] = np.float32) -> None:
    """Write a map atomically, with the volume's voxel size, origin, start and labels.

    Parameters
    ----------
    path : Path
        Output file; replaced when the new one is whole. Compressed if it ends in .gz or .bz2.
    volume : Volume
        What to write.
    label : str
        A header label to add (cut to 79 characters); the newest ten labels are kept.
    dtype : type
        ``numpy.float32`` or ``numpy.float16``.

    Raises
    ------
    SpisonetError
        If the file cannot be written, or a density is beyond the range of `dtype`.
    """
    if not np.abs(volume.data).max() <= np.finfo(dtype).max:
        raise SpisonetError(f"{path} cannot be written as {dtype.__name__}: a density is beyond its range.")
    labels = [*volume.labels, *([label[:LABEL_LENGTH]] if label else [])][-MAX_LABELS:]
    with atomic_path(path) as temporary:
        with mrcfile.new(temporary, compression=COMPRESSIONS.get(path.suffix), overwrite=True) as mrc:
            mrc.set_data(volume.data.astype(dtype))
            mrc.set_volume()
            mrc.voxel_size = volume.voxel_size_angstrom
            mrc.nstart = volume.nstart
            mrc.header.origin = volume.origin_angstrom
            mrc.header.nlabl = len(labels)
            for index in range(MAX_LABELS):
                text = labels[index] if index < len(labels) else ""
                mrc.header.label[index] = text.encode("ascii", "replace")
