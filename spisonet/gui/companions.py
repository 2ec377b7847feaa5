"""Half map 2 and the mask that belong to a half map, proposed by their names and sizes."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from spisonet.errors import SpisonetError
from spisonet.io.series_names import other_half_map, words_of
from spisonet.io.slices import open_planes
from spisonet.io.tomograms import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spisonet.gui.allowed_folders import AllowedFolders

MASK_JOBS = "MaskCreate/*"  # of RELION
MAX_CANDIDATES = 50  # files whose size is read


def find_companions(name: str, allowed_folders: AllowedFolders) -> dict[str, Any]:
    """Propose the files that belong to half map 1.

    Returns
    -------
    dict
        ``half2`` and ``mask``, as far as they are found and may be used, and ``notes``: why a file that was
        found is left out.

    Raises
    ------
    SpisonetError
        If the half map does not exist.
    """
    path = allowed_folders.resolve_file(name)
    found: dict[str, Any] = {"notes": []}
    other = other_half_map(path)
    if other is not None and other.is_file():
        try:
            found["half2"] = allowed_folders.display_name(allowed_folders.resolve_file(other))
        except SpisonetError as error:  # a link to elsewhere
            found["notes"].append(f"Half map 2 is not selected: {error}")
    mask = next((mask for mask in _masks(path, allowed_folders) if _same_size(mask, path)), None)
    if mask is not None:
        found["mask"] = allowed_folders.display_name(mask)
    return found


def _masks(half: Path, allowed_folders: AllowedFolders) -> Iterator[Path]:
    """Yield masks beside a half map, in the project, and of RELION's jobs, newest first."""
    project = allowed_folders.project
    n_candidates = 0
    for folder in dict.fromkeys((half.parent, project, *sorted(project.glob(MASK_JOBS), reverse=True))):
        try:
            paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        except OSError:
            continue
        for path in paths:
            if not any("mask" in word for word in words_of(path)) or n_candidates >= MAX_CANDIDATES:
                continue
            n_candidates += 1
            with suppress(SpisonetError):  # a link to elsewhere
                yield allowed_folders.resolve_file(path)


def _same_size(first: Path, second: Path) -> bool:
    try:
        return open_planes(first).shape == open_planes(second).shape
    except (SpisonetError, OSError):
        return False
