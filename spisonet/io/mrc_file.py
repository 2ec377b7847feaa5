"""MRC files of any real mode, plain or compressed: the checked header, and densities region by region."""

from __future__ import annotations

import bz2
import gzip
import logging
import math
import os
import shlex
import shutil
import tempfile
import threading
import warnings
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import mrcfile
import numpy as np
from mrcfile.bzip2mrcfile import Bzip2MrcFile
from mrcfile.gzipmrcfile import GzipMrcFile
from mrcfile.utils import data_dtype_from_header

from spisonet.errors import SpisonetError
from spisonet.io.numbers import SIZE
from spisonet.io.paths import real_path

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = logging.getLogger("spisonet")

OPENERS: dict[str, Any] = {"gzip": gzip.open, "bzip2": bz2.open}
# Raised by mrcfile, gzip and bz2 if a header or a compressed stream is damaged.
UNREADABLE = (ValueError, OSError, RuntimeError, EOFError, MemoryError, OverflowError, zlib.error)
HEADER_BYTES = 1024
LARGEST_MRC = 2**44  # bytes; 16 TiB
MAGIC: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open}  # first bytes of compressed files
HDF5 = b"\x89HDF"
EXTENDED_OFFSET, LONGEST_EXTENDED_HEADER = 92, 2**28  # bytes
GZIP_SIZE_BYTES = 4  # at the end of a file
ORDERS: tuple[Literal["little", "big"], ...] = ("little", "big")
APIX_OPTION = "give it with --apix"
READ_BYTES = 2**23  # read at once
SPARE_BYTES = 2**30  # that copies of compressed files leave free, if possible
WHOLE_ROWS_BYTES = 2**32  # of larger files, which memory may not hold, narrow regions are read row by row
RELATIVE_VOXEL_SIZE_TOLERANCE = 1e-3
X_Y_Z = (1, 2, 3)
BYTE_MODE = 0
UNSUPPORTED_MODES = {
    3: "complex integers (mode 3, a Fourier transform)",
    16: "colours (mode 16)",
    101: "values of 4 bits (mode 101 of SerialEM, usual for movie frames)",
}
# IMOD's additions to the header, in ``extra2``: a stamp, and flags about bytes.
IMOD_STAMP, IMOD_STAMP_OFFSET, IMOD_FLAGS_OFFSET = 1146047817, 40, 44
SIGNED_BYTES, PACKED_4_BITS = 1, 16
FIRST_UNSIGNED = 128  # byte that a signed one cannot hold
SIGNED_SINCE = 20140  # version of the MRC standard with signed bytes
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
    is_stack, is_volume : bool
        Whether the header describes a stack of images (ispg 0, mz 1), or a volume (ispg 1). Many programs
        write neither.
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
    is_volume: bool
    voxel_size_xyz: tuple[float, float, float]
    nstart: tuple[int, int, int]
    origin_angstrom: tuple[float, float, float]
    labels: tuple[str, ...]

    @property
    def n_bytes(self) -> int:
        """Size of the file, decompressed, up to the end of the densities."""
        return self.data_offset + math.prod(self.shape) * self.dtype.itemsize

    @property
    def is_in_order(self) -> bool:
        """Whether sections, rows and columns are z, y and x."""
        return self.axes == X_Y_Z

    def cubic_voxel_size_angstrom(self, remedy: str = APIX_OPTION) -> float:
        """Return the edge of a cubic voxel in Å.

        Parameters
        ----------
        remedy : str
            What to do without a valid voxel size, as the end of a sentence.

        Raises
        ------
        SpisonetError
            If the header has no voxel size, or the voxels are not cubic.
        """
        x, y, z = self.voxel_size_xyz
        if not all(np.isfinite((x, y, z))) or min(x, y, z) <= 0:
            raise SpisonetError(
                f"{self.path} has no voxel size in its header; {remedy}.", code="no_voxel_size"
            )
        if not SIZE.contains(np.array((x, y, z))).all():
            raise SpisonetError(
                f"{self.path} has voxels of {x:g} x {y:g} x {z:g} Å, which is not possible; {remedy}.",
                code="no_voxel_size",
            )
        if max(x, y, z) - min(x, y, z) > RELATIVE_VOXEL_SIZE_TOLERANCE * x:
            cause = " by its header of a stack of images (ispg 0, mz 1)" if self.is_stack else ""
            raise SpisonetError(
                f"{self.path} has voxels that are not cubic{cause} ({x:g} x {y:g} x {z:g} Å); resample it, "
                f"or if the header is wrong {remedy}."
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
            is_whole = region.size == math.prod(self.shape)
            with self._open(random_access=not is_whole) as file:
                for index, run in enumerate(runs):
                    self._read_rows(file, (first[0] + index) * self.shape[1] + first[1], first[2], run)
                if is_whole and self.compression is not None and file.read(1):
                    raise _excess(self.path)
        except UNREADABLE as error:
            raise _unreadable(self.path, error) from error
        return region

    def _open(self, random_access: bool) -> Any:
        if self.compression is None:
            return self.path.open("rb", buffering=0)
        if not random_access:
            return OPENERS[self.compression](self.path)
        # A compressed stream can only be read from its beginning; regions are read from a copy.
        return _open_decompressed(self)

    def _read_rows(self, file: Any, first_row: int, first_column: int, rows: NDArray[np.float32]) -> None:
        """Read consecutive rows into an array ``(n_rows, n_columns)``."""
        row_bytes = self.shape[2] * self.dtype.itemsize
        if self.n_bytes > WHOLE_ROWS_BYTES and 3 * rows.shape[1] < self.shape[2]:
            # The disk has to deliver a third as much or less, which a file in memory does not reward.
            piece = np.empty(rows.shape[1], dtype=self.dtype)
            for index, row in enumerate(rows):
                file.seek(
                    self.data_offset + (first_row + index) * row_bytes + first_column * self.dtype.itemsize
                )
                self._fill(file, piece)
                row[:] = piece
            return
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


@dataclass(frozen=True)
class _Copies:
    """Decompressed copies of files, in a folder that is removed when the program ends."""

    folder: tempfile.TemporaryDirectory[str]
    paths: dict[tuple[Path, int, int], Path]
    lock: threading.Lock


@cache
def _copies() -> _Copies:
    return _Copies(tempfile.TemporaryDirectory(prefix="spisonet-"), {}, threading.Lock())


def _open_decompressed(file: MrcFile) -> Any:
    """Decompress a file once, block by block, into the folder for temporary files (``TMPDIR``), and open it.

    The oldest copies of other files are removed if there is no more room.

    Raises
    ------
    SpisonetError
        If there is no room for it.
    """
    copies, status = _copies(), file.path.stat()
    key = real_path(file.path), status.st_mtime_ns, status.st_size
    with copies.lock:
        if key not in copies.paths:
            folder, n_bytes = Path(copies.folder.name), file.n_bytes
            while shutil.disk_usage(folder).free < n_bytes + SPARE_BYTES and copies.paths:
                copies.paths.pop(next(iter(copies.paths))).unlink()
            if shutil.disk_usage(folder).free < n_bytes:
                raise SpisonetError(
                    f"{file.path} is compressed, and {folder.parent} has no room for a copy of "
                    f"{n_bytes / 1e9:.1f} GB; decompress it, or set TMPDIR to another folder."
                )
            copy = folder / f"{abs(hash(key)):x}.mrc"
            try:
                _decompress(file, copy)
            except BaseException:
                copy.unlink(missing_ok=True)
                raise
            copies.paths[key] = copy
        return copies.paths[key].open("rb", buffering=0)


def _decompress(file: MrcFile, copy: Path) -> None:
    """Decompress a file as far as its header promises, block by block."""
    n_left = file.n_bytes
    with OPENERS[str(file.compression)](file.path) as packed, copy.open("wb") as unpacked:
        while n_left:
            block = packed.read(min(n_left, READ_BYTES))
            if not block:
                raise SpisonetError(f"{file.path} is not a readable MRC file: it is truncated.")
            unpacked.write(block)
            n_left -= len(block)
        if packed.read(1):
            raise _excess(file.path)


def _excess(path: Path) -> SpisonetError:
    return SpisonetError(
        f"{path} is not a readable MRC file: it contains more data than its header describes; compress the "
        "map anew."
    )


def open_mrc(path: Path) -> MrcFile:
    """Read and check the header of an MRC file.

    Bytes (mode 0) are signed or unsigned by IMOD's stamp and flag, or else by the minimum and maximum in the
    header, as IMOD reads them. Without the stamp, a warning is logged if the maximum is beyond signed bytes,
    or if the header has no minimum and maximum.

    Raises
    ------
    SpisonetError
        If the file is missing, damaged or truncated, is a stack of volumes, or contains complex numbers or
        values of an unsupported kind.
    """
    if not path.is_file():
        raise SpisonetError(f"{path} does not exist.", code="file_not_found")
    _require_possible_header(path)
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
    if file.n_bytes > LARGEST_MRC:
        voxels = " x ".join(map(str, file.shape))
        raise SpisonetError(f"{path} is not a readable MRC file: its header announces {voxels} voxels.")
    extended = file.data_offset - HEADER_BYTES
    if extended and _is_size_of(file, file.n_bytes - extended):
        raise SpisonetError(
            f"{path} is not a readable MRC file: its header announces an extended header of {extended} "
            "bytes, which is not in the file."
        )
    if file.compression is None and path.stat().st_size < file.n_bytes:
        raise SpisonetError(f"{path} is not a readable MRC file: it is truncated.")
    return file


def _is_size_of(file: MrcFile, n_bytes: int) -> bool:
    """Whether a file has a size, decompressed: gzip stores it modulo 2^32 at the end, bzip2 does not."""
    if file.compression is None:
        return file.path.stat().st_size == n_bytes
    if file.compression != "gzip":
        return False
    with file.path.open("rb") as packed:
        packed.seek(-GZIP_SIZE_BYTES, os.SEEK_END)
        size = int.from_bytes(packed.read(GZIP_SIZE_BYTES), "little")
    return bool(size == n_bytes % 2 ** (8 * GZIP_SIZE_BYTES))


def conversion_by_eman2(path: Path) -> str:
    """Return the command of EMAN2 that converts a volume to MRC, as the end of a sentence."""
    return f"convert it first: {shlex.join(['e2proc3d.py', str(path), str(path.with_suffix('.mrc'))])}"


def _require_possible_header(path: Path) -> None:
    """Refuse HDF5, and an extended header that no file has, before memory for it is reserved.

    Raises
    ------
    SpisonetError
        If the file is HDF5, empty or shorter than a header, or the extended header would be longer than
        `LONGEST_EXTENDED_HEADER`, whatever the order of the bytes.
    """
    with path.open("rb") as file:
        beginning = file.read(HEADER_BYTES)
    if beginning.startswith(HDF5):
        raise SpisonetError(f"{path} is an HDF5 file, as EMAN2 writes it; {conversion_by_eman2(path)}.")
    opener = next((opener for magic, opener in MAGIC.items() if beginning.startswith(magic)), None)
    if opener is not None:
        try:
            with opener(path) as packed:
                beginning = packed.read(HEADER_BYTES)
        except UNREADABLE as error:
            raise _unreadable(path, error) from error
    if len(beginning) < HEADER_BYTES:
        n_bytes = len(beginning)
        reason = (
            f"it has {n_bytes} bytes, but its header alone needs {HEADER_BYTES}" if n_bytes else "it is empty"
        )
        raise SpisonetError(f"{path} is not a readable MRC file: {reason}.")
    field = beginning[EXTENDED_OFFSET : EXTENDED_OFFSET + 4]
    if min(int.from_bytes(field, order, signed=False) for order in ORDERS) > LONGEST_EXTENDED_HEADER:
        raise SpisonetError(
            f"{path} is not a readable MRC file: its header announces an impossible extended header."
        )


def _read_header(path: Path, mrc: Any) -> MrcFile:
    header = mrc.header
    shape = int(header.nz), int(header.ny), int(header.nx)
    x, y, z = float(mrc.voxel_size.x), float(mrc.voxel_size.y), float(mrc.voxel_size.z)
    is_stack = int(header.ispg) == 0 and int(header.mz) == 1
    if is_stack and shape[0] > 1 and len(set(shape)) == 1:
        # Some programs write maps with the header of a stack of images.
        _warn_once(
            f"{path} has the header of a stack of images (ispg 0, mz 1) but is cubic: it is read as a map."
        )
        is_stack, z = False, x if math.isclose(z, shape[0] * x, rel_tol=RELATIVE_VOXEL_SIZE_TOLERANCE) else z
    return MrcFile(
        path=path,
        shape=shape,
        dtype=_data_type(path, header),
        data_offset=HEADER_BYTES + int(header.nsymbt),
        compression=_compression(mrc),
        axes=_axes(path, header),
        is_stack=is_stack,
        is_volume=int(header.ispg) == 1,
        voxel_size_xyz=(x, y, z),
        nstart=(int(header.nxstart), int(header.nystart), int(header.nzstart)),
        origin_angstrom=(float(header.origin.x), float(header.origin.y), float(header.origin.z)),
        labels=tuple(text for label in mrc.get_labels() if (text := label.strip())),
    )


def _data_type(path: Path, header: Any) -> np.dtype[Any]:
    """Return the data type on disk, with IMOD's rules for bytes.

    References
    ----------
    IMOD's manual, "MRC file format" (``imodStamp``, ``imodFlags``, ``READ_MODE0_SIGNED``).
    """
    mode = int(header.mode)
    extra = header.extra2.tobytes()
    stamp, flags = (
        int(np.frombuffer(extra, header.mode.dtype, 1, offset)[0])
        for offset in (IMOD_STAMP_OFFSET, IMOD_FLAGS_OFFSET)
    )
    has_stamp = stamp == IMOD_STAMP
    kind = UNSUPPORTED_MODES.get(mode)
    if mode == BYTE_MODE and has_stamp and flags & PACKED_4_BITS:
        kind = "values of 4 bits (packed by IMOD)"
    if kind is not None:
        raise SpisonetError(
            f"{path} contains {kind}, not a map of real numbers; convert it, for example by IMOD's newstack "
            "-mode 2."
        )
    if mode != BYTE_MODE:
        return cast("np.dtype[Any]", data_dtype_from_header(header))
    if has_stamp:
        return np.dtype(np.int8 if flags & SIGNED_BYTES else np.uint8)
    low, high = float(header.dmin), float(header.dmax)
    if low == high == 0 or not low <= high:
        # Since 2014 the standard has signed bytes, and a maximum below the minimum if they are unknown.
        is_signed = int(header.nversion) >= SIGNED_SINCE
        _warn_once(
            f"{path} contains bytes that are read as {'signed' if is_signed else 'unsigned'} by the version "
            f"of its header ({int(header.nversion)}), since neither a flag of IMOD nor a range of values in "
            f"it (minimum {low:g}, maximum {high:g}) tells it; if dark and bright are mixed up, write the "
            "range into the header (update_header_stats of Python's mrcfile)."
        )
        return np.dtype(np.int8 if is_signed else np.uint8)
    if low < 0:
        is_signed = high < FIRST_UNSIGNED or -low > high - FIRST_UNSIGNED
        return np.dtype(np.int8 if is_signed else np.uint8)
    if high >= FIRST_UNSIGNED:
        _warn_once(
            f"{path} contains bytes that are read as unsigned, since its header gives a range of {low:g} to "
            f"{high:g}; the MRC standard has signed bytes."
        )
    return np.dtype(np.uint8)


@cache
def _warn_once(sentence: str) -> None:
    log.warning("%s", sentence)


def _compression(mrc: Any) -> str | None:
    if isinstance(mrc, GzipMrcFile):
        return "gzip"
    return "bzip2" if isinstance(mrc, Bzip2MrcFile) else None


def _axes(path: Path, header: Any) -> tuple[int, int, int]:
    axes = int(header.mapc), int(header.mapr), int(header.maps)
    if axes == (0, 0, 0):
        return X_Y_Z
    if sorted(axes) != [*X_Y_Z]:
        raise SpisonetError(f"{path} is not a readable MRC file: its header has the axes {axes}.")
    return axes


def _unreadable(path: Path, error: BaseException) -> SpisonetError:
    reason = str(error).rstrip(".") or type(error).__name__
    return SpisonetError(f"{path} is not a readable MRC file: {reason}.")
