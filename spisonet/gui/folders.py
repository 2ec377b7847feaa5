"""Folder listings for the file browser."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spisonet.errors import SpisonetError
from spisonet.io.tomograms import SUFFIXES

if TYPE_CHECKING:
    from spisonet.gui.allowed_folders import AllowedFolders

MAX_ENTRIES = 5000


def list_folder(name: str, allowed_folders: AllowedFolders) -> dict[str, Any]:
    """List a folder: subfolders first, then files, each with its kind and size in bytes.

    Raises
    ------
    SpisonetError
        If it is not a folder or cannot be read.
    """
    folder = allowed_folders.resolve(name)
    if not folder.is_dir():
        raise SpisonetError(f"{name} is not a folder.")
    try:
        with os.scandir(folder) as found:
            entries = [_entry(entry) for entry in found if not entry.name.startswith(".")]
    except OSError as error:
        raise SpisonetError(f"{name or folder} cannot be read: {error.strerror or error}.") from error
    entries.sort(key=lambda entry: (entry["kind"] != "folder", entry["name"]))
    parent = folder.parent
    parent_allowed = any(parent.is_relative_to(allowed) for allowed in allowed_folders.all)
    return {
        "name": allowed_folders.display_name(folder),
        "parent": allowed_folders.display_name(parent) if parent_allowed else None,
        "allowed_folders": [allowed_folders.display_name(allowed) for allowed in allowed_folders.all],
        "entries": entries[:MAX_ENTRIES],
        "n_omitted": max(0, len(entries) - MAX_ENTRIES),
    }


def _entry(entry: os.DirEntry[str]) -> dict[str, Any]:
    suffix = Path(entry.name).suffix.lower()
    kind = "volume" if suffix in SUFFIXES else suffix.removeprefix(".")
    try:
        return {
            "name": entry.name,
            "kind": "folder" if entry.is_dir() else kind,
            "bytes": entry.stat().st_size,
        }
    except OSError:  # a broken link
        return {"name": entry.name, "kind": kind, "bytes": 0}
