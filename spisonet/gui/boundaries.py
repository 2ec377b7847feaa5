"""Boundaries of specimens, drawn on a tomogram and stored as IMOD models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.io.imod import is_own_model, read_contours, write_contours
from spisonet.io.slices import open_planes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spisonet.gui.allowed_folders import AllowedFolders

MAX_POINTS = 10_000


def read_boundary(name: str, allowed_folders: AllowedFolders) -> list[list[list[float]]]:
    """Return the contours of an IMOD model: points (x, y, z) in voxels.

    Raises
    ------
    SpisonetError
        If the file is not a readable model.
    """
    return [contour.tolist() for contour in read_contours(allowed_folders.resolve_file(name))]


def write_boundary(
    name: str,
    contours: Sequence[Sequence[Sequence[float]]],
    volume: str,
    allowed_folders: AllowedFolders,
) -> str:
    """Write contours as an IMOD model.

    Parameters
    ----------
    name : str
        File to write, ending in ``.mod``.
    contours : sequence
        Contours of points (x, y, z) in voxels.
    volume : str
        Tomogram on which they were drawn.
    allowed_folders : AllowedFolders
        Where files may be.

    Returns
    -------
    str
        Name of the file as shown to the user.

    Raises
    ------
    SpisonetError
        If the contours are invalid, or the file cannot be written or is a model of another program.
    """
    path = allowed_folders.resolve(name)
    if path.suffix != ".mod":
        raise SpisonetError(f"{name} does not end in .mod.")
    if not contours or sum(map(len, contours)) > MAX_POINTS:
        raise SpisonetError(f"A boundary must have between 1 and {MAX_POINTS} points.")
    if path.exists() and not is_own_model(path):
        raise SpisonetError(
            f"{name} was written by another program and is not overwritten; enter another name."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_contours(path, contours, open_planes(allowed_folders.resolve_file(volume)).shape)
    return allowed_folders.display_name(path)
