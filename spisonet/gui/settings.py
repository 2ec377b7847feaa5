"""What the web page remembers of a project, in ``jobs/.interface.json``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from spisonet.errors import SpisonetError
from spisonet.gui.requests import InterfaceSettings
from spisonet.io.atomic import prepare_output_folder, write_json
from spisonet.io.json_files import read_json_object
from spisonet.io.locks import lock_for_update

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.gui.allowed_folders import AllowedFolders

SETTINGS_FILE = ".interface.json"


def read_settings(folder: Path) -> dict[str, Any]:
    """Return the settings in a folder; empty ones if there are none, or they are damaged."""
    try:
        return InterfaceSettings(**read_json_object(folder / SETTINGS_FILE)).model_dump()
    except (SpisonetError, OSError, ValidationError):
        return InterfaceSettings().model_dump()


def change_settings(
    folder: Path, changes: InterfaceSettings, allowed_folders: AllowedFolders
) -> dict[str, Any]:
    """Replace the settings that are given, and return all.

    Raises
    ------
    SpisonetError
        If the folder or the file is a link out of the allowed folders.
    """
    path = folder / SETTINGS_FILE
    allowed_folders.resolve(path)
    prepare_output_folder(folder)
    with lock_for_update(path):
        settings = read_settings(folder) | changes.model_dump(exclude_unset=True)
        write_json(path, settings)
    return settings
