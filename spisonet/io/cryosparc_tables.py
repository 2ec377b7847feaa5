"""Tables of cryoSPARC: ``.cs`` files, arrays or compressed streams, and the ``.csg`` files that list them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.io.hosts import CRYOSPARC

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    Fields = Mapping[str, NDArray[Any]]

TABLE_SUFFIX, GROUP_SUFFIX = ".cs", ".csg"
STREAM = b"CSDAT"  # behind a first byte, which differs between versions of the client
MAX_HEADER = 2**20  # bytes; NumPy's limit of 10,000 is exceeded by tables with many fields
UID = "uid"
LISTED_TABLE = re.compile(r"metafile:\s*['\"]?>?([^'\"\n]+?\.cs)\b")


def read_cryosparc_fields(path: Path) -> Fields:
    """Read the columns of a table, or of all tables that a group lists.

    Rows of the tables of a group are matched by ``uid``.

    Parameters
    ----------
    path : Path
        A ``.csg`` file; or a ``.cs`` file: a NumPy array, or a compressed stream, which needs
        cryosparc-tools.

    Returns
    -------
    dict
        Arrays by field such as ``alignments3D/pose``; the first axis counts the rows.

    Raises
    ------
    SpisonetError
        If a file is missing or not readable, cryosparc-tools is needed and not installed, or the tables of a
        group list different particles.
    """
    if path.suffix.lower() != GROUP_SUFFIX:
        return _read_table(path)
    text = path.read_text(encoding="utf-8", errors="replace")
    tables = [path.parent / name for name in dict.fromkeys(LISTED_TABLE.findall(text))]
    if not tables:
        raise SpisonetError(f"{path} lists no .cs file; export the particles of the refinement again.")
    for table in tables:
        if not table.is_file():
            raise SpisonetError(
                f"{table}, which {path} lists, does not exist; copy it there from the folder of the job.",
                code="file_not_found",
            )
    return _joined([(table, _read_table(table)) for table in tables])


def _joined(tables: list[tuple[Path, Fields]]) -> Fields:
    """Return the columns of all tables, with the rows of the first."""
    (first_path, first), *others = tables
    joined = dict(first)
    for path, fields in others:
        if any(UID not in table or table[UID].ndim != 1 for table in (first, fields)):
            raise SpisonetError(f"{path} and {first_path} cannot be joined: one has no numbers {UID}.")
        order = np.argsort(fields[UID])
        sorted_uids = fields[UID][order]
        found = np.minimum(np.searchsorted(sorted_uids, first[UID]), max(len(order) - 1, 0))
        if len(order) == 0 or not np.array_equal(sorted_uids[found], first[UID]):
            raise SpisonetError(f"{path} does not list all particles of {first_path}.")
        joined = {name: column[order[found]] for name, column in fields.items()} | joined
    return joined


def _read_table(path: Path) -> Fields:
    with path.open("rb") as file:
        beginning = file.read(1 + len(STREAM))
    if beginning[1:] == STREAM:
        table = _read_stream(path)
    else:
        try:
            with path.open("rb") as file:
                table = np.lib.format.read_array(file, allow_pickle=False, max_header_size=MAX_HEADER)
        except Exception as error:  # a broken header can raise any exception in the parser
            raise _unreadable(path, error) from error
    fields = table.dtype.names or () if table.ndim == 1 else ()
    return {name: table[name] for name in fields}


def _read_stream(path: Path) -> NDArray[Any]:
    try:
        dataset = CRYOSPARC.require("dataset").Dataset
    except SpisonetError as error:
        raise SpisonetError(
            f"{path} is a compressed stream of cryoSPARC (CSDAT): install its client (pip install "
            f"'spisonet[{CRYOSPARC.extra}]'), or use Export of the job in cryoSPARC and give the .cs file of "
            "that.",
            code=error.code,
        ) from error
    try:
        table: NDArray[Any] = dataset.load(path).to_records(fixed=True)
    except Exception as error:  # of the decompression and of the client
        raise _unreadable(path, error) from error
    return table


def _unreadable(path: Path, error: Exception) -> SpisonetError:
    reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
    return SpisonetError(f"{path} is not a readable cryoSPARC file: {reason}.")
