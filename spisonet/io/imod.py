"""Contours of IMOD models."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from spisonet.errors import SpisonetError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

# Lengths in bytes of the fixed parts of a binary model (IMOD, "Binary File Format for IMOD Models").
ID_LENGTH, HEADER_LENGTH, OBJECT_LENGTH = 8, 232, 176
FLAGS_OFFSET, FLIPPED = 152, 1 << 16  # a model that was drawn with y and z exchanged


def read_contours(path: Path) -> list[NDArray[np.float32]]:
    """Read all contours of an IMOD model, or of a text file of points.

    Parameters
    ----------
    path : Path
        A binary ``.mod`` file, or text as ``model2point`` writes it: x, y and z in each line, after the
        numbers of contour, or of object and contour.

    Returns
    -------
    list of ndarray
        ``(n, 3)`` points ``(x, y, z)`` in voxels.

    Raises
    ------
    SpisonetError
        If the file is neither.
    """
    if not path.is_file():
        raise SpisonetError(f"{path} does not exist.")
    content = path.read_bytes()
    if content[:4] == b"IMOD":
        try:
            return _of_model(content)
        except struct.error as error:
            raise SpisonetError(f"{path} is a damaged IMOD model.") from error
    try:
        points = np.array(
            [line.split() for line in content.decode().splitlines() if line.strip()], dtype=np.float32
        )
    except (UnicodeDecodeError, ValueError) as error:
        raise SpisonetError(f"{path} is no IMOD model, and no list of points either.") from error
    if points.ndim != 2 or points.shape[1] not in (3, 4, 5):
        raise SpisonetError(f"{path} should hold contour, x, y and z in each line.")
    if not np.isfinite(points).all():
        raise SpisonetError(f"{path} holds a point that is no number.")
    numbers = points[:, :-3]  # of object and contour
    groups = np.unique(numbers, axis=0) if numbers.shape[1] else [numbers[:0]]
    return [points[(numbers == group).all(axis=1), -3:] if len(group) else points for group in groups]


def _of_model(content: bytes) -> list[NDArray[np.float32]]:
    contours = []
    (flags,) = struct.unpack_from(">I", content, FLAGS_OFFSET)
    order = [0, 2, 1] if flags & FLIPPED else [0, 1, 2]
    offset = ID_LENGTH + HEADER_LENGTH
    while offset + 4 <= len(content):
        kind = content[offset : offset + 4]
        offset += 4
        if kind == b"OBJT":
            offset += OBJECT_LENGTH
        elif kind == b"CONT":
            (count,) = struct.unpack_from(">i", content, offset)
            offset += 16
            if offset + 12 * count > len(content):
                raise struct.error
            flat = np.frombuffer(content, dtype=">f4", count=3 * count, offset=offset)
            contours.append(flat.reshape(-1, 3).astype(np.float32)[:, order])
            offset += 12 * count
        elif kind == b"MESH":
            n_vertices, n_indices = struct.unpack_from(">ii", content, offset)
            offset += 16 + 12 * n_vertices + 4 * n_indices
        elif kind == b"IEOF":
            break
        else:  # every other part gives its length
            (length,) = struct.unpack_from(">i", content, offset)
            offset += 4 + length
    return contours
