"""The list of tomograms: a STAR file of IsoNet, IsoNet2 or RELION 5, kept as it is."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.io.atomic import atomic_path
from spisonet.io.tomograms import SUFFIXES, stem_of

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    import pandas as pd

NOTHING = ("", "None", "none", "nan")
UNSAFE = ("#", "'", '"')  # begin comments and quotations
SUBTOMOGRAM = "rlnImageName"
NAMES = ("rlnTomoName", "rlnMicrographName", "rlnTomoReconstructedTomogram")
OF_SUBTOMOGRAMS = {SUBTOMOGRAM, "rlnCubeSize"}
RELION5_SERIES = "rlnTomoTiltSeriesStarFile"
INDEX, FULL_RELION5 = "rlnIndex", "rlnTomoReconstructedTomogram"
HALVES = ("rlnTomoReconstructedTomogramHalf1", "rlnTomoReconstructedTomogramHalf2")
FULL_ISONET1, FULL_ISONET2 = "rlnMicrographName", "rlnTomoName"
DECONVOLVED = "rlnDeconvTomoName"


@dataclass(frozen=True)
class TomogramRow:
    """One tomogram's row.

    Attributes
    ----------
    number : int
        Row, from 0.
    values : dict
        Text by column.
    """

    number: int
    values: Mapping[str, str]

    @property
    def index(self) -> str:
        """What ``--tomo_idx`` calls the row: its ``rlnIndex``, or its number from 1."""
        return self.text(INDEX) or self.text("rlnSubtomoIndex") or str(self.number + 1)

    @property
    def full(self) -> Path | None:
        """The tomogram of all tilts, or None."""
        if FULL_RELION5 in self.values:
            return self.path(FULL_RELION5)
        named = self.path(FULL_ISONET1) or self.path(FULL_ISONET2) or self.path(SUBTOMOGRAM)
        # RELION 5 and IsoNet2 mean different things by rlnTomoName: a name, or the file itself.
        return named if named is not None and named.suffix in SUFFIXES else None

    @property
    def halves(self) -> tuple[Path, Path] | None:
        """Tomograms of even and odd tilts or frames, or None."""
        even, odd = (self.path(column) for column in HALVES)
        return None if even is None or odd is None else (even, odd)

    @property
    def shown(self) -> str:
        """What to call the tomogram in messages."""
        named = (self.values[name] for name in (*NAMES, SUBTOMOGRAM) if self.text(name))
        return next(named, f"tomogram {self.index}")

    @property
    def voxel_size_angstrom(self) -> float | None:
        """Voxel size in Å if the table tells it."""
        if (size := self.number_of("rlnPixelSize")) is not None:
            return size
        tilt_series, binning = (
            self.number_of(column) for column in ("rlnTomoTiltSeriesPixelSize", "rlnTomoTomogramBinning")
        )
        return None if tilt_series is None or binning is None else tilt_series * binning

    def text(self, column: str) -> str | None:
        """Return a value, or None where the table has none."""
        value = self.values.get(column, "")
        return None if value in NOTHING else value

    def path(self, column: str) -> Path | None:
        """Return a file name."""
        text = self.text(column)
        return None if text is None else Path(text)

    def number_of(self, column: str) -> float | None:
        """Return a number.

        Raises
        ------
        SpisonetError
            If the value is none.
        """
        text = self.text(column)
        try:
            return None if text is None else float(text)
        except ValueError as error:
            raise SpisonetError(f"{self.shown}: {column} is {text}, which is no number.") from error


class TomogramTable:
    """A STAR file of tomograms; whatever else it holds is written back.

    Parameters
    ----------
    path : Path
        The file.
    blocks : dict
        Its blocks, with all values as text.
    singles : container of str
        Names of the blocks that are no loops.
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
        columns = {name: set(block.columns) for name, block in blocks.items()}
        found = [name for name, own in columns.items() if own & set(NAMES) or own >= OF_SUBTOMOGRAMS]
        if not found:
            raise SpisonetError(f"{path} lists no tomograms: it has none of the columns {', '.join(NAMES)}.")
        self._name = found[-1]

    @classmethod
    def read(cls, path: Path, output: Path | None = None) -> TomogramTable:
        """Read a STAR file, to be written back, or to another file if one is given.

        What that other file tells already of the same tomograms is kept.

        Raises
        ------
        SpisonetError
            If it is missing, no STAR file, or lists no tomograms.
        """
        import pandas as pd  # noqa: PLC0415 - slow to import
        import starfile  # noqa: PLC0415

        if not path.is_file():
            raise SpisonetError(f"{path} does not exist.")
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        rows = [line for line in lines if line.strip() and not line.lstrip().startswith(("#", "_", "data_"))]
        for mark in UNSAFE:
            if any(mark in row for row in rows):
                raise SpisonetError(
                    f"{path} holds {mark} in a value, which STAR files do not bear; rename it."
                )
        try:
            found = starfile.read(path, always_dict=True)
            labels = [label for block in found.values() for label in block]
            # As text, numbers come back as they were written.
            as_text = starfile.read(path, always_dict=True, parse_as_string=labels)
        except Exception as error:  # the parser lets through whatever a broken file provokes
            raise SpisonetError(f"{path} is not a readable STAR file.") from error
        blocks = {
            name: block if isinstance(block, pd.DataFrame) else pd.DataFrame([block])
            for name, block in as_text.items()
        }
        singles = {name for name, block in as_text.items() if not isinstance(block, pd.DataFrame)}
        comments = [
            line for line in itertools.takewhile(lambda line: not line.startswith("data_"), lines) if line
        ]
        as_words = {name: block.astype(str).replace("<NA>", "nan") for name, block in blocks.items()}
        table = cls(output or path, as_words, singles, comments)
        if output is not None and output != path and output.is_file():
            table._take_over(cls.read(output))
        table._is_on_disk = table.path == path
        return table

    def _take_over(self, other: TomogramTable) -> None:
        """Take the columns of another table of the same tomograms that this one lacks."""
        if [row.shown for row in self.rows] == [row.shown for row in other.rows]:
            mine, others = self._blocks[self._name], other._blocks[other._name]
            for column in others.columns.difference(mine.columns, sort=False):
                mine[column] = others[column].to_numpy()

    @classmethod
    def new(cls, path: Path, rows: list[dict[str, str]]) -> TomogramTable:
        """Begin a table."""
        import pandas as pd  # noqa: PLC0415

        return cls(path, {"": pd.DataFrame(rows).fillna("None")})

    @property
    def rows(self) -> list[TomogramRow]:
        """All tomograms."""
        records = self._blocks[self._name].to_dict("records")
        return [
            TomogramRow(number, {str(column): str(value) for column, value in record.items()})
            for number, record in enumerate(records)
        ]

    @property
    def lists_subtomograms(self) -> bool:
        """Whether it is a list of subtomograms, as ``extract`` writes it."""
        return SUBTOMOGRAM in self._blocks[self._name].columns

    @property
    def is_of_relion5(self) -> bool:
        """Whether RELION 5 wrote it."""
        return RELION5_SERIES in self._blocks[self._name].columns

    def chosen(self, tomo_idx: str | None) -> list[TomogramRow]:
        """Return the rows of a list such as ``1,3-5``; all without one.

        Raises
        ------
        SpisonetError
            If the list is none, or names a tomogram that is not in the table.
        """
        rows = self.rows
        if tomo_idx is None or str(tomo_idx).lower() in ("all", "none"):
            return rows
        wanted: list[str] = []
        for part in str(tomo_idx).replace(" ", "").split(","):
            first, _, last = part.partition("-")
            if not first.isdecimal() or (last and not last.isdecimal()):
                raise SpisonetError(f"--tomo_idx {tomo_idx} is no list such as 1,3-5.")
            wanted += [str(index) for index in range(int(first), int(last or first) + 1)]
        known = {row.index: row for row in rows}
        if len(known) < len(rows):
            raise SpisonetError(f"{self.path} gives one rlnIndex to several tomograms.")
        missing = [index for index in wanted if index not in known]
        if missing:
            raise SpisonetError(f"{self.path} has no tomogram {', '.join(missing)}.")
        return [known[index] for index in dict.fromkeys(wanted)]

    def set(self, row: TomogramRow, column: str, value: object) -> None:
        """Change a value; a new column is added at the end, with ``None`` in the other rows."""
        block = self._blocks[self._name]
        if column not in block.columns:
            block[column] = "None"
        block.loc[row.number, column] = f"{value:g}" if isinstance(value, float) else str(value)

    def remove(self, numbers: Sequence[int]) -> None:
        """Take out rows.

        Raises
        ------
        SpisonetError
            If none would be left.
        """
        kept = self._blocks[self._name].drop(index=list(numbers), errors="ignore").reset_index(drop=True)
        if kept.empty:
            raise SpisonetError(f"{self.path} would list no tomogram.")
        self._blocks[self._name] = kept

    def append(self, other: TomogramTable) -> None:
        """Add the tomograms of another table that this one does not list, with indices that go on.

        Raises
        ------
        SpisonetError
            If all are listed already.
        """
        import pandas as pd  # noqa: PLC0415

        known = {row.shown for row in self.rows}
        chosen = [row.number for row in other.rows if row.shown not in known]
        if not chosen:
            raise SpisonetError(f"{self.path} lists these tomograms already.")
        mine, new = self._blocks[self._name], other._blocks[other._name].loc[chosen].copy()
        if INDEX in mine.columns:
            last = max(int(index) for row in self.rows if (index := row.index).isdecimal())
            new[INDEX] = [str(last + number) for number in range(1, len(new) + 1)]
        self._blocks[self._name] = pd.concat([mine, new], ignore_index=True).fillna("None")

    def note(self, row: TomogramRow, values: Mapping[str, object]) -> None:
        """Enter values of a tomogram, and write the file with what others have changed in it meanwhile."""
        for column, value in values.items():
            self.set(row, column, value)
        now = TomogramTable.read(self.path) if self._is_on_disk and self.path.is_file() else self
        if now is not self:
            for same in now.rows:
                if (same.shown, same.full, same.halves) == (row.shown, row.full, row.halves):
                    for column, value in values.items():
                        now.set(same, column, value)
        now.write()
        self._is_on_disk = True

    def write(self) -> None:
        """Write the file, atomically."""
        self.write_to(self.path)

    def write_to(self, path: Path) -> None:
        """Write another file, atomically."""
        import starfile  # noqa: PLC0415

        for row in self.rows:
            for value in row.values.values():
                if any(mark in value for mark in UNSAFE) or len(value.split()) > 1:
                    raise SpisonetError(f"{value} cannot stand in a STAR file; rename it.")
        blocks = {
            name: block.iloc[0].to_dict() if name in self._singles else block
            for name, block in self._blocks.items()
        }
        with atomic_path(path) as temporary:
            starfile.write(
                blocks if list(blocks) != [""] else blocks[""], temporary, overwrite=True, na_rep="nan"
            )
            if self._comments:
                body = temporary.read_text(encoding="utf-8").partition("\ndata_")[2]
                temporary.write_text("\n".join([*self._comments, "", f"data_{body}"]), encoding="utf-8")


def require_files(rows: list[TomogramRow], files: list[Path | None]) -> list[Path]:
    """Check that every tomogram has its file, before any work is done.

    Raises
    ------
    SpisonetError
        Naming all that have none, or whose file is missing.
    """
    without = [row.shown for row, path in zip(rows, files, strict=True) if path is None]
    named = [path for path in files if path is not None]
    missing = [str(path) for path in named if not path.is_file()]
    if without:
        raise SpisonetError(f"No tomogram file is named for {', '.join(without)}.")
    if missing:
        raise SpisonetError(f"Missing: {', '.join(missing)}.")
    return named


def output_names(inputs: list[Path | None], folder: Path, ending: str, beginning: str = "") -> list[Path]:
    """Name an output for every row of a table: no two alike, and none an input.

    Tomograms of one name in several folders get their folder's name before their own, also those that are
    not among the chosen ones now. Rows without a file get a name that nobody uses.

    Raises
    ------
    SpisonetError
        If that does not tell them apart, or an output would replace an input.
    """
    files = [Path(f"row{number}") if path is None else path for number, path in enumerate(inputs)]
    stems = [stem_of(path) for path in files]
    if len(set(stems)) < len(stems):
        stems = [f"{path.resolve().parent.name}_{stem}" for path, stem in zip(files, stems, strict=True)]
    outputs = [folder / f"{beginning}{stem}{ending}" for stem in stems]
    for number, output in enumerate(outputs):
        if output in outputs[:number]:
            raise SpisonetError(f"Two tomograms would both be written as {output}; rename one.")
        if any(output.resolve() == path.resolve() for path in files):
            raise SpisonetError(f"{output} is an input: give another output folder.")
    return outputs
