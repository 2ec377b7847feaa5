"""Trash of a project: what the interface removes can be restored until the trash is emptied."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from spisonet.errors import SpisonetError
from spisonet.io.atomic import prepare_output_folder, write_json
from spisonet.io.json_files import read_json_object
from spisonet.io.paths import real_path

if TYPE_CHECKING:
    from pathlib import Path

TRASH_FOLDER, ENTRY_FILE = ".trash", "entry.json"


class Trash:
    """Files and folders that were removed from a project, each in a folder of its own.

    Parameters
    ----------
    project : Path
        The project folder.
    folder : Path
        Folder of the trash.
    """

    def __init__(self, project: Path, folder: Path) -> None:
        self._project, self._folder = project, folder

    def put(self, path: Path) -> str:
        """Move a file or folder of the project into the trash; return the name of its entry.

        Raises
        ------
        SpisonetError
            If it cannot be moved.
        """
        prepare_output_folder(self._folder)
        name = f"{time.time_ns()}"
        entry = self._folder / name
        entry.mkdir()
        original = str(path.relative_to(self._project))
        write_json(entry / ENTRY_FILE, {"path": original, "time": time.time()})
        try:
            path.rename(entry / path.name)
        except OSError as error:
            shutil.rmtree(entry, ignore_errors=True)
            raise SpisonetError(f"{original} cannot be moved into the trash: {error}.") from error
        return name

    def entries(self) -> list[dict[str, Any]]:
        """Return ``name``, original ``path`` and ``time`` of all entries, newest first.

        Of an entry whose record is missing or damaged, ``path`` is None and ``content`` lists its files: it
        can be deleted, but not restored.
        """
        found = [_read_entry(folder) for folder in self._folder.glob("[!.]*")]
        return sorted(found, key=lambda entry: str(entry["name"]), reverse=True)

    def restore(self, name: str) -> str:
        """Move an entry back to where it was; return its path.

        Raises
        ------
        SpisonetError
            If there is no such entry, or another file has its name now.
        """
        entry = next((entry for entry in self.entries() if entry["name"] == name), None)
        if entry is None:
            raise SpisonetError(f"The trash does not contain {name}.")
        if entry["path"] is None:
            raise SpisonetError(
                f"The record of {name} in the trash is missing; move its files back yourself."
            )
        target = self._project / entry["path"]
        if not real_path(target.parent).is_relative_to(self._project) or target.is_symlink():
            raise SpisonetError(f"{entry['path']} is outside the project.")
        if target.exists():
            raise SpisonetError(f"{entry['path']} exists again; rename it to restore the one in the trash.")
        target.parent.mkdir(parents=True, exist_ok=True)
        (self._folder / name / target.name).rename(target)
        shutil.rmtree(self._folder / name, ignore_errors=True)
        return str(entry["path"])

    def empty(self) -> None:
        """Delete all entries permanently.

        Raises
        ------
        SpisonetError
            If one cannot be deleted.
        """
        for entry in self.entries():
            try:
                _delete(self._folder / entry["name"])
            except OSError as error:
                shown = entry["path"] or f"{entry['name']} in the trash"
                raise SpisonetError(f"{shown} cannot be deleted: {error}.") from error


def _read_entry(folder: Path) -> dict[str, Any]:
    with suppress(SpisonetError, OSError, KeyError, TypeError, ValueError):
        record = read_json_object(folder / ENTRY_FILE)
        return {"name": folder.name, "path": str(record["path"]), "time": float(record["time"])}
    content: list[str] = []
    written = None
    with suppress(OSError):
        written = folder.lstat().st_mtime
        content = sorted(path.name for path in folder.iterdir() if path.name != ENTRY_FILE)
    return {"name": folder.name, "path": None, "time": written, "content": content}


def _delete(entry: Path) -> None:
    if entry.is_symlink() or not entry.is_dir():
        entry.unlink()
    else:
        shutil.rmtree(entry)
