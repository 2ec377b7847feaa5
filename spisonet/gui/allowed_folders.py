"""Folders that the interface may read from and write to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.gui.file_names import restore_bytes
from spisonet.io.paths import real_path

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class AllowedFolders:
    """The project folder and the additional folders given on the command line.

    Attributes
    ----------
    project : Path
        Absolute path without links; relative names start here.
    additional : list of Path
        Absolute paths without links.
    """

    project: Path
    additional: list[Path]

    @property
    def all(self) -> list[Path]:
        """The project folder, then the additional folders."""
        return [self.project, *self.additional]

    def resolve(self, name: str | Path) -> Path:
        """Return the absolute path of a file or folder, with all links followed.

        Raises
        ------
        SpisonetError
            If the path is outside the allowed folders.
        """
        try:
            path = real_path(restore_bytes(name, self.project))
        except (OSError, ValueError) as error:  # a loop of links, or a zero byte
            raise SpisonetError(f"{name!r} is not a valid file name.") from error
        if not any(path.is_relative_to(folder) for folder in self.all):
            raise SpisonetError(
                f"{name} is outside the allowed folders; restart the interface with --allowed_folders "
                f"{path if path.is_dir() else path.parent} to use it."
            )
        return path

    def resolve_file(self, name: str | Path) -> Path:
        """Return the absolute path of an existing file, with all links followed.

        Raises
        ------
        SpisonetError
            If the path is outside the allowed folders, does not exist or is not a file.
        """
        path = self.resolve(name)
        if not path.exists():
            raise SpisonetError(f"{name} does not exist.", code="file_not_found")
        if not path.is_file():
            raise SpisonetError(f"{name} is not a file.")
        return path

    def display_name(self, path: Path) -> str:
        """Return a path as shown to the user: relative to the project folder if inside it."""
        return str(path.relative_to(self.project)) if path.is_relative_to(self.project) else str(path)
