"""Locate a folder that was dropped on the page, of which the browser discloses no path."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.io.tomograms import SUFFIXES

if TYPE_CHECKING:
    from spisonet.gui.allowed_folders import AllowedFolders

SEARCH_DEPTH, MAX_FOLDERS = 4, 20_000


def locate_folder(name: str, files: dict[str, int], allowed_folders: AllowedFolders) -> str:
    """Find a folder by its name and the names and sizes of the tomograms in it.

    Parameters
    ----------
    name : str
        Name of the folder without its path.
    files : dict
        Sizes in bytes by file name; files that are not tomograms are ignored.
    allowed_folders : AllowedFolders
        Where to search.

    Returns
    -------
    str
        Path of the folder as shown to the user.

    Raises
    ------
    SpisonetError
        If no such folder is found.
    """
    tomograms = {file: size for file, size in files.items() if Path(file).suffix.lower() in SUFFIXES}
    level, n_folders = list(allowed_folders.all), 0
    for _ in range(SEARCH_DEPTH):
        next_level = []
        for path in level:
            if path.name == name and tomograms and _contains(path, tomograms):
                return allowed_folders.display_name(path)
            try:
                next_level += [p for p in path.iterdir() if p.is_dir() and not p.name.startswith(".")]
            except OSError:
                continue
        n_folders += len(next_level)
        if n_folders > MAX_FOLDERS:
            break
        level = next_level
    raise SpisonetError(
        f"No folder {name} with these tomograms was found in the allowed folders (files are not uploaded); "
        "use Browse, or restart the interface with --allowed_folders."
    )


def _contains(folder: Path, files: dict[str, int]) -> bool:
    return all(
        (folder / file).is_file() and (folder / file).stat().st_size == size
        for file, size in files.items()
        if ".." not in Path(file).parts
    )
