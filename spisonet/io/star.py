"""STAR files of RELION, whatever its version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spisonet.errors import SpisonetError

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


class StarFile:
    """The blocks of a STAR file: loops as tables, the others as single values.

    Parameters
    ----------
    path : Path
        What to read.
    texts : tuple of str
        Columns that hold text even where it looks like numbers, such as names.

    Raises
    ------
    SpisonetError
        If the file is missing or not a STAR file.
    """

    def __init__(self, path: Path, texts: tuple[str, ...] = ()) -> None:
        import pandas as pd  # noqa: PLC0415 - slow to import
        import starfile  # noqa: PLC0415

        self.path = path
        if not path.is_file():
            raise SpisonetError(f"{path} does not exist.")
        try:
            blocks = starfile.read(path, always_dict=True, parse_as_string=list(texts))
        except Exception as error:  # the parser lets through whatever a broken file provokes
            raise SpisonetError(f"{path} is not a readable STAR file.") from error
        # A block that is not a loop, such as data_general, comes as a dictionary.
        self.tables: dict[str, pd.DataFrame] = {
            name: block for name, block in blocks.items() if isinstance(block, pd.DataFrame)
        }
        self.values: dict[str, dict[str, Any]] = {
            name: block for name, block in blocks.items() if isinstance(block, dict)
        }

    def value(self, label: str, default: Any = None) -> Any:
        """Return a single value wherever it stands; RELION moves labels between blocks."""
        for block in self.values.values():
            if label in block:
                return block[label]
        return default

    def require(self, label: str) -> Any:
        """Return a single value.

        Raises
        ------
        SpisonetError
            If the file does not hold it.
        """
        found = self.value(label)
        if found is None:
            raise SpisonetError(f"{self.path} has no {label}.")
        return found
