"""STAR files of all RELION versions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spisonet.errors import SpisonetError
from spisonet.io.atomic import atomic_path, prepare_output_file, write_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

# A closing quote is followed by a blank, as RELION reads it: quotes and # inside of a value are part of it.
CLOSING = {quote: re.compile(rf"{quote}(?!\S)") for quote in "'\""}
WORD = re.compile(r"\S+")
LONGEST_LINE = 2**20  # bytes
MOST_COLUMNS = 4096
ZERO = b"\0"
BLOCK_NAME = re.compile(rb"^data_(\S*)", re.MULTILINE)
QUOTED_BEGINNINGS = ("'", '"', "#", "_", "$", "[", ";", "data_", "loop_")


@dataclass(frozen=True)
class StarBlock:
    """A block of a STAR file, with all values as text.

    Attributes
    ----------
    labels : list of str
        Names of the columns or of the single values, without the underscore.
    rows : list of list of str
        Values of each row; one row in a block of single values.
    is_loop : bool
        Whether the block is a table.
    """

    labels: list[str]
    rows: list[list[str]]
    is_loop: bool


def require_text(path: Path) -> None:
    """Check that a file is text whose lines and blocks are not too long to be read.

    Raises
    ------
    SpisonetError
        If the file is missing, a line is not text or longer than `LONGEST_LINE`, or a block has more than
        `MOST_COLUMNS` columns.
    """
    if not path.is_file():
        raise SpisonetError(f"{path} does not exist.", code="file_not_found")
    with path.open("rb") as file:
        number = n_columns = 0
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            n_columns = n_columns + 1 if line.startswith(b"_") else 0
            if len(line) > LONGEST_LINE or ZERO in line:
                reason = "is not text" if ZERO in line else f"is longer than {LONGEST_LINE // 2**20} MiB"
                raise SpisonetError(f"{path} is not a readable STAR file: line {number} {reason}.")
            if n_columns > MOST_COLUMNS:
                raise SpisonetError(
                    f"{path} is not a readable STAR file: line {number} is column {n_columns}; "
                    f"at most {MOST_COLUMNS} are read."
                )


def split_values(line: str) -> list[str]:
    """Return the values in a line of a STAR file, with their quotes."""
    return [line[start:stop] for start, stop in places_of_values(line)]


def places_of_values(line: str) -> Iterator[tuple[int, int]]:
    """Yield where each value in a line of a STAR file starts and ends.

    A quote that is not closed begins a value without blanks. The time is proportional to the length of the
    line, whatever it contains.
    """
    unclosed: set[str] = set()
    position = 0
    while (word := WORD.search(line, position)) is not None:
        quote = word[0][0]
        closing = None
        if quote in CLOSING and quote not in unclosed:
            closing = CLOSING[quote].search(line, word.start() + 1)
            if closing is None:
                unclosed.add(quote)
        position = word.end() if closing is None else closing.end()
        yield word.start(), position


def read_blocks(path: Path) -> dict[str, StarBlock]:
    """Read all blocks of a STAR file, with every value as the text between its quotes.

    It is meant for tables that are written back; `StarFile` is faster for those of particles.

    Raises
    ------
    SpisonetError
        If the file is missing or not a STAR file, or a line is faulty, which is named.
    """
    require_text(path)
    content = path.read_bytes().decode("utf-8-sig", errors="surrogateescape")
    blocks: dict[str, StarBlock] = {}
    block: StarBlock | None = None
    name = ""
    for number, line in enumerate(content.splitlines(), start=1):
        words = line.split(None, 1)
        first = words[0] if words else ""
        if not first or first.startswith("#"):
            continue
        if first.startswith("data_"):
            name, block = first.removeprefix("data_"), None
            if name in blocks:
                raise SpisonetError(f"{path} has two blocks data_{name} (line {number}); rename one of them.")
        elif first == "loop_":
            if name in blocks:
                raise SpisonetError(
                    f"{path} has a table below other values of data_{name} (line {number}); put a data_ line "
                    "of its own before it."
                )
            block = blocks[name] = StarBlock([], [], True)
        elif first.startswith("_"):
            if block is None:
                block = blocks[name] = StarBlock([], [[]], False)
            _add_label(path, number, block, line)
        elif block is None or not block.is_loop or not block.labels:
            raise SpisonetError(f"{path} is not a readable STAR file: line {number} is in no table.")
        else:
            block.rows.append(_values_of_row(path, number, block, line))
    if not blocks:
        raise SpisonetError(f"{path} is not a readable STAR file: it has no blocks.")
    return blocks


def write_blocks(path: Path, blocks: Mapping[str, StarBlock], comments: Sequence[str] = ()) -> None:
    """Write a STAR file atomically; values with blanks, and empty ones, are quoted as by RELION.

    Raises
    ------
    SpisonetError
        If a value cannot be quoted, or the file cannot be written.
    """
    lines = [*comments, ""]
    for name, block in blocks.items():
        lines += [f"data_{name}", ""]
        if block.is_loop:
            lines += ["loop_", *(f"_{label} #{number}" for number, label in enumerate(block.labels, start=1))]
            lines += ["\t".join(map(_quoted, row)) for row in block.rows]
        else:
            lines += [
                f"_{label}\t{_quoted(value)}"
                for label, value in zip(block.labels, block.rows[0], strict=True)
            ]
        lines += ["", ""]
    write_text(path, "\n".join(lines))


def _add_label(path: Path, number: int, block: StarBlock, line: str) -> None:
    words = split_values(line.partition(" #")[0] if block.is_loop else line)
    label = words[0].removeprefix("_")
    if not label.isascii() or not label.isprintable():
        raise SpisonetError(f"{path} has a column whose name is not ASCII text (line {number}).")
    if label in block.labels:
        raise SpisonetError(f"{path} has two columns _{label} (line {number}); remove one of them.")
    if block.is_loop and block.rows:
        raise SpisonetError(f"{path} has the column _{label} below the rows of its table (line {number}).")
    if not block.is_loop:
        if len(words) < 2:
            raise SpisonetError(
                f'{path} gives no value to _{label} (line {number}); write "" for an empty one.'
            )
        block.rows[0].append(_unquoted(words[1]))
    block.labels.append(label)


def _values_of_row(path: Path, number: int, block: StarBlock, line: str) -> list[str]:
    words = split_values(line)
    comment = next((i for i, word in enumerate(words) if word.startswith("#")), len(words))
    values = [_unquoted(word) for word in words[:comment]]
    if len(values) != len(block.labels):
        raise SpisonetError(
            f"{path} has {len(values)} values for {len(block.labels)} columns in line {number}; quote values "
            'that are empty ("") or contain blanks ("two words").'
        )
    return values


def _unquoted(word: str) -> str:
    return word[1:-1] if len(word) > 1 and word[0] == word[-1] and word[0] in "'\"" else word


def _quoted(value: str) -> str:
    """Quote a value where RELION requires it."""
    if (
        value
        and not value.startswith(QUOTED_BEGINNINGS)
        and len(value.split()) == 1
        and value == value.strip()
    ):
        return value
    quote = next(
        (quote for quote in "\"'" if split_values(f"{quote}{value}{quote}") == [f"{quote}{value}{quote}"]),
        None,
    )
    if quote is None or "\n" in value or "\r" in value:
        raise SpisonetError(f"{value} contains a line break or both kinds of quotes; rename the file.")
    return f"{quote}{value}{quote}"


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
        require_text(path)
        try:
            blocks = starfile.read(path, always_dict=True, parse_as_string=list(text_columns))
        except UnicodeDecodeError:  # names of files may be any bytes
            blocks = _blocks_as_tables(path)
        except Exception as error:  # a broken file can raise any exception in the parser
            read_blocks(path)  # names the line at fault
            raise SpisonetError(f"{path} is not a readable STAR file.") from error
        names = BLOCK_NAME.findall(path.read_bytes())
        if len(set(names)) < len(names):
            read_blocks(path)  # refuses two blocks of one name, of which the parser keeps the last
        # A block without a loop, such as data_general, is a dictionary.
        self.tables: dict[str, pd.DataFrame] = {
            name: block for name, block in blocks.items() if isinstance(block, pd.DataFrame)
        }
        if any(len(table) and table.iloc[:, -1].isna().any() for table in self.tables.values()):
            read_blocks(path)  # refuses a row with too few values
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


def _blocks_as_tables(path: Path) -> dict[str, Any]:
    """Return tables and single values as ``starfile`` does, with numbers where all values are numbers."""
    import pandas as pd  # noqa: PLC0415

    def converted(values: list[str]) -> Any:
        try:
            return pd.to_numeric(pd.Series(values, dtype=object))
        except (ValueError, TypeError):
            return pd.Series(values, dtype=object)

    found: dict[str, Any] = {}
    for name, block in read_blocks(path).items():
        columns = [converted([row[i] for row in block.rows]) for i in range(len(block.labels))]
        if block.is_loop:
            found[name] = pd.DataFrame(dict(zip(block.labels, columns, strict=True)))
        else:
            found[name] = {label: column[0] for label, column in zip(block.labels, columns, strict=True)}
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
            source.open(encoding="utf-8", errors="surrogateescape", newline="") as lines,
            atomic_path(target) as temporary,
            temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as written,
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
    places = list(places_of_values(line))
    if len(places) != n_columns:
        raise SpisonetError(f"{source} has a row of {len(places)} values for {n_columns} columns.")
    parts: list[str] = []
    last = 0
    for number, (start, stop) in enumerate(places):
        gap, old = line[last:start], line[start:stop]
        new = values.get(number, old)
        if len(gap) > 1:
            gap = gap[: max(len(gap) - max(len(new) - len(old), 0), 1)]
        parts.append(f"{gap}{' ' * (len(old) - len(new))}{new}")
        last = stop
    return "".join(parts) + line[last:]
