"""STAR files of all RELION versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spisonet.errors import SpisonetError

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


class StarFile:
    """Blocks of a STAR file: loops as tables, other blocks as single values.

    Parameters
    ----------
    path : Path
        The STAR file.
    text_columns : tuple of str
        Columns that are read as text, such as names, even if they look like numbers.

    Raises
    ------
    SpisonetError
        If the file is missing or not a STAR file.
    """

    def __init__(self, path: Path, text_columns: tuple[str, ...] = ()) -> None:
        import pandas as pd  # noqa: PLC0415 - slow to import
        import starfile  # noqa: PLC0415

        self.path = path
        if not path.is_file():
            raise SpisonetError(f"{path} does not exist.")
        try:
            blocks = starfile.read(path, always_dict=True, parse_as_string=list(text_columns))
        except Exception as error:  # a broken file can raise any exception in the parser
            raise SpisonetError(f"{path} is not a readable STAR file.") from error
        # A block without a loop, such as data_general, is a dictionary.
        self.tables: dict[str, pd.DataFrame] = {
            name: block for name, block in blocks.items() if isinstance(block, pd.DataFrame)
        }
        self.values: dict[str, dict[str, Any]] = {
            name: block for name, block in blocks.items() if isinstance(block, dict)
        }

    def value(self, label: str, default: Any = None) -> Any:
        """Return a single value from any block; RELION versions keep labels in different blocks."""
        for block in self.values.values():
            if label in block:
                return block[label]
        return default

    def require(self, label: str) -> Any:
        """Return a single value that must be present.

        Raises
        ------
        SpisonetError
            If the file does not contain it.
        """
        found = self.value(label)
        if found is None:
            raise SpisonetError(f"{self.path} has no {label}.")
        return found
