"""The folders that the interface may read from and write to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class AllowedFolders:
    """The project, and the further folders that were chosen on the command line.

    Attributes
    ----------
    project : Path
        Resolved; names are relative to it.
    further : list of Path
        Resolved.
    """

    project: Path
    further: list[Path]

    @property
    def all(self) -> list[Path]:
        """Every folder."""
        return [self.project, *self.further]

    def inside(self, name: str | Path) -> Path:
        """Return where a name leads, after all links.

        Raises
        ------
        SpisonetError
            If that is outside of all folders.
        """
        try:
            path = (self.project / name).resolve()
        except (OSError, ValueError, RuntimeError) as error:  # a loop of links, or a zero byte
            raise SpisonetError(f"{name!r} is no file name.") from error
        if not any(path.is_relative_to(root) for root in self.all):
            raise SpisonetError(
                f"{name} is outside the allowed folders; restart the interface with --allowed_folders "
                f"{path if path.is_dir() else path.parent} to use it."
            )
        return path

    def existing(self, name: str | Path) -> Path:
        """Return where the name of a file leads.

        Raises
        ------
        SpisonetError
            If that is outside of all folders, or no file.
        """
        path = self.inside(name)
        if not path.is_file():
            raise SpisonetError(f"{name} is not a file." if path.exists() else f"{name} does not exist.")
        return path

    def shown(self, path: Path) -> str:
        """Return the name to show: relative to the project if it is in there."""
        return str(path.relative_to(self.project)) if path.is_relative_to(self.project) else str(path)
