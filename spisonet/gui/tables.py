"""The table of tomograms as a page shows and edits it."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from spisonet.errors import SpisonetError
from spisonet.gui.forms import command_line, read_form
from spisonet.gui.installation import find_executable
from spisonet.io.imod import is_own_model, read_contours, write_contours
from spisonet.io.slices import open_planes
from spisonet.io.tomogram_table import HALVES, TomogramTable
from spisonet.io.tomograms import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spisonet.gui.allowed_folders import AllowedFolders
    from spisonet.io.tomogram_table import TomogramRow

NUMBERS = {
    "rlnPixelSize": (0.0, 10_000.0),
    "rlnDefocus": (0.0, 1_000_000.0),
    "rlnTiltMin": (-90.0, 90.0),
    "rlnTiltMax": (-90.0, 90.0),
}
BOUNDARY = "rlnMaskBoundary"
FILES = {
    "full": None,
    "even": HALVES[0],
    "odd": HALVES[1],
    "deconvolved": "rlnDeconvTomoName",
    "mask": "rlnMaskName",
    "boundary": BOUNDARY,
    "corrected": "rlnCorrectedTomoName",
    "denoised": "rlnTomoReconstructedTomogramDenoised",
}
SECONDS_FOR_A_PROGRAM = 120
LONGEST_BOUNDARY = 10_000  # points
SEARCH_DEPTH, MOST_FOLDERS = 4, 20_000
DEFAULT_TABLE = "tomograms.star"


class Tables:
    """Tables of tomograms in the folders of the interface.

    Parameters
    ----------
    allowed_folders : AllowedFolders
        Where files may be.
    """

    def __init__(self, allowed_folders: AllowedFolders) -> None:
        self._allowed_folders, self._writing = allowed_folders, Lock()

    def show(self, name: str) -> dict[str, Any]:
        """Return the rows of a table.

        Raises
        ------
        SpisonetError
            If it is no such table.
        """
        path = self._allowed_folders.existing(name)
        table = TomogramTable.read(path)
        rows = [self._row(row) for row in table.rows]
        return {
            "name": self._allowed_folders.shown(path),
            "version": _version(path),
            "relion5": table.is_of_relion5,
            "subtomograms": table.lists_subtomograms,
            "rows": rows,
        }

    def _row(self, row: TomogramRow) -> dict[str, Any]:
        files = {}
        for kind, column in FILES.items():
            path = row.full if column is None else row.path(column)
            if path is not None:
                files[kind] = {"name": str(path), "exists": path.is_file()}
        values = {column: row.text(column) for column in NUMBERS}
        if values["rlnPixelSize"] is None and row.voxel_size_angstrom is not None:
            values["rlnPixelSize"] = f"{row.voxel_size_angstrom:g}"  # of RELION 5
        return {
            "number": row.number,
            "index": row.index,
            "name": Path(row.shown).name,
            "shown": row.shown,
            "files": files,
            "values": values,
        }

    def edit(self, name: str, row: int, column: str, text: str, version: str) -> dict[str, Any]:
        """Change a value, and return the table.

        Raises
        ------
        SpisonetError
            If the value is none, or the file has changed since the page read it.
        """
        with self._writing:
            return self._edit(name, row, column, text, version)

    def _edit(self, name: str, row: int, column: str, text: str, version: str) -> dict[str, Any]:
        table = self._open(name, version)
        rows = table.rows
        if not 0 <= row < len(rows) or column not in (*NUMBERS, BOUNDARY):
            raise SpisonetError(f"{name} has no {column} in row {row + 1}.")
        value = text.strip()
        if column == BOUNDARY:
            value = self._allowed_folders.shown(self._allowed_folders.existing(value)) if value else "None"
        else:
            number = _number(value, *NUMBERS[column])
            _check_tilts(rows[row], column, number)
            value = f"{number:.12g}"
            if rows[row].text(column) is None:
                self._fill_column(table, column, value)
        table.set(rows[row], column, value)
        table.write()
        return self.show(name)

    def _fill_column(self, table: TomogramTable, column: str, value: str) -> None:
        """Begin a column of numbers: what reads the table would stumble over words in it."""
        for row in table.rows:
            if row.text(column) is None:
                known = row.voxel_size_angstrom if column == "rlnPixelSize" else None
                table.set(row, column, value if known is None else known)

    def remove(self, name: str, rows: list[int], version: str) -> dict[str, Any]:
        """Take tomograms out of the table, not off the disk, and return the table.

        Raises
        ------
        SpisonetError
            If none would be left, or the file has changed since the page read it.
        """
        with self._writing:
            table = self._open(name, version)
            table.remove(rows)
            table.write()
        return self.show(name)

    def save_as(self, name: str, target: str) -> dict[str, Any]:
        """Write a copy, and return it.

        Raises
        ------
        SpisonetError
            If the target is there already, or outside of the folders.
        """
        path = self._allowed_folders.inside(target)
        if path.suffix != ".star":
            raise SpisonetError(f"{target} does not end in .star.")
        with self._writing:
            if path.exists():
                raise SpisonetError(f"{target} is there already: give another name.")
            TomogramTable.read(self._allowed_folders.existing(name)).write_to(path)
        return self.show(target)

    def add(self, name: str, folder: str, files: list[str], options: dict[str, Any]) -> dict[str, Any]:
        """Add the tomograms of a folder to a table, which begins with them if it is not there yet.

        Parameters
        ----------
        name : str
            The table.
        folder : str
            Of tomograms, or of folders ``even`` and ``odd``.
        files : list of str
            Names of those to add; empty: all.
        options : dict
            Further options of ``prepare_star``, which lists the tomograms.

        Returns
        -------
        dict
            The table, and the command that was run.

        Raises
        ------
        SpisonetError
            With what ``prepare_star`` says if it fails.
        """
        path, where = self._allowed_folders.inside(name), self._allowed_folders.inside(folder)
        if path.suffix != ".star":
            raise SpisonetError(f"{name} does not end in .star.")
        inputs = _inputs(where, self._allowed_folders)
        with tempfile.TemporaryDirectory(prefix="spisonet-") as temporary:
            listed = Path(temporary) / DEFAULT_TABLE
            config, faults = read_form("isonet", "prepare_star", {**options, **inputs}, self._allowed_folders)
            if config is None:
                field, sentence = next(iter(faults.items()))
                raise SpisonetError(f"{field}: {sentence}")
            line = command_line("isonet", config.model_copy(update={"output_star": listed}))
            _run_here(line)
            new = TomogramTable.read(listed)
            chosen = [row for row in new.rows if not files or _file_names(row) & set(files)]
            if not chosen:
                raise SpisonetError(f"{folder} holds none of {', '.join(files)}.")
            new.remove([row.number for row in new.rows if row not in chosen])
            with self._writing:
                if path.is_file():
                    table = TomogramTable.read(path)
                    table.append(new)
                    table.write()
                else:
                    new.write_to(path)
        shown = command_line("isonet", config.model_copy(update={"output_star": Path(name)}))
        return {**self.show(name), "line": shown}

    def locate(self, folder: str, files: dict[str, int]) -> str:
        """Find the folder that a browser knows by its name and the names and sizes of its files alone.

        Raises
        ------
        SpisonetError
            If the folders of the interface hold none like it.
        """
        level, seen = list(self._allowed_folders.all), 0
        for _ in range(SEARCH_DEPTH):
            below = []
            for path in level:
                if path.name == folder and _holds(path, files):
                    return self._allowed_folders.shown(path)
                try:
                    below += [p for p in path.iterdir() if p.is_dir() and not p.name.startswith(".")]
                except OSError:
                    continue
            seen += len(below)
            if seen > MOST_FOLDERS:
                break
            level = below
        raise SpisonetError(
            f"No folder {folder} with these files was found where this interface may read; files are not "
            "sent to it: use Browse, or restart it with --allowed_folders."
        )

    def boundary(self, name: str) -> list[list[list[float]]]:
        """Return the contours of a boundary model.

        Raises
        ------
        SpisonetError
            If it is none.
        """
        return [contour.tolist() for contour in read_contours(self._allowed_folders.existing(name))]

    def save_boundary(self, name: str, contours: Sequence[Sequence[Sequence[float]]], volume: str) -> str:
        """Write contours as an IMOD model of a tomogram; return its name.

        Raises
        ------
        SpisonetError
            If they are no contours, or it cannot be written, or is a model of another program.
        """
        path = self._allowed_folders.inside(name)
        if path.suffix != ".mod":
            raise SpisonetError(f"{name} does not end in .mod.")
        if not contours or sum(map(len, contours)) > LONGEST_BOUNDARY:
            raise SpisonetError(f"A boundary has 1 to {LONGEST_BOUNDARY} points.")
        if path.exists() and not is_own_model(path):
            raise SpisonetError(f"{name} was not drawn here, and may hold more: give another name.")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_contours(path, contours, open_planes(self._allowed_folders.existing(volume)).shape)
        return self._allowed_folders.shown(path)

    def _open(self, name: str, version: str) -> TomogramTable:
        path = self._allowed_folders.existing(name)
        if _version(path) != version:
            raise SpisonetError(f"{name} has been changed by another page or program; it is shown anew.")
        return TomogramTable.read(path)


def _version(path: Path) -> str:
    return str(path.stat().st_mtime_ns)


def _number(text: str, low: float, high: float) -> float:
    try:
        number = float(text)
    except ValueError:
        raise SpisonetError(f"{text or 'Nothing'} is no number.") from None
    if not low <= number <= high:
        raise SpisonetError(f"{text} is not within {low:g} to {high:g}.")
    return number


def _check_tilts(row: TomogramRow, column: str, number: float) -> None:
    low = number if column == "rlnTiltMin" else row.number_of("rlnTiltMin")
    high = number if column == "rlnTiltMax" else row.number_of("rlnTiltMax")
    if column.startswith("rlnTilt") and low is not None and high is not None and low >= high:
        raise SpisonetError(f"The smallest tilt, {low:g}, is not below the largest, {high:g}.")
    if column == "rlnPixelSize" and number <= 0:
        raise SpisonetError("A pixel size is above 0.")


def _inputs(folder: Path, allowed_folders: AllowedFolders) -> dict[str, str]:
    """Tell a folder of tomograms from one of their halves."""
    if not folder.is_dir():
        raise SpisonetError(f"{allowed_folders.shown(folder)} is not a folder.")
    named = {path.name.lower(): path for path in folder.iterdir() if path.is_dir()}
    even = next((named[word] for word in ("even", "evn", "half1") if word in named), None)
    odd = next((named[word] for word in ("odd", "half2") if word in named), None)
    if even is not None and odd is not None:
        found = {"even": allowed_folders.shown(even), "odd": allowed_folders.shown(odd)}
        return found | ({"full": allowed_folders.shown(named["full"])} if "full" in named else {})
    return {"folder_name": allowed_folders.shown(folder)}


def _file_names(row: TomogramRow) -> set[str]:
    paths = [row.full, *(row.halves or ())]
    return {path.name for path in paths if path is not None}


def _holds(folder: Path, files: dict[str, int]) -> bool:
    tomograms = {name: size for name, size in files.items() if Path(name).suffix in SUFFIXES}
    return bool(tomograms) and all(
        (folder / name).is_file() and (folder / name).stat().st_size == size
        for name, size in tomograms.items()
        if ".." not in Path(name).parts
    )


def _run_here(line: list[str]) -> None:
    """Run a short command, and pass on the sentence with which it fails."""
    try:
        done = subprocess.run(
            [find_executable(line[0]), *line[1:]],
            capture_output=True,
            text=True,
            timeout=SECONDS_FOR_A_PROGRAM,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SpisonetError(f"{line[0]} cannot be run: {error}.") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise SpisonetError((said[-1] if said else f"{line[0]} failed.").removeprefix("spisonet: "))
