"""Tables of tomograms: STAR files of IsoNet, IsoNet2 and RELION 5, whose other content is kept."""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.io.locks import lock_for_update
from spisonet.io.numbers import RANGES, parse_number
from spisonet.io.paths import real_path
from spisonet.io.star import StarBlock, read_blocks, write_blocks
from spisonet.io.tilt_series import require_unique_series
from spisonet.io.tomograms import SUFFIXES, stem_of

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    import pandas as pd

log = logging.getLogger("spisonet")

LONGEST_INDEX = 9  # digits
MOST_BLOCKS = 1000  # of a table of tomograms, which has one or a few
AUTOMATIC = "auto"
EMPTY_NUMBERS = ("", "None", "none", "<NA>")
EMPTY_VALUES = (*EMPTY_NUMBERS, "nan")  # of texts and files
SUBTOMOGRAM = "rlnImageName"
NAMES = ("rlnTomoName", "rlnMicrographName", "rlnTomoReconstructedTomogram")
SUBTOMOGRAM_COLUMNS = {SUBTOMOGRAM, "rlnCubeSize"}
RELION5_SERIES = "rlnTomoTiltSeriesStarFile"
INDEX, FULL_RELION5 = "rlnIndex", "rlnTomoReconstructedTomogram"
MEASURED = "rlnTomoMeasuredTomogram"  # where FULL_RELION5 lists a corrected tomogram
DENOISED_RELION5 = "rlnTomoReconstructedTomogramDenoised"
RELION_FORM = "job.star"  # in the folder of every job of RELION
HALVES = ("rlnTomoReconstructedTomogramHalf1", "rlnTomoReconstructedTomogramHalf2")
FULL_ISONET1, FULL_ISONET2 = "rlnMicrographName", "rlnTomoName"
DECONVOLVED = "rlnDeconvTomoName"


@dataclass(frozen=True)
class TomogramRow:
    """The row of one tomogram.

    Attributes
    ----------
    number : int
        Number of the row, counted from 0.
    values : dict
        Text by column.
    """

    number: int
    values: Mapping[str, str]

    @property
    def index(self) -> str:
        """Index for ``--tomo_idx``: ``rlnIndex``, or the number of the row counted from 1."""
        return self.text(INDEX) or self.text("rlnSubtomoIndex") or str(self.number + 1)

    @property
    def full(self) -> Path | None:
        """The measured tomogram from all tilts, or None."""
        if MEASURED in self.values:
            return self.path(MEASURED)
        if FULL_RELION5 in self.values:
            return self.path(FULL_RELION5)
        path = self.path(FULL_ISONET1) or self.path(FULL_ISONET2) or self.path(SUBTOMOGRAM)
        # rlnTomoName is a name in RELION 5, and a file in IsoNet2.
        return path if path is not None and path.suffix.lower() in SUFFIXES else None

    @property
    def halves(self) -> tuple[Path, Path] | None:
        """Tomograms from even and odd tilts or frames, or None."""
        even, odd = (self.path(column) for column in HALVES)
        return None if even is None or odd is None else (even, odd)

    @property
    def shown(self) -> str:
        """Name of the tomogram in messages."""
        names = (self.values[name] for name in (*NAMES, SUBTOMOGRAM) if self.text(name))
        return next(names, f"tomogram {self.index}")

    @property
    def files(self) -> list[Path]:
        """Absolute paths of the full, even and odd tomograms that are listed."""
        listed = (self.full, *(self.path(column) for column in HALVES))
        return [real_path(path) for path in listed if path is not None]

    @property
    def voxel_size_angstrom(self) -> float | None:
        """Voxel size in Å, or None if the table does not contain it."""
        if (size := self.number_of("rlnPixelSize")) is not None:
            return size
        tilt_series, binning = (
            self.number_of(column) for column in ("rlnTomoTiltSeriesPixelSize", "rlnTomoTomogramBinning")
        )
        return None if tilt_series is None or binning is None else tilt_series * binning

    def text(self, column: str) -> str | None:
        """Return a value, or None if it is empty."""
        value = self.values.get(column, "")
        return None if value in EMPTY_VALUES else value

    def path(self, column: str) -> Path | None:
        """Return a file name, or None if it is empty."""
        text = self.text(column)
        return None if text is None else Path(text)

    def number_of(self, column: str) -> float | None:
        """Return a number, or None if it is empty; ``nan`` is not empty, but invalid.

        Raises
        ------
        SpisonetError
            If the value is not a finite number in the range of the column.
        """
        if self.is_empty(column):
            return None
        return parse_number(self.values[column], column, f"Row {self.number + 1} ({self.shown})")

    def is_empty(self, column: str) -> bool:
        """Return whether a column of numbers is missing, or empty in this row."""
        return self.values.get(column, "") in EMPTY_NUMBERS

    def check_number(self, column: str) -> None:
        """Check a value; ``auto`` stands for the default.

        Raises
        ------
        SpisonetError
            If it is not a number in the range of its column.
        """
        if self.text(column) != AUTOMATIC:
            self.number_of(column)

    def check_numbers(self) -> None:
        """Check all values of columns whose range is known; see `check_number`.

        Raises
        ------
        SpisonetError
            If one is not a number in the range of its column.
        """
        for column in RANGES.keys() & self.values.keys():
            self.check_number(column)


class TomogramTable:
    """A STAR file of tomograms; its other blocks, columns and comments are written back unchanged.

    Parameters
    ----------
    path : Path
        The file.
    blocks : dict
        Its blocks, with all values as text.
    singles : container of str
        Names of the blocks that are not loops.
    comments : sequence of str
        Lines before the first block.
    """

    def __init__(
        self,
        path: Path,
        blocks: dict[str, pd.DataFrame],
        singles: Container[str] = (),
        comments: Sequence[str] = (),
    ) -> None:
        self.path = path
        self._blocks, self._singles, self._comments = blocks, singles, comments
        self._is_on_disk = False
        self._pending: list[tuple[TomogramRow, Mapping[str, object]]] = []
        columns = {name: set(block.columns) for name, block in blocks.items()}
        found = [name for name, own in columns.items() if own & set(NAMES) or own >= SUBTOMOGRAM_COLUMNS]
        if not found:
            raise SpisonetError(f"{path} lists no tomograms: it has none of the columns {', '.join(NAMES)}.")
        if len(found) > 1:
            names = ", ".join(f"data_{name}" for name in found)
            raise SpisonetError(
                f"{path} has {len(found)} tables of tomograms ({names}); give each in a file of its own."
            )
        (self._name,) = found
        if self.is_of_relion5:
            require_unique_series(path, [*blocks[self._name].get(FULL_ISONET2, [])])

    @classmethod
    def read(cls, path: Path, output: Path | None = None) -> TomogramTable:
        """Read a STAR file, to be changed in place or written to another file.

        Parameters
        ----------
        path : Path
            STAR file.
        output : Path, optional
            File to write. If it exists and lists the same tomograms, its additional columns are kept.

        Raises
        ------
        SpisonetError
            If the file is missing, is not a STAR file, or lists no tomograms.
        """
        import pandas as pd  # noqa: PLC0415 - slow to import

        found = read_blocks(path)
        if len(found) > MOST_BLOCKS:
            raise SpisonetError(f"{path} lists no tomograms: it has {len(found)} blocks.")
        blocks = {
            name: pd.DataFrame(block.rows, columns=block.labels, dtype=object)
            for name, block in found.items()
        }
        singles = {name for name, block in found.items() if not block.is_loop}
        lines = path.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()
        comments = [
            line for line in itertools.takewhile(lambda line: not line.startswith("data_"), lines) if line
        ]
        table = cls(output or path, blocks, singles, comments)
        if output is not None and output != path and output.is_file():
            table._add_columns(cls.read(output))
        table._is_on_disk = table.path == path
        return table

    def _add_columns(self, other: TomogramTable) -> None:
        """Add the columns of another table of the same tomograms that this one lacks."""
        if [row.shown for row in self.rows] == [row.shown for row in other.rows]:
            mine, others = self._blocks[self._name], other._blocks[other._name]
            for column in others.columns.difference(mine.columns, sort=False):
                mine[column] = others[column].to_numpy()

    @classmethod
    def new(cls, path: Path, rows: list[dict[str, str]]) -> TomogramTable:
        """Return a new table with rows of text by column."""
        import pandas as pd  # noqa: PLC0415

        return cls(path, {"": pd.DataFrame(rows, dtype=object).fillna("None")})

    @property
    def rows(self) -> list[TomogramRow]:
        """The rows of all tomograms."""
        records = self._blocks[self._name].to_dict("records")
        return [
            TomogramRow(number, {str(column): str(value) for column, value in record.items()})
            for number, record in enumerate(records)
        ]

    @property
    def lists_subtomograms(self) -> bool:
        """Whether the table lists subtomograms, such as those of ``extract``."""
        return SUBTOMOGRAM in self._blocks[self._name].columns

    @property
    def is_of_relion5(self) -> bool:
        """Whether the table was written by RELION 5."""
        return RELION5_SERIES in self._blocks[self._name].columns

    def chosen(self, tomo_idx: str | None) -> list[TomogramRow]:
        """Return the rows with the indices of a list such as ``1,3-5``; all rows if it is None.

        Raises
        ------
        SpisonetError
            If the list is invalid, an index is not in the table, or a number of a row is invalid.
        """
        rows = self.rows
        for row in rows:
            row.check_numbers()
        if tomo_idx is None or str(tomo_idx).lower() in ("all", "none"):
            return rows
        wanted: list[str] = []
        for part in str(tomo_idx).replace(" ", "").split(","):
            first, _, last = part.partition("-")
            if not first.isdecimal() or (last and not last.isdecimal()):
                raise SpisonetError(f"--tomo_idx {tomo_idx} is not a list such as 1,3-5.", field="tomo_idx")
            if max(len(first), len(last)) > LONGEST_INDEX or int(last or first) - int(first) > len(rows):
                raise SpisonetError(
                    f"--tomo_idx {tomo_idx} names more tomograms than {self.path} lists.", field="tomo_idx"
                )
            wanted += [str(index) for index in range(int(first), int(last or first) + 1)]
        known = {row.index: row for row in rows}
        if len(known) < len(rows):
            raise SpisonetError(f"{self.path} lists several tomograms with the same rlnIndex.")
        missing = [index for index in wanted if index not in known]
        if missing:
            raise SpisonetError(f"{self.path} has no tomogram {', '.join(missing)}.", field="tomo_idx")
        return [known[index] for index in dict.fromkeys(wanted)]

    def set(self, row: TomogramRow, column: str, value: object) -> None:
        """Set a value; a new column is added at the end, with ``None`` in the other rows.

        RELION 5 picks particles in the denoised tomograms of a table that has this column, and opens ``None``
        as a file; in that column other rows get the tomogram that RELION would pick in without it.
        """
        block = self._blocks[self._name]
        if column not in block.columns:
            # Of any objects: the strings of pandas hold no names that are not UTF-8.
            block[column] = np.full(len(block), "None", dtype=object)
        if column == DENOISED_RELION5:
            for other in self.rows:
                if other.text(column) is None and (
                    unfilled := other.text(FULL_RELION5) or other.text(HALVES[0])
                ):
                    block.loc[other.number, column] = unfilled
        block.loc[row.number, column] = f"{value:g}" if isinstance(value, float) else str(value)

    def remove(self, numbers: Sequence[int]) -> None:
        """Remove rows by their numbers.

        Raises
        ------
        SpisonetError
            If no row would be left.
        """
        kept = self._blocks[self._name].drop(index=list(numbers), errors="ignore").reset_index(drop=True)
        if kept.empty:
            raise SpisonetError(f"{self.path} would list no tomogram.")
        self._blocks[self._name] = kept

    def with_full_tomograms(self, files: Mapping[int, Path], comment: str) -> TomogramTable:
        """Return a table of some tomograms with other files as RELION's reconstructed tomograms.

        Parameters
        ----------
        files : mapping
            Files by the numbers of the rows to keep.
        comment : str
            First line of the table.
        """
        rows = self.rows
        blocks = {name: block.copy() for name, block in self._blocks.items()}
        block = blocks[self._name]
        block[MEASURED] = [str(row.full) for row in rows]
        block[FULL_RELION5] = [str(files.get(row.number)) for row in rows]
        blocks[self._name] = block.loc[sorted(files)].reset_index(drop=True)
        return TomogramTable(self.path, blocks, self._singles, [comment, *self._comments])

    def append(self, other: TomogramTable) -> None:
        """Add the tomograms of another table that this one does not list, with consecutive indices.

        Raises
        ------
        SpisonetError
            If all are already listed.
        """
        import pandas as pd  # noqa: PLC0415

        known = {name for row in self.rows for name in (row.shown, *row.files)}
        chosen = [row.number for row in other.rows if not known & {row.shown, *row.files}]
        if not chosen:
            raise SpisonetError(f"{self.path} already lists these tomograms.")
        mine, new = self._blocks[self._name], other._blocks[other._name].loc[chosen].copy()
        if INDEX in mine.columns:
            last = max(int(index) for row in self.rows if (index := row.index).isdecimal())
            new[INDEX] = [str(last + number) for number in range(1, len(new) + 1)]
        self._blocks[self._name] = pd.concat([mine, new], ignore_index=True).fillna("None")

    def note(self, row: TomogramRow, values: Mapping[str, object]) -> None:
        """Set values of a tomogram and write the file; edits of the file in the meantime are kept.

        If the file cannot be read at this moment, because of an edit, the next call or `flush` enters them.
        """
        for column, value in values.items():
            self.set(row, column, value)
        self._pending.append((row, values))
        try:
            self.flush()
        except SpisonetError as error:
            log.warning("The results of %s are not entered yet: %s", row.shown, error)

    def flush(self) -> None:
        """Enter the values of earlier calls of `note` that could not be entered.

        Raises
        ------
        SpisonetError
            If the file still cannot be read.
        """
        if not self._pending:
            return
        with lock_for_update(self.path):
            self._enter_pending()

    def _enter_pending(self) -> None:
        current = self
        if self._is_on_disk and self.path.is_file():
            current = TomogramTable.read(self.path)
        for noted, own in self._pending if current is not self else ():
            same = self._same_row(noted, current.rows)
            if same is None:
                log.warning("%s no longer lists %s, whose results are not entered.", self.path, noted.shown)
                continue
            for column, value in own.items():
                current.set(same, column, value)
        self._pending.clear()
        current.write()
        self._is_on_disk = True

    def _same_row(self, row: TomogramRow, others: list[TomogramRow]) -> TomogramRow | None:
        """Find the row of a tomogram in a table that may have been edited, also if its files were moved."""

        def files(row: TomogramRow) -> tuple[object, ...]:
            return row.shown, row.full, row.halves

        same_files = [other for other in others if files(other) == files(row)]
        # A row with the files of another tomogram may have been renumbered or moved to this place.
        of_others = {files(other) for other in self.rows if other.number != row.number}
        moved = [other for other in others if files(other) not in of_others]
        same_index = [other for other in moved if row.text(INDEX) and other.text(INDEX) == row.text(INDEX)]
        same_place = [
            other for other in moved if other.number == row.number and len(others) == len(self.rows)
        ]
        return next(iter(same_files or same_index or same_place), None)

    def write(self) -> None:
        """Write the file, atomically."""
        self.write_to(self.path)

    def write_to(self, path: Path) -> None:
        """Write another file, atomically."""
        blocks = {
            name: StarBlock(
                [str(label) for label in block.columns],
                [[str(value) for value in row] for row in block.to_numpy()],
                is_loop=name not in self._singles,
            )
            for name, block in self._blocks.items()
        }
        write_blocks(path, blocks, self._comments)


def results_table(star_file: Path, output_star: Path | None, folder: Path) -> Path | None:
    """Return the STAR file for the results of a command; None for the table that it reads.

    A table in the folder of a RELION job is not changed, because RELION relies on its jobs' files.

    Parameters
    ----------
    star_file : Path
        Table that the command reads.
    output_star : Path or None
        Table that the user has chosen for the results.
    folder : Path
        Folder of the tomograms that the command writes.
    """
    if output_star is not None or not (star_file.parent / RELION_FORM).is_file():
        return output_star
    results = folder / star_file.name
    log.info(
        "%s belongs to a job of RELION and is not changed: the results are listed in %s.", star_file, results
    )
    return results


def require_files(rows: list[TomogramRow], files: list[Path | None]) -> list[Path]:
    """Check that the input file of every row is listed and exists, and return the files.

    Parameters
    ----------
    rows : list of TomogramRow
        Rows of the table.
    files : list of (Path or None)
        Their input files.

    Raises
    ------
    SpisonetError
        Naming all rows without a file, or all missing files.
    """
    without = [row.shown for row, path in zip(rows, files, strict=True) if path is None]
    listed = [path for path in files if path is not None]
    missing = [str(path) for path in listed if not path.is_file()]
    if without:
        raise SpisonetError(f"The table lists no tomogram file for {', '.join(without)}.")
    if missing:
        raise SpisonetError(f"Missing files: {', '.join(missing)}.")
    return listed


def output_names(inputs: list[Path | None], folder: Path, ending: str, beginning: str = "") -> list[Path]:
    """Return a unique output file for every row of a table.

    If files in different folders have the same name, outputs are prefixed with the name of the folder. Names
    do not depend on which rows are processed.

    Parameters
    ----------
    inputs : list of (Path or None)
        Input files of all rows.
    folder : Path
        Output folder.
    ending, beginning : str
        Added to the names of the inputs.

    Raises
    ------
    SpisonetError
        If two outputs would still have the same name, or an output would replace an input.
    """
    files = [Path(f"row{number}") if path is None else path for number, path in enumerate(inputs)]
    stems = [stem_of(path) for path in files]
    if len(set(stems)) < len(stems):
        stems = [f"{real_path(path).parent.name}_{stem}" for path, stem in zip(files, stems, strict=True)]
    outputs = [folder / f"{beginning}{stem}{ending}" for stem in stems]
    for number, output in enumerate(outputs):
        if output in outputs[:number]:
            raise SpisonetError(f"Two tomograms would both be written to {output}; rename one of them.")
        if any(real_path(output) == real_path(path) for path in files):
            raise SpisonetError(f"{output} is an input: give another output folder.")
    return outputs
