"""Tomogram tables (STAR files) as the web page shows and edits them."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spisonet.errors import SpisonetError
from spisonet.gui.file_names import restore_bytes
from spisonet.gui.forms import command_line, validate_form
from spisonet.io.installation import find_executable
from spisonet.io.locks import lock_for_update
from spisonet.io.numbers import range_of, require_defocus_in_angstrom
from spisonet.io.paths import CHANGED, version_of
from spisonet.io.series_names import pairs_of_halves
from spisonet.io.tomogram_sources import FULL
from spisonet.io.tomogram_table import HALVES, TomogramTable

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from spisonet.gui.allowed_folders import AllowedFolders
    from spisonet.gui.trash import Trash
    from spisonet.io.config import CommandConfig
    from spisonet.io.tomogram_table import TomogramRow

PIXEL_SIZE = "rlnPixelSize"
DEFOCUS = "rlnDefocus"
TILT_RANGE = ("rlnTiltMin", "rlnTiltMax")
NUMBERS = (PIXEL_SIZE, DEFOCUS, *TILT_RANGE)
BOUNDARY = "rlnMaskBoundary"
FILE_COLUMNS = {
    "full": None,
    "even": HALVES[0],
    "odd": HALVES[1],
    "deconvolved": "rlnDeconvTomoName",
    "mask": "rlnMaskName",
    "boundary": BOUNDARY,
    "corrected": "rlnCorrectedTomoName",
    "denoised": "rlnTomoReconstructedTomogramDenoised",
}
TIMEOUT_SECONDS = 120
DEFAULT_TABLE = "tomograms.star"


class TomogramTables:
    """Tomogram tables in the allowed folders.

    Parameters
    ----------
    allowed_folders : AllowedFolders
        Where files may be.
    trash : Trash
        For tables without tomograms.
    """

    def __init__(self, allowed_folders: AllowedFolders, trash: Trash) -> None:
        self._allowed_folders, self._trash = allowed_folders, trash

    def read(self, name: str) -> dict[str, Any]:
        """Return the rows of a table.

        Raises
        ------
        SpisonetError
            If the file is not a tomogram table.
        """
        path = self._allowed_folders.resolve_file(name)
        table = TomogramTable.read(path)
        return {
            "name": self._allowed_folders.display_name(path),
            "version": version_of(path),
            "relion5": table.is_of_relion5,
            "subtomograms": table.lists_subtomograms,
            "rows": [_describe_row(row) for row in table.rows],
        }

    def edit(self, name: str, row: int, column: str, text: str, version: str) -> dict[str, Any]:
        """Change a value; return the table.

        Parameters
        ----------
        name : str
            The table.
        row : int
            Row number, from 0.
        column : str
            RELION label.
        text : str
            New value.
        version : str
            Version of the table that the page shows.

        Raises
        ------
        SpisonetError
            If the value is invalid, or the file has changed since the page read it.
        """
        with self._locked(name):
            table = self._open(name, version)
            rows = table.rows
            if not 0 <= row < len(rows) or column not in (*NUMBERS, BOUNDARY):
                raise SpisonetError(f"{name} does not have {column} in row {row + 1}.")
            value = text.strip()
            if column == BOUNDARY:
                value = self._boundary_value(value)
            else:
                number = _parse_number(column, value)
                _check_tilt_range(rows[row], column, number)
                value = f"{number:.12g}"
                if column == PIXEL_SIZE:
                    _list_known_pixel_sizes(table)
            table.set(rows[row], column, value)
            table.write()
            return self.read(name)

    def _locked(self, name: str) -> AbstractContextManager[None]:
        return lock_for_update(self._allowed_folders.resolve(name))

    def _boundary_value(self, name: str) -> str:
        if not name:
            return "None"
        return self._allowed_folders.display_name(self._allowed_folders.resolve_file(name))

    def clear(self, name: str, row: int, kind: str, version: str) -> dict[str, Any]:
        """Remove the name of a file that does not exist any more from a row; return the table.

        Raises
        ------
        SpisonetError
            If the row has no such file, the file exists, or the table has changed since the page read it.
        """
        with self._locked(name):
            table = self._open(name, version)
            rows, column = table.rows, FILE_COLUMNS.get(kind)
            path = rows[row].path(column) if column is not None and 0 <= row < len(rows) else None
            if column is None or path is None or path.is_file():
                raise SpisonetError(f"{name} lists no missing file as {kind} in row {row + 1}.")
            table.set(rows[row], column, "None")
            table.write()
            return self.read(name)

    def remove(self, name: str, rows: list[int], version: str) -> dict[str, Any]:
        """Remove tomograms from the table, but not from the disk; return the table.

        A table of which no tomogram remains is moved into the trash, and ``trashed`` names the entry.

        Raises
        ------
        SpisonetError
            If the file has changed since the page read it, or no tomogram would remain in a table of RELION.
        """
        with self._locked(name):
            table = self._open(name, version)
            path = self._allowed_folders.resolve(name)
            is_own = not table.is_of_relion5 and path.is_relative_to(self._allowed_folders.project)
            if is_own and set(rows) >= set(range(len(table.rows))):
                return {"name": name, "rows": [], "trashed": self._trash.put(path)}
            table.remove(rows)
            table.write()
        return self.read(name)

    def save_as(self, name: str, target: str) -> dict[str, Any]:
        """Write a copy of a table; return the copy.

        Raises
        ------
        SpisonetError
            If the target exists, is not a STAR file, or is outside the allowed folders.
        """
        path = self._allowed_folders.resolve(target)
        if path.suffix != ".star":
            raise SpisonetError(f"{target} does not end in .star.")
        with lock_for_update(path):
            if path.exists():
                raise SpisonetError(f"{target} already exists; enter another name.")
            TomogramTable.read(self._allowed_folders.resolve_file(name)).write_to(path)
        return self.read(target)

    def add(self, name: str, folder: str, files: list[str], options: dict[str, Any]) -> dict[str, Any]:
        """Add the tomograms in a folder to a table, which is created if it does not exist.

        Parameters
        ----------
        name : str
            The table.
        folder : str
            Folder with tomograms, or with subfolders ``even`` and ``odd``.
        files : list of str
            Names of the files to add; empty: all.
        options : dict
            Further options of ``prepare_star``, which lists the tomograms.

        Returns
        -------
        dict
            The table, and as ``line`` the equivalent command.

        Raises
        ------
        SpisonetError
            If an option is invalid, or with the error of ``prepare_star``.
        """
        path = self._allowed_folders.resolve(name)
        if path.suffix != ".star":
            raise SpisonetError(f"{name} does not end in .star.")
        path_options = self._folder_options(self._allowed_folders.resolve(folder))
        config = self._prepare_star_config({**options, **path_options})
        added = _list_tomograms(config)
        wanted = {restore_bytes(file).name for file in files}
        selected = [row for row in added.rows if not files or _file_names(row) & wanted]
        if not selected:
            raise SpisonetError(f"{folder} does not contain {', '.join(files)}.")
        added.remove([row.number for row in added.rows if row not in selected])
        with lock_for_update(path):
            if path.is_file():
                table = TomogramTable.read(path)
                table.append(added)
                table.write()
            else:
                added.write_to(path)
        line = command_line("isonet", config.model_copy(update={"output_star": Path(name)}))
        return {**self.read(name), "line": line}

    def _folder_options(self, folder: Path) -> dict[str, str]:
        """Return the options of ``prepare_star`` for a folder; beside a folder of one half, for both."""
        name = self._allowed_folders.display_name(folder)
        if not folder.is_dir():
            raise SpisonetError(f"{name} is not a folder.")
        siblings = [path for path in sorted(folder.parent.iterdir()) if path.is_dir()]
        pairs = [pair for pair in pairs_of_halves(siblings) if folder in pair]
        if not pairs:
            return {"folder_name": name}
        options = dict(zip(("even", "odd"), map(self._allowed_folders.display_name, pairs[0]), strict=True))
        full = folder.parent / FULL
        return options | ({"full": self._allowed_folders.display_name(full)} if full.is_dir() else {})

    def _prepare_star_config(self, values: dict[str, Any]) -> CommandConfig:
        config, errors = validate_form("isonet", "prepare_star", values, self._allowed_folders)
        if config is None:
            field, message = next(iter(errors.items()))
            raise SpisonetError(f"{field}: {message}", field=field)
        return config

    def _open(self, name: str, version: str) -> TomogramTable:
        path = self._allowed_folders.resolve_file(name)
        if version_of(path) != version:
            raise SpisonetError(
                f"{name} was changed by another page or program; the table was reloaded.", code=CHANGED
            )
        return TomogramTable.read(path)


def _describe_row(row: TomogramRow) -> dict[str, Any]:
    files = {}
    for kind, column in FILE_COLUMNS.items():
        path = row.full if column is None else row.path(column)
        if path is not None:
            files[kind] = {"name": str(path), "exists": path.is_file()}
    values = {column: None if row.is_empty(column) else row.values[column] for column in NUMBERS}
    errors = _invalid_numbers(row)
    if values[PIXEL_SIZE] is None and (size := _known_voxel_size(row)) is not None:
        values[PIXEL_SIZE] = f"{size:g}"  # of RELION 5
    return {
        "number": row.number,
        "index": row.index,
        "name": Path(row.shown).name,
        "shown": row.shown,
        "files": files,
        "values": values,
        "errors": errors,
    }


def _invalid_numbers(row: TomogramRow) -> dict[str, str]:
    """Return messages on the values of a row that are not numbers in the range of their column."""
    errors = {}
    for column in NUMBERS:
        try:
            row.check_number(column)
            if column == PIXEL_SIZE:
                _ = row.voxel_size_angstrom  # of RELION 5, from other columns
        except SpisonetError as error:
            errors[column] = str(error)
    return errors


def _known_voxel_size(row: TomogramRow) -> float | None:
    """Return the voxel size in Å; None if the table contains none, or an invalid one."""
    with suppress(SpisonetError):
        return row.voxel_size_angstrom
    return None


def _parse_number(column: str, text: str) -> float:
    """Return what a user entered into a cell."""
    if not text:
        raise SpisonetError("Enter a number.")
    try:
        number = float(text)
    except ValueError:
        raise SpisonetError(f"{text} is not a valid number.") from None
    allowed = range_of(column)
    if not allowed.holds(number):
        raise SpisonetError(f"{text} is outside the valid range {allowed}.")
    if column == DEFOCUS:
        try:
            require_defocus_in_angstrom(number)
        except ValueError as error:
            raise SpisonetError(f"{error}.") from None
    return number


def _check_tilt_range(row: TomogramRow, column: str, number: float) -> None:
    if not column.startswith("rlnTilt") or _invalid_numbers(row).keys() - {column} & set(TILT_RANGE):
        return  # an invalid value of the other cell has its own message
    low, high = (number if limit == column else row.number_of(limit) for limit in TILT_RANGE)
    if low is not None and high is not None and low >= high:
        raise SpisonetError(
            f"Invalid tilt range {low:g} to {high:g} degrees: the minimum must be below the maximum."
        )


def _list_known_pixel_sizes(table: TomogramTable) -> None:
    """Enter the pixel sizes that RELION 5 lists in other columns: RELION reads this column as numbers."""
    for row in table.rows:
        if row.is_empty(PIXEL_SIZE) and (size := _known_voxel_size(row)) is not None:
            table.set(row, PIXEL_SIZE, size)


def _file_names(row: TomogramRow) -> set[str]:
    paths = [row.full, *(row.halves or ())]
    return {path.name for path in paths if path is not None}


def _list_tomograms(config: CommandConfig) -> TomogramTable:
    """Run ``prepare_star`` and return its table."""
    with tempfile.TemporaryDirectory(prefix="spisonet-") as folder:
        output = Path(folder) / DEFAULT_TABLE
        program, *words = command_line("isonet", config.model_copy(update={"output_star": output}))
        try:
            result = subprocess.run(
                [find_executable(program), *words],
                capture_output=True,
                encoding="utf-8",
                errors="surrogateescape",
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SpisonetError(f"{program} cannot be run: {error}.") from error
        if result.returncode:  # pass on its error message, which follows the name of the program
            lines = (result.stderr or result.stdout).strip().splitlines()
            message = lines[-1] if lines else f"{program} ended with exit status {result.returncode}."
            raise SpisonetError(message.removeprefix("spisonet: "))
        return TomogramTable.read(output)
