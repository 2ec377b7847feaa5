"""A job's folder, as RELION's pipeline reads it: exit files, output nodes, the wish to abort, the note."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING

from spisonet import __version__
from spisonet.errors import SpisonetError
from spisonet.io.atomic import atomic_path, prepare_output_folder

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NODES_FILE, NOTE_FILE = "RELION_OUTPUT_NODES.star", "note.txt"
ABORT_FILE = "RELION_JOB_ABORT_NOW"


class Ending(Enum):
    """How a job ended: the name of the empty file that tells RELION."""

    SUCCESS = "RELION_JOB_EXIT_SUCCESS"
    FAILURE = "RELION_JOB_EXIT_FAILURE"
    ABORTED = "RELION_JOB_EXIT_ABORTED"


class NodeType(Enum):
    """Label (read by RELION 4 and 5) and number (read by 3.1) of a kind of output."""

    MAP = ("DensityMap.mrc", 6)
    HALF_MAP = ("DensityMap.mrc.halfmap", 10)
    TOMOGRAMS = ("TomogramGroupMetadata.star.relion", 1)  # 3.1 knows them as micrographs
    LOGFILE = ("LogFile.pdf.relion", 13)


@dataclass(frozen=True)
class Node:
    """An output that RELION shows, and offers to other jobs.

    Attributes
    ----------
    name : str
        File name in the job's folder.
    type : NodeType
        What it is.
    """

    name: str
    type: NodeType


class JobFolder:
    """The folder of one External job.

    Parameters
    ----------
    path : Path
        Relative to the project, as RELION gave it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self) -> None:
        """Remove what an earlier run of the job said of its end.

        A wish to abort stays: RELION removes an old one itself, so this one is meant.

        Raises
        ------
        SpisonetError
            If the folder is not there or cannot be written.
        """
        if not self.path.is_dir():
            raise SpisonetError(
                f"--o {self.path} is not a folder; RELION makes it, and runs jobs in the project folder."
            )
        prepare_output_folder(self.path)
        for ending in Ending:
            (self.path / ending.value).unlink(missing_ok=True)

    @property
    def abort_is_asked_for(self) -> bool:
        """Whether somebody pressed *Abort running*."""
        return (self.path / ABORT_FILE).exists()

    def note(self, text: str) -> None:
        """Add to the job's ``note.txt``, in which RELION keeps what was run and users what they thought."""
        stamp = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        path = self.path / NOTE_FILE
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(f" ++++ spisonet {__version__} on {stamp}:\n{text}\n")
        except OSError as error:
            raise SpisonetError(f"{path} cannot be written: {error.strerror}.") from error

    def write_nodes(self, nodes: Iterable[Node]) -> None:
        """Tell RELION of the outputs that are there, in the form that all its versions read."""
        rows = [
            f"{self.path / node.name} {node.type.value[0]} {node.type.value[1]}"
            for node in nodes
            if (self.path / node.name).is_file()
        ]
        labels = ("_rlnPipeLineNodeName", "_rlnPipeLineNodeTypeLabel", "_rlnPipeLineNodeType")
        header = [f"{label} #{column}" for column, label in enumerate(labels, start=1)]
        with atomic_path(self.path / NODES_FILE) as temporary:
            temporary.write_text("\n".join(["data_output_nodes", "", "loop_", *header, *rows, ""]) + "\n")

    def end(self, ending: Ending) -> None:
        """Tell RELION that the job is over; nothing may be written after this."""
        with suppress(OSError):  # a folder that cannot be written cannot be told
            if ending is Ending.ABORTED:
                (self.path / ABORT_FILE).unlink(missing_ok=True)
            (self.path / ending.value).touch()
