"""Boundaries of specimens, drawn on a tomogram and stored as IMOD models."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.io.imod import is_own_model, read_contours_on, write_contours
from spisonet.io.slices import open_planes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spisonet.gui.allowed_folders import AllowedFolders

MAX_POINTS = 10_000
BOUNDARY_FOLDER = "boundary"


def read_boundary(name: str, volume: str, allowed_folders: AllowedFolders) -> list[list[list[float]]]:
    """Return the contours of an IMOD model: points (x, y, z) in voxels of a tomogram.

    Raises
    ------
    SpisonetError
        If the file is not a readable model, or was drawn on a tomogram of other proportions.
    """
    shape = open_planes(allowed_folders.resolve_file(volume)).shape
    contours = read_contours_on(allowed_folders.resolve_file(name), shape, volume)
    return [contour.tolist() for contour in contours]


def propose_boundary(volume: str, allowed_folders: AllowedFolders) -> str:
    """Return the name of a new file for the boundary of a tomogram.

    The name of the tomogram; if there is such a file, with the name of its folder before it, or a number.
    """
    path = allowed_folders.resolve_file(volume)
    names = (path.stem, f"{path.parent.name}_{path.stem}")
    numbered = (f"{names[1]}_{number}" for number in itertools.count(2))
    files = (
        allowed_folders.project / BOUNDARY_FOLDER / f"{stem}.mod" for stem in itertools.chain(names, numbered)
    )
    return allowed_folders.display_name(next(file for file in files if not os.path.lexists(file)))


def write_boundary(
    name: str,
    contours: Sequence[Sequence[Sequence[float]]],
    volume: str,
    allowed_folders: AllowedFolders,
    replaced: str = "",
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
    replaced : str
        File whose contours the page shows, which is replaced; no other file is.

    Returns
    -------
    str
        Name of the file as shown to the user.

    Raises
    ------
    SpisonetError
        If the contours are invalid, or the file cannot be written, is a model of another program, or exists
        already.
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
    if path.exists() and (not replaced or allowed_folders.resolve(replaced) != path):
        raise SpisonetError(f"{name} already exists, perhaps for another tomogram; enter another name.")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_contours(path, contours, open_planes(allowed_folders.resolve_file(volume)).shape)
    return allowed_folders.display_name(path)
