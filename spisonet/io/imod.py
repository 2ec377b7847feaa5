"""Contours in IMOD models."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.io.atomic import write_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

# Lengths in bytes of the fixed parts of a binary model (IMOD, "Binary File Format for IMOD Models").
ID_LENGTH, HEADER_LENGTH, OBJECT_LENGTH = 8, 232, 176
IMAGE_SIZE_OFFSET = 136
FLAGS_OFFSET, FLIPPED = 152, 1 << 16  # flag of a model that was drawn with y and z exchanged
GREEN = (0.0, 1.0, 0.0)
OWN_NAME = b"boundary drawn with spisonet"
# IMOD's point2model without an image writes as size the largest x, y and z of the points and these margins.
MARGINS_WITHOUT_IMAGE = (10, 10, 1)
HIGHEST_SCORE = 1.0  # of a pick, in a column behind its coordinates


def read_contours(path: Path, shape: tuple[int, int, int] | None = None) -> list[NDArray[np.float32]]:
    """Read all contours of an IMOD model or a text file of points.

    Parameters
    ----------
    path : Path
        A binary ``.mod`` file, or a text file of ``model2point``: x, y and z in each line, preceded by the
        number of the contour, or of object and contour.
    shape : tuple of int, optional
        ``(z, y, x)`` of the tomogram. It tells the numbers of contours that do not count from 0 or 1 from
        the coordinates of picks with a score or class behind them.

    Returns
    -------
    list of ndarray
        ``(n, 3)`` points ``(x, y, z)`` in voxels.

    Raises
    ------
    SpisonetError
        If the file is not readable or contains an invalid number.
    """
    if not path.is_file():
        raise SpisonetError(f"{path} does not exist.")
    content = path.read_bytes()
    if content[:4] == b"IMOD":
        try:
            return _parse_model(content)
        except struct.error as error:
            raise SpisonetError(f"{path} is a damaged IMOD model.") from error
    try:
        lines = content.decode("utf-8-sig").replace(",", " ").splitlines()
        rows = [line.split() for line in lines if line.strip() and not line.lstrip().startswith("#")]
        points = np.array(rows, dtype=np.float32)
    except (UnicodeDecodeError, ValueError) as error:
        raise SpisonetError(f"{path} is neither an IMOD model nor a text file of points.") from error
    if points.ndim != 2 or points.shape[1] not in (3, 4, 5):
        raise SpisonetError(
            f"{path} must contain x, y and z in each line, with or without the numbers of object and contour "
            "before them."
        )
    if not np.isfinite(points).all():
        raise SpisonetError(f"{path} contains an invalid number.")
    numbers = points[:, :-3]  # of object and contour
    if not _has_contour_numbers(points, shape):
        raise SpisonetError(
            f"{path} has {points.shape[1]} columns, but the first are not the numbers of object and contour "
            "(whole numbers that never decrease, from 0 or 1); keep only x, y and z in each line."
        )
    groups = np.unique(numbers, axis=0) if numbers.shape[1] else [numbers[:0]]
    return [points[(numbers == group).all(axis=1), -3:] if len(group) else points for group in groups]


def _has_contour_numbers(points: NDArray[np.float32], shape: tuple[int, int, int] | None) -> bool:
    """Return whether the first columns of a text file are the numbers of object and contour of points.

    Picks with x, y, z and a score or class may also begin with ascending whole numbers. Numbers count from 0
    or 1 without gaps, unless objects or contours are empty or not all were written. Then they are numbers if
    most points are outside of the tomogram with the first columns as coordinates.
    """
    numbers = points[:, :-3]
    if not numbers.size:
        return True
    is_whole = bool((numbers == np.abs(np.rint(numbers))).all())
    if not is_whole or not np.array_equal(numbers, numbers[np.lexsort(numbers.T[::-1])]):
        return False
    steps = np.diff(numbers, axis=0)
    is_other_object = steps[:, :-1].any(axis=1)
    steps[is_other_object, -1] = numbers[1:][is_other_object, -1]
    has_no_gaps = bool((steps <= 1).all())
    if has_no_gaps and (numbers[0] <= 1).all():
        return True
    if shape is None:
        return has_no_gaps and len(points) > 1
    first = points[:, :3]
    is_inside = ((first >= 0) & (first < shape[::-1])).all(axis=1)
    return 2 * int(is_inside.sum()) < len(points) and bool(points[:, -1].max() > HIGHEST_SCORE)


def read_contours_on(path: Path, shape: tuple[int, int, int], tomogram: str) -> list[NDArray[np.float32]]:
    """Read all contours in voxels of a tomogram; those of a model drawn on a binned tomogram are scaled.

    Parameters
    ----------
    path : Path
        See `read_contours`. The coordinates of a text file are in voxels of the tomogram.
    shape : tuple of int
        ``(z, y, x)`` of the tomogram.
    tomogram : str
        The tomogram in messages.

    Returns
    -------
    list of ndarray
        ``(n, 3)`` points ``(x, y, z)`` in voxels of the tomogram.

    Raises
    ------
    SpisonetError
        If the file is not readable, or its model was drawn on an image whose size is not that of the tomogram
        times one factor. The size in a model that was made from points without an image is disregarded.
    """
    contours = read_contours(path, shape)
    scale = _scale_of_model(path, contours, shape, tomogram)
    return [contour * np.float32(scale) for contour in contours]


def _scale_of_model(
    path: Path, contours: list[NDArray[np.float32]], shape: tuple[int, int, int], tomogram: str
) -> float:
    """Return the size of the tomogram relative to the image on which a model was drawn, such as 2."""
    size = image_size_of_model(path)
    if size is None or _is_size_of_points(size, contours):
        return 1.0
    # The size of a model that was drawn with y and z exchanged may be exchanged as well.
    for order in ((0, 1, 2), (0, 2, 1)):
        drawn_on = np.array([size[i] for i in order])
        longest = int(np.argmax(drawn_on))
        ratio = float(shape[::-1][longest] / drawn_on[longest])
        for scale in (max(round(ratio), 1) / max(round(1 / ratio), 1), ratio):
            # Binned sizes are rounded by up to one binned voxel.
            if (np.abs(shape[::-1] - scale * drawn_on) <= max(scale, 1)).all():
                return scale
    raise SpisonetError(
        f"{path} was drawn on an image of {size[0]} x {size[1]} x {size[2]} voxels, but {tomogram} has "
        f"{shape[2]} x {shape[1]} x {shape[0]}; write its points in voxels of it to a text file."
    )


def _is_size_of_points(size: tuple[int, int, int], contours: list[NDArray[np.float32]]) -> bool:
    """Return whether the size in a model is that of its points, not of an image."""
    points = np.concatenate([np.empty((0, 3)), *contours])
    if not len(points):
        return False
    largest = points.max(axis=0) + MARGINS_WITHOUT_IMAGE
    return bool((np.abs(largest - size) < 1).all())


def image_size_of_model(path: Path) -> tuple[int, int, int] | None:
    """Return the size ``(x, y, z)`` of the image on which a binary model was drawn; None if it is unknown."""
    with path.open("rb") as file:
        header = file.read(ID_LENGTH + HEADER_LENGTH)
    if header[:4] != b"IMOD" or len(header) < ID_LENGTH + HEADER_LENGTH:
        return None
    x, y, z = struct.unpack_from(">3i", header, IMAGE_SIZE_OFFSET)
    return (x, y, z) if min(x, y, z) > 0 else None


def write_contours(
    path: Path, contours: Sequence[Sequence[Sequence[float]]], shape: tuple[int, int, int]
) -> None:
    """Write closed contours as an IMOD model with one object.

    Parameters
    ----------
    path : Path
        The ``.mod`` file to write.
    contours : sequence
        Contours: lists of points ``(x, y, z)`` in voxels.
    shape : tuple of int
        ``(z, y, x)`` of the tomogram in which the contours were drawn.

    Raises
    ------
    SpisonetError
        If a point is invalid, or the file cannot be written.
    """
    try:
        points = [np.asarray(contour, dtype=">f4").reshape(-1, 3) for contour in contours]
    except (TypeError, ValueError) as error:
        raise SpisonetError("A contour must be a list of points x, y and z.") from error
    if not all(len(contour) and np.isfinite(contour).all() for contour in points):
        raise SpisonetError("A contour is empty or contains an invalid number.")
    z, y, x = shape
    # IMOD's manual, "Binary File Format for IMOD Models": header and parts in order.
    header = struct.pack(">8s128s", b"IMODV1.2", OWN_NAME)
    header += struct.pack(">4iI4i6f", x, y, z, 1, 0, 1, 0, 0, 255, *(0.0,) * 3, *(1.0,) * 3)
    header += struct.pack(">5if2i3f", 0, 0, 0, 3, 128, 1.0, 0, 0, *(0.0,) * 3)
    content = b"OBJT" + struct.pack(">64s16I", b"boundary", *(0,) * 16)
    content += struct.pack(">iI2i3fi8B2i", len(points), 0, 0, 1, *GREEN, 0, 1, 3, 1, 1, *(0,) * 4, 0, 0)
    for contour in points:
        content += b"CONT" + struct.pack(">iI2i", len(contour), 0, 0, 0) + contour.tobytes()
    write_bytes(path, header + content + b"IEOF")


def is_own_model(path: Path) -> bool:
    """Return whether a model was written by `write_contours`, and thus contains only contours."""
    with path.open("rb") as file:
        return file.read(ID_LENGTH + len(OWN_NAME))[ID_LENGTH:] == OWN_NAME


def _parse_model(content: bytes) -> list[NDArray[np.float32]]:
    contours = []
    (flags,) = struct.unpack_from(">I", content, FLAGS_OFFSET)
    order = [0, 2, 1] if flags & FLIPPED else [0, 1, 2]
    offset = ID_LENGTH + HEADER_LENGTH
    while offset + 4 <= len(content):
        kind, before = content[offset : offset + 4], offset
        offset += 4
        if kind == b"OBJT":
            offset += OBJECT_LENGTH
        elif kind == b"CONT":
            (count,) = struct.unpack_from(">i", content, offset)
            offset += 16
            if count < 0 or offset + 12 * count > len(content):
                raise struct.error
            flat = np.frombuffer(content, dtype=">f4", count=3 * count, offset=offset)
            contours.append(flat.reshape(-1, 3).astype(np.float32)[:, order])
            offset += 12 * count
        elif kind == b"MESH":
            n_vertices, n_indices = struct.unpack_from(">ii", content, offset)
            offset += 16 + 12 * n_vertices + 4 * n_indices
        elif kind == b"IEOF":
            break
        else:  # all other parts start with their length
            (length,) = struct.unpack_from(">i", content, offset)
            offset += 4 + length
        if offset < before + 4:  # a negative length: each part ends behind its beginning
            raise struct.error
    return contours
