"""The single tomogram that a filter or a mask starts from: the full one, or the sum of its halves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.io.series_names import without_half
from spisonet.io.tomogram_table import output_names, require_files
from spisonet.io.tomograms import SummedTomogram, open_tomogram
from spisonet.tomography.inputs import input_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from spisonet.io.tomogram_table import TomogramRow
    from spisonet.io.tomograms import TomogramFile

Sources = tuple["Path", ...]


@dataclass(frozen=True)
class FilterInput:
    """Input and output of one tomogram.

    Attributes
    ----------
    row : TomogramRow
        Its row in the table.
    tomogram : TomogramFile
        The tomogram.
    output : Path
        File to write.
    """

    row: TomogramRow
    tomogram: TomogramFile
    output: Path


def tomogram_sources(row: TomogramRow, column: str | None, preferred: Path | None = None) -> Sources:
    """Return the file of a single tomogram, or the two halves whose sum is used; empty if there is none.

    Parameters
    ----------
    row : TomogramRow
        Row of a table.
    column : str or None
        Column that the user chose.
    preferred : Path or None
        File that is used if the user chose no column.
    """
    path = input_file(row, column) if column is not None else preferred or row.full
    if path is None and column is None:
        return row.halves or ()
    return () if path is None else (path,)


def open_filter_inputs(
    chosen: Sequence[TomogramRow],
    sources: Sequence[Sources],
    folder: Path,
    ending: str,
) -> list[FilterInput]:
    """Open the tomograms of the chosen rows, and name their outputs.

    Parameters
    ----------
    chosen : sequence of TomogramRow
        Rows to process.
    sources : sequence of tuple of Path
        Files of all rows of the table, after which the outputs are named; see `tomogram_sources`.
    folder : Path
        Output folder.
    ending : str
        Added to the names of the inputs.

    Raises
    ------
    SpisonetError
        If a file is missing or damaged, halves differ in shape, or two outputs would have the same name.
    """
    named = [_name(files) for files in sources]
    listed = [(row, path) for row in chosen for path in sources[row.number] or (None,)]
    require_files([row for row, _ in listed], [path for _, path in listed])
    outputs = output_names(named, folder, ending)
    return [
        FilterInput(row, _open(sources[row.number], row.voxel_size_angstrom), outputs[row.number])
        for row in chosen
    ]


def _name(files: Sources) -> Path | None:
    if not files:
        return None
    return files[0] if len(files) == 1 else without_half(files[0])


def _open(files: Sources, voxel_size_angstrom: float | None) -> TomogramFile:
    first, *others = (open_tomogram(path, voxel_size_angstrom) for path in files)
    for other in others:
        if other.shape != first.shape:
            raise SpisonetError(
                f"{other.path} has the shape {other.shape}, but {first.path} has {first.shape}."
            )
        return SummedTomogram(first.path, first.shape, first.voxel_size_angstrom, other)
    return first
