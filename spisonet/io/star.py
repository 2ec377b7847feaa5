"""STAR files of all RELION versions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from spisonet.errors import SpisonetError
from spisonet.io.atomic import atomic_path, prepare_output_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

VALUE = re.compile(r"""'[^']*'(?!\S)|"[^"]*"(?!\S)|\S+""")


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


def write_with_columns(source: Path, target: Path, columns: Mapping[str, Sequence[str]]) -> None:
    """Copy a STAR file with other values in some columns of a loop; everything else is kept as it is.

    Parameters
    ----------
    source, target : Path
        The file to read, and the file to write.
    columns : mapping
        New values by column, without blanks; a value for each row of the loop that has the columns.

    Raises
    ------
    SpisonetError
        If no loop has all columns, its number of rows differs, `target` is `source`, or a file cannot be read
        or written.
    """
    prepare_output_file(target, source)
    try:
        with (
            source.open(encoding="utf-8", newline="") as lines,
            atomic_path(target) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as written,
        ):
            written.writelines(_with_columns(source, lines, columns))
    except UnicodeDecodeError as error:
        raise SpisonetError(f"{source} is not a readable STAR file.") from error


def _with_columns(source: Path, lines: Iterator[str], columns: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a file with the values replaced in the first loop that has the columns."""
    n_rows = len(next(iter(columns.values())))
    labels: list[str] = []
    is_loop, row, found = False, 0, False
    for line in lines:
        words = line.split(None, 1)
        first = words[0] if words else ""
        if first.startswith("data_") or first == "loop_":
            is_loop, labels, found = first == "loop_", [], found or row > 0
        elif is_loop and first.startswith("_") and not row:
            labels.append(first.removeprefix("_"))
        elif is_loop and first and not first.startswith("#") and not found and columns.keys() <= set(labels):
            values = {labels.index(name): new[row] for name, new in columns.items()} if row < n_rows else {}
            yield _with_values(source, line, len(labels), values)
            row += 1
            continue
        yield line
    if row != n_rows:
        raise SpisonetError(
            f"{source} has {row} rows with the columns {', '.join(columns)}; {n_rows} were expected."
        )


def _with_values(source: Path, line: str, n_columns: int, values: Mapping[int, str]) -> str:
    """Replace values of a row by column number; they end where the old ones ended, if there is room."""
    matches = list(VALUE.finditer(line))
    if len(matches) != n_columns:
        raise SpisonetError(f"{source} has a row of {len(matches)} values for {n_columns} columns.")
    parts: list[str] = []
    last = 0
    for number, match in enumerate(matches):
        gap, old = line[last : match.start()], match[0]
        new = values.get(number, old)
        if len(gap) > 1:
            gap = gap[: max(len(gap) - max(len(new) - len(old), 0), 1)]
        parts.append(f"{gap}{' ' * (len(old) - len(new))}{new}")
        last = match.end()
    return "".join(parts) + line[last:]
