"""Cubic maps: checked MRC and EM files, written as MRC files with the header geometry of the input."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import emfile
import mrcfile
import numpy as np

from spisonet.errors import SpisonetError, reading
from spisonet.io.atomic import atomic_path
from spisonet.io.labels import MAX_LABELS, append_label
from spisonet.io.mrc_file import APIX_OPTION, RELATIVE_VOXEL_SIZE_TOLERANCE, UNREADABLE, open_mrc

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SIGNED_MASK = "its values are negative, as if 255 had been written as a signed byte"
HIGHEST_CORRELATION = 1 - 1e-6  # of two halves; independent noise leaves less
N_OUTLIERS = 10  # voxels of a kind that this correlation leaves out
SAMPLE_VOXELS = 2**21  # of large maps, which decide unless they are almost equal
MASK_THRESHOLD = 0.5  # of a soft mask; voxels above it are inside
EM_SUFFIX = ".em"
COMPRESSIONS = {".gz": "gzip", ".bz2": "bzip2"}


@dataclass(frozen=True)
class Volume:
    """A map and the header fields of its position in space.

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
        Name of the map in messages: the path of its file.
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
        If the file is missing or is not a map.
    """
    if not path.is_file():
        raise SpisonetError(f"{path} does not exist.", code="file_not_found")
    if path.suffix == EM_SUFFIX:
        return int(_read_em(path, header_only=True)[0]["xdim"])
    return open_mrc(path).shape[-1]


def read_volume(
    path: Path, apix: float | None = None, remedy: str = APIX_OPTION, *, cubic: bool = True
) -> Volume:
    """Read a map.

    Parameters
    ----------
    path : Path
        An MRC/CCP4 map of any real mode, plain or compressed with gzip or bzip2, or an ``.em`` map of
        Dynamo, whose header has no voxel size.
    apix : float, optional
        Voxel size in Å that overrides that of the header.
    remedy : str
        What to do without a voxel size, as the end of a sentence.
    cubic : bool
        Whether the map has to be cubic.

    Returns
    -------
    Volume
        Densities as float32 in ``(z, y, x)``, independent of the axis order on disk.

    Raises
    ------
    SpisonetError
        If the file is missing or damaged, is not a cubic map, has no voxel size, contains NaN or infinite
        values, or is constant.
    """
    with reading(path):
        return _read_checked(path, apix, remedy, cubic)


def _read_checked(path: Path, apix: float | None, remedy: str, cubic: bool) -> Volume:
    if path.is_dir():
        raise SpisonetError(f"{path} is a folder, not a map.")
    if not path.is_file():
        raise SpisonetError(f"{path} does not exist.", code="file_not_found")
    if path.suffix == EM_SUFFIX:
        data = _read_em(path)[1]
        if apix is None:
            raise SpisonetError(f"{path} is an EM file, which has no voxel size; {remedy}.")
        volume = Volume(data, apix, name=str(path))
    else:
        volume = _read_mrc(path, apix, remedy)
    data = volume.data
    if data.ndim != 3 or min(data.shape) == 1:
        raise SpisonetError(f"{path} is a 2D image or a stack of images of shape {data.shape}, not a 3D map.")
    if cubic and len(set(data.shape)) != 1:
        raise SpisonetError(f"{path} is not cubic: its shape is {data.shape}; pad or crop it to a cube.")
    return replace(volume, data=checked_densities(data, str(path)))


def _read_mrc(path: Path, apix: float | None, remedy: str) -> Volume:
    """Read an MRC file of any axis order, in z, y, x."""
    file = open_mrc(path)
    if file.is_stack:
        raise SpisonetError(
            f"{path} is a 2D image or a stack of images of shape {file.shape} by its header (ispg 0, mz 1), "
            "not a 3D map."
        )
    data, nstart = file.read(), file.nstart
    if sorted(file.axes) == [1, 2, 3] and not file.is_in_order:
        # Sections, rows and columns are the axes (maps, mapr, mapc); reorder them to z, y, x.
        data = data.transpose([file.axes[::-1].index(axis) for axis in (3, 2, 1)])
        x, y, z = (nstart[file.axes.index(axis)] for axis in (1, 2, 3))
        nstart = (x, y, z)
    return Volume(
        data=data,
        voxel_size_angstrom=file.cubic_voxel_size_angstrom(remedy) if apix is None else apix,
        origin_angstrom=file.origin_angstrom,
        nstart=nstart,
        labels=file.labels,
        name=str(path),
    )


def _read_em(path: Path, header_only: bool = False) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """Read the header and, unless `header_only`, the densities of an EM file."""
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
        If a value is NaN or infinite, or all values are equal.
    """
    densities = np.ascontiguousarray(data, dtype=np.float32)
    n_bad = densities.size - int(np.count_nonzero(np.isfinite(densities)))
    if n_bad:
        raise SpisonetError(f"{name} contains {n_bad} NaN or infinite values.")
    if densities.min() == densities.max():
        raise SpisonetError(f"{name} is constant (every voxel is {densities.flat[0]:g}).")
    return densities


def require_same_grid(reference: Volume, *others: Volume) -> None:
    """Check that maps have the same box and voxel size.

    Raises
    ------
    SpisonetError
        Naming the two files and the difference.
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


def require_different(
    name1: str, data1: NDArray[np.floating], name2: str, data2: NDArray[np.floating]
) -> None:
    """Check that two half maps, or regions of two half tomograms, are not the same.

    They also count as the same if they correlate at more than 1 - 1e-6 without a few voxels, whatever their
    scale, offset and contrast.

    Raises
    ------
    SpisonetError
        Naming the two files.
    """
    if np.array_equal(data1, data2):
        raise SpisonetError(f"{name1} and {name2} have the same densities; give two independent halves.")
    one, other = data1.ravel(), data2.ravel()
    correlation = 0.0
    for step in dict.fromkeys((one.size // SAMPLE_VOXELS | 1, 1)):  # odd, unlike the edges of most maps
        correlation = _correlation_without_outliers(one[::step], other[::step])
        if abs(correlation) <= HIGHEST_CORRELATION:
            return
    raise SpisonetError(
        f"{name1} and {name2} have the same densities except for scale, offset or a few voxels (correlation "
        f"{correlation:.7f}): less than 1e-6 of their variance differs; give two independent halves."
    )


def _correlation_without_outliers(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Correlation without the voxels of the most extreme values and of the largest differences."""
    kept = np.ones(one.size, dtype=bool)
    for values in (one, other):
        kept[_largest(np.abs(values - values.mean(dtype=np.float64)))] = False
    one, other = one[kept], other[kept]
    kept = np.ones(one.size, dtype=bool)
    kept[_largest(np.abs(_standardised(one) - _sign(one, other) * _standardised(other)))] = False
    one, other = _standardised(one[kept]), _standardised(other[kept])
    if not (one.any() and other.any()):
        return 0.0  # such as outside of a mask
    sign = _sign(one, other)
    return sign * (1.0 - float(np.mean((one - sign * other) ** 2)) / 2.0)


def _largest(values: NDArray[np.floating]) -> NDArray[np.intp]:
    """Return the indices of the largest values, at most 2 % of all."""
    n = min(N_OUTLIERS, values.size // 50)
    return np.argpartition(values, values.size - n - 1)[values.size - n :]


def _standardised(values: NDArray[np.floating]) -> NDArray[np.float64]:
    deviations = values - values.mean(dtype=np.float64)
    return np.asarray(deviations / (deviations.std() or np.inf), dtype=np.float64)


def _sign(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    return 1.0 if np.mean(_standardised(one) * _standardised(other)) >= 0 else -1.0


def write_volume(
    path: Path,
    volume: Volume,
    label: str = "",
    dtype: type[np.floating] = np.float32,
    *,
    durable: bool = True,
) -> None:
    """Write a map atomically, with voxel size, origin, start and labels of the volume.

    Parameters
    ----------
    path : Path
        Output file; compressed if it ends in .gz or .bz2.
    volume : Volume
        Map to write.
    label : str
        A header label to add; see `append_label`.
    dtype : type
        ``numpy.float32`` or ``numpy.float16``.
    durable : bool
        See `atomic_path`.

    Raises
    ------
    SpisonetError
        If the file cannot be written, or a density is outside the range of `dtype`.
    """
    largest = np.finfo(dtype).max
    if not (-largest <= volume.data.min() and volume.data.max() <= largest):
        raise SpisonetError(
            f"{path} cannot be written as {dtype.__name__}: a density is outside of its range."
        )
    labels = append_label(volume.labels, label)
    with atomic_path(path, durable=durable) as temporary:
        with mrcfile.new(temporary, compression=COMPRESSIONS.get(path.suffix), overwrite=True) as mrc:
            mrc.set_data(volume.data.astype(dtype, copy=False))
            mrc.set_volume()
            mrc.voxel_size = volume.voxel_size_angstrom
            mrc.nstart = volume.nstart
            mrc.header.origin = volume.origin_angstrom
            mrc.header.nlabl = len(labels)
            for index in range(MAX_LABELS):
                text = labels[index] if index < len(labels) else ""
                mrc.header.label[index] = text.encode("ascii", "replace")
