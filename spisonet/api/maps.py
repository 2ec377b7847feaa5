"""Maps as Python programs give and receive them: files, arrays or `Map`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from spisonet.analysis.half_maps import HalfMaps, checked_half_maps
from spisonet.errors import SpisonetError
from spisonet.io.mrc import Volume, checked_densities, read_volume, write_volume

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

VOXEL_SIZE_ARGUMENT = "give voxel_size_angstrom"
MapLike: TypeAlias = "Volume | Path | str | NDArray[np.floating[Any]]"


@dataclass(frozen=True)
class Map(Volume):
    """A map or tomogram, with the header fields of its position in space.

    Attributes
    ----------
    data : ndarray of float32
        ``(z, y, x)`` densities.
    voxel_size_angstrom : float
        Edge of a voxel in Å.
    origin_angstrom, nstart : tuple
        Header fields ``origin`` (Å) and ``nstart`` (voxels), each ``(x, y, z)``.
    labels : tuple of str
        Text labels of the header.
    name : str
        Name in messages: the path of the file.
    """

    @classmethod
    def of(cls, volume: Volume) -> Map:
        """Return a volume as a `Map`."""
        return cls(**vars(volume))

    def plot(self) -> Figure:
        """Draw the central XY, XZ and YZ slices.

        Returns
        -------
        Figure
            A matplotlib figure; ``savefig("slices.png")`` writes it.
        """
        from spisonet.figures.slices import draw_central_slices  # noqa: PLC0415 - matplotlib is slow to import

        return draw_central_slices({Path(self.name).name: self.data}, self.voxel_size_angstrom)


def read_map(path: Path | str, *, voxel_size_angstrom: float | None = None) -> Map:
    """Read a map or tomogram.

    Parameters
    ----------
    path : Path or str
        MRC/CCP4 map, plain or compressed with gzip or bzip2, or an ``.em`` map.
    voxel_size_angstrom : float, optional
        Voxel size in Å; overrides that of the header.

    Returns
    -------
    Map
        Densities ``(z, y, x)`` as float32, and header.

    Raises
    ------
    SpisonetError
        If the file is missing or damaged, or is not a volume, or its voxel size is unknown.

    Examples
    --------
    >>> import spisonet
    >>> half1 = spisonet.read_map("half1.mrc")
    >>> half1.data.shape, half1.data.dtype
    ((48, 48, 48), dtype('float32'))
    >>> round(half1.voxel_size_angstrom, 3)
    3.467
    """
    return Map.of(read_volume(Path(path), voxel_size_angstrom, VOXEL_SIZE_ARGUMENT, cubic=False))


def write_map(
    path: Path | str,
    volume: Volume | NDArray[np.floating[Any]],
    *,
    voxel_size_angstrom: float | None = None,
    label: str = "",
) -> None:
    """Write a map or tomogram as an MRC file.

    Parameters
    ----------
    path : Path or str
        Output file; compressed if it ends in ``.gz`` or ``.bz2``.
    volume : Map or array
        Densities and header; an array is ``(z, y, x)`` and needs `voxel_size_angstrom`.
    voxel_size_angstrom : float, optional
        Voxel size of an array in Å.
    label : str
        Header label to add.

    Raises
    ------
    SpisonetError
        If the file cannot be written.

    Examples
    --------
    >>> import numpy as np, spisonet
    >>> spisonet.write_map("ball.mrc", np.eye(16)[None] * np.ones((16, 1, 1)), voxel_size_angstrom=2.0)
    >>> spisonet.read_map("ball.mrc").voxel_size_angstrom
    2.0
    """
    write_volume(Path(path), volume_of(volume, voxel_size_angstrom, "volume"), label)


def volume_of(source: MapLike, voxel_size_angstrom: float | None, name: str) -> Volume:
    """Return a map or tomogram that a caller gives as a `Volume`, a path or an array.

    Parameters
    ----------
    source : Volume, path or array
        The map.
    voxel_size_angstrom : float or None
        Voxel size in Å; overrides that of a header.
    name : str
        Name of the argument, for messages.

    Raises
    ------
    SpisonetError
        If it is not a usable volume, or its voxel size is unknown.
    """
    if isinstance(source, Volume):
        return (
            source
            if voxel_size_angstrom is None
            else replace(source, voxel_size_angstrom=voxel_size_angstrom)
        )
    if isinstance(source, (str, Path)):
        return read_volume(Path(source), voxel_size_angstrom, VOXEL_SIZE_ARGUMENT, cubic=False)
    data = np.asarray(source)
    if data.ndim != 3 or not np.issubdtype(data.dtype, np.number):
        raise SpisonetError(
            f"{name} has the shape {data.shape} and type {data.dtype}; give a numeric array (z, y, x).",
            field=name,
        )
    if voxel_size_angstrom is None:
        raise SpisonetError(f"{name} is an array: {VOXEL_SIZE_ARGUMENT}.", field="voxel_size_angstrom")
    return Volume(checked_densities(data, name), voxel_size_angstrom, name=name)


def cubic_volume_of(source: MapLike, voxel_size_angstrom: float | None, name: str) -> Volume:
    """Return a map that a caller gives; see `volume_of`.

    Raises
    ------
    SpisonetError
        If it is not cubic, or unusable in another way.
    """
    volume = volume_of(source, voxel_size_angstrom, name)
    if len(set(volume.data.shape)) != 1:
        raise SpisonetError(
            f"{volume.name} is not cubic: its shape is {volume.data.shape}; pad or crop it to a cube.",
            field=name,
        )
    return volume


def half_maps_of(
    half1: MapLike, half2: MapLike | None, mask: MapLike | None, voxel_size_angstrom: float | None
) -> HalfMaps:
    """Return the half maps and mask that a caller gives, checked; see `volume_of`.

    Raises
    ------
    SpisonetError
        If one is unusable, or they do not belong together.
    """
    return checked_half_maps(
        cubic_volume_of(half1, voxel_size_angstrom, "half1"),
        None if half2 is None else cubic_volume_of(half2, voxel_size_angstrom, "half2"),
        None if mask is None else cubic_volume_of(mask, voxel_size_angstrom, "mask"),
    )


def saved_map(source: MapLike, volume: Volume, name: str, folder: Path | None) -> Path:
    """Return the file of a map that a caller gives; a map without a file is written into the output folder.

    Parameters
    ----------
    source : Volume, path or array
        As it was given.
    volume : Volume
        The same, read.
    name : str
        Name of the file without its suffix.
    folder : Path or None
        Output folder; None to write nothing and return a name.
    """
    if isinstance(source, (str, Path)):
        return Path(source)
    path = Path(f"{name}.mrc") if folder is None else folder / f"{name}.mrc"
    if folder is not None:
        write_volume(path, volume)
    return path
