"""Tables in which corrected tomograms are listed where RELION 5 reads the reconstructed ones."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.io.tomogram_table import FULL_RELION5, MEASURED

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from spisonet.io.tomogram_table import TomogramTable

log = logging.getLogger("spisonet")

SUFFIX = "_as_reconstructed"
COMMENT = (
    f"# spisonet: {FULL_RELION5} lists corrected tomograms, inferred in part; {MEASURED} the measured ones"
)


def as_reconstructed_path(table: Path) -> Path:
    """Return the file of the table with corrected tomograms beside a table of results."""
    return table.with_name(f"{table.stem}{SUFFIX}{table.suffix}")


def require_relion5(table: TomogramTable) -> None:
    """Check that a table is one of RELION 5.

    Raises
    ------
    SpisonetError
        If it is not.
    """
    if not table.is_of_relion5:
        raise SpisonetError(
            f"--as_reconstructed is for a tomograms.star of RELION 5, but {table.path} is another table.",
            field="as_reconstructed",
        )


def write_as_reconstructed(table: TomogramTable, corrected: Mapping[int, Path]) -> Path:
    """Write a table of the corrected tomograms only, listed as the reconstructed ones.

    Tomograms that an existing table lists, from an earlier run on others (``--tomo_idx``), stay in it as long
    as their files exist.

    Parameters
    ----------
    table : TomogramTable
        Table of RELION 5.
    corrected : mapping
        Files of the corrected tomograms of this run by the numbers of their rows.

    Returns
    -------
    Path
        The file; see `as_reconstructed_path`. Commands of ``isonet.py`` read the measured tomograms from it.
    """
    path = as_reconstructed_path(table.path)
    table.with_full_tomograms(_of_earlier_runs(table, path) | dict(corrected), COMMENT).write_to(path)
    log.warning(
        "%s lists the corrected tomograms as reconstructed. They are inferred in part, and so are averages "
        "of subtomograms that are extracted from them: the FSC of such averages overestimates the "
        "resolution.",
        path,
    )
    return path


def _of_earlier_runs(table: TomogramTable, path: Path) -> dict[int, Path]:
    """Return the existing files that a table of earlier runs lists, by their rows in the table of results."""
    if not path.is_file():
        return {}
    try:
        listed = {row.shown: row.path(FULL_RELION5) for row in type(table).read(path).rows}
    except SpisonetError as error:
        log.warning("The tomograms of earlier runs are not kept in the table: %s", error)
        return {}
    found = {row.number: listed.get(row.shown) for row in table.rows}
    return {number: file for number, file in found.items() if file is not None and file.is_file()}
