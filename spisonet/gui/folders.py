"""What the file browser lists."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spisonet.errors import SpisonetError
from spisonet.io.tomograms import SUFFIXES

if TYPE_CHECKING:
    from spisonet.gui.allowed_folders import AllowedFolders

MOST_ENTRIES = 5000


def list_folder(name: str, allowed_folders: AllowedFolders) -> dict[str, Any]:
    """List a folder: folders first, then files, each with its kind.

    Raises
    ------
    SpisonetError
        If it is no folder, or may not be read.
    """
    folder = allowed_folders.inside(name)
    if not folder.is_dir():
        raise SpisonetError(f"{name} is not a folder.")
    try:
        with os.scandir(folder) as found:
            entries = [_entry(entry) for entry in found if not entry.name.startswith(".")]
    except OSError as error:
        raise SpisonetError(f"{name or folder} cannot be read: {error.strerror or error}.") from error
    entries.sort(key=lambda entry: (entry["kind"] != "folder", entry["name"]))
    above = folder.parent
    allowed = any(above.is_relative_to(root) for root in allowed_folders.all)
    return {
        "name": allowed_folders.shown(folder),
        "above": allowed_folders.shown(above) if allowed else None,
        "allowed_folders": [allowed_folders.shown(root) for root in allowed_folders.all],
        "entries": entries[:MOST_ENTRIES],
        "left_out": max(0, len(entries) - MOST_ENTRIES),
    }


def _entry(entry: os.DirEntry[str]) -> dict[str, Any]:
    suffix = Path(entry.name).suffix
    kind = "volume" if suffix in SUFFIXES else suffix.removeprefix(".")
    try:
        return {
            "name": entry.name,
            "kind": "folder" if entry.is_dir() else kind,
            "bytes": entry.stat().st_size,
        }
    except OSError:  # a link to nothing
        return {"name": entry.name, "kind": kind, "bytes": 0}
