"""Job folder as RELION's pipeline reads it: exit files, output nodes, abort file, note."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING

from relion_external.job_form import FORM_FILE
from spisonet import __version__
from spisonet.errors import SpisonetError
from spisonet.io.atomic import open_for_appending, prepare_output_folder, rename_marker, write_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NODES_FILE, NOTE_FILE = "RELION_OUTPUT_NODES.star", "note.txt"
ABORT_FILE = "RELION_JOB_ABORT_NOW"
FORM_VERSION, RELION5 = re.compile(r"^# version (\d{1,9})\b", re.MULTILINE), 50000
RESERVED = ".spisonet_exit"


class ExitFile(Enum):
    """Empty file by which RELION recognises the end of a job."""

    SUCCESS = "RELION_JOB_EXIT_SUCCESS"
    FAILURE = "RELION_JOB_EXIT_FAILURE"
    ABORTED = "RELION_JOB_EXIT_ABORTED"


class NodeType(Enum):
    """Node type of an output: label of RELION 5, label of RELION 4 and number of RELION 3.1.

    RELION offers an output as an input only in the folder of its label, such as ``.Nodes/DensityMap``, and
    a file has one type.
    """

    MAP = ("DensityMap.mrc", "DensityMap.mrc", 6)
    HALF_MAP = ("DensityMap.mrc.halfmap", "DensityMap.mrc.halfmap", 10)
    PARTICLES = ("ParticleGroupMetadata.star.relion", "ParticlesData.star.relion", 3)
    # Micrographs in earlier versions, which have no such tables.
    TOMOGRAMS = ("TomogramGroupMetadata.star.relion", "MicrographsData.star.relion", 1)
    LOGFILE = ("LogFile.pdf.relion", "LogFile.pdf.relion", 13)


@dataclass(frozen=True)
class Node:
    """Output that RELION displays and offers as an input of other jobs.

    Attributes
    ----------
    name : str
        File name in the job folder.
    type : NodeType
        Type of the output.
    """

    name: str
    type: NodeType


class JobFolder:
    """Folder of an External job.

    Parameters
    ----------
    path : Path
        Folder, relative to the project.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(self) -> None:
        """Remove the exit files of an earlier run.

        An abort file is kept: RELION removes old ones itself, so it belongs to this run.

        Raises
        ------
        SpisonetError
            If the folder does not exist or cannot be written.
        """
        if not self.path.is_dir():
            raise SpisonetError(
                f"--o {self.path} is not a folder; RELION creates it and runs jobs in the project folder."
            )
        with suppress(OSError):  # which the next line says better
            self._reserved.touch()
        prepare_output_folder(self.path)
        for exit_file in ExitFile:
            path = self.path / exit_file.value
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise SpisonetError(f"{path} cannot be removed: {error.strerror}.") from error

    @property
    def _reserved(self) -> Path:
        """Empty file that becomes the exit file: a full disk can lack room for a new one."""
        return self.path / RESERVED

    @property
    def abort_requested(self) -> bool:
        """Whether the user has pressed *Abort running*."""
        return (self.path / ABORT_FILE).exists()

    def append_note(self, text: str) -> None:
        """Append a command to ``note.txt``, RELION's record of the commands of a job."""
        stamp = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        path = self.path / NOTE_FILE
        try:
            with open_for_appending(path) as file:
                file.write(f" ++++ spisonet {__version__} on {stamp}:\n{text}\n")
        except OSError as error:
            raise SpisonetError(f"{path} cannot be written: {error.strerror}.") from error

    def write_nodes(self, nodes: Iterable[Node]) -> None:
        """Write ``RELION_OUTPUT_NODES.star`` with the outputs that exist, for the version of the job."""
        label = 1 if self._is_before_relion5() else 0
        rows = [
            f"{self.path / node.name} {node.type.value[label]} {node.type.value[2]}"
            for node in nodes
            if (self.path / node.name).is_file()
        ]
        labels = ("_rlnPipeLineNodeName", "_rlnPipeLineNodeTypeLabel", "_rlnPipeLineNodeType")
        header = [f"{label} #{column}" for column, label in enumerate(labels, start=1)]
        write_text(
            self.path / NODES_FILE, "\n".join(["data_output_nodes", "", "loop_", *header, *rows, ""]) + "\n"
        )

    def _is_before_relion5(self) -> bool:
        """Whether RELION 3.1 or 4 wrote the form of the job; its first comment is the version."""
        form = self.path / FORM_FILE
        text = form.read_text(encoding="utf-8", errors="replace") if form.is_file() else ""
        found = FORM_VERSION.search(text)
        return found is not None and int(found[1]) < RELION5

    def write_exit_file(self, exit_file: ExitFile) -> None:
        """Write the exit file, after which RELION considers the job finished."""
        with suppress(OSError):  # the folder may not be writable
            if exit_file is ExitFile.ABORTED:
                (self.path / ABORT_FILE).unlink(missing_ok=True)
            rename_marker(self._reserved, self.path / exit_file.value)
