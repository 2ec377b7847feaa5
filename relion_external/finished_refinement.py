"""A refinement that has ended, as the files in its job folder describe it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from relion_external.jobs.folder import ExitFile
from relion_external.refinement import NO_FILE, read_header
from spisonet.errors import SpisonetError
from spisonet.io.star import StarFile

if TYPE_CHECKING:
    from collections.abc import Iterable

RUN_FILE = re.compile(r"^run(_ct\d+)?(_it(?P<iteration>\d+))?_(?P<kind>data|optimiser|sampling)\.star$")


@dataclass(frozen=True)
class FinishedRefinement:
    """Files and options of a refinement.

    Attributes
    ----------
    particles : Path
        Particle STAR file of the end or, if there is none, of the last iteration.
    mask : Path or None
        Solvent mask.
    symmetry : str
        Point group.
    command : list of str
        Words of the refine command, without the program; empty if unknown.
    """

    particles: Path
    mask: Path | None
    symmetry: str
    command: list[str]


def read_finished_refinement(folder: Path) -> FinishedRefinement:
    """Read a job folder of Refine3D.

    Raises
    ------
    SpisonetError
        If the folder contains no particles of a refinement, or the refinement is still running (code
        ``job_running``).
    """
    if not folder.is_dir():
        raise SpisonetError(f"{folder} is not a folder; give the folder of a Refine3D job.", field="job")
    files = [path for path in folder.iterdir() if RUN_FILE.match(path.name)]
    particles = _last(files, "data")
    if particles is None:
        raise SpisonetError(
            f"{folder} contains no particles of a refinement (run_data.star); give the folder of a Refine3D "
            "job.",
            field="job",
        )
    has_ended = any((folder / kind.value).exists() for kind in ExitFile)
    if _iteration(particles) is not None and not has_ended:
        raise SpisonetError(
            f"{folder} is still running: it has neither final particles nor an exit file; wait for its end, "
            f"or if the job was killed, create the file {folder / ExitFile.ABORTED.value}.",
            code="job_running",
            field="job",
        )
    optimiser, sampling = _last(files, "optimiser"), _last(files, "sampling")
    symmetry = None if sampling is None else StarFile(sampling).value("rlnSymmetryGroup")
    mask = None
    if optimiser is not None:
        name = str(StarFile(optimiser).value("rlnSolventMaskName", "None")).strip('"')
        mask = None if name in NO_FILE else _existing(Path(name), folder)
    return FinishedRefinement(
        particles=particles,
        mask=mask,
        symmetry=str(symmetry or "C1"),
        command=[] if optimiser is None else read_header(optimiser)[1],
    )


def _iteration(path: Path) -> int | None:
    match = RUN_FILE.match(path.name)
    assert match is not None
    return None if match["iteration"] is None else int(match["iteration"])


def _last(files: Iterable[Path], kind: str) -> Path | None:
    """Return the file of the end, the newest if there are several, or that of the last iteration after 0."""
    found = [path for path in files if path.name.endswith(f"_{kind}.star") and _iteration(path) != 0]

    def order(path: Path) -> tuple[bool, int, float]:
        iteration = _iteration(path)
        return iteration is None, iteration or 0, path.stat().st_mtime

    return max(found, key=order, default=None)


def _existing(name: Path, folder: Path) -> Path:
    """Return a file of the project, which is the current folder or one above the job."""
    places = [Path(), *folder.absolute().parents]
    return next((place / name for place in places if (place / name).is_file()), name)
