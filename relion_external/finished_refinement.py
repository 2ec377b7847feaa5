"""A refinement that has ended, as the files in its job folder describe it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from relion_external.jobs.folder import ExitFile
from relion_external.refinement import NO_FILE, option_value, read_header
from spisonet.errors import SpisonetError
from spisonet.io.star import StarFile

if TYPE_CHECKING:
    from collections.abc import Iterable

RUN_FILE = re.compile(r"^run(_ct\d+)?(_it(?P<iteration>\d+))?_(?P<kind>data|optimiser|sampling)\.star$")
CTF_OPTION, CTF_LABEL = "--ctf", "rlnDoCorrectCtf"
# Options whose refinements are refused: the label that holds their value, and the reason.
FULL_CTF = "the image model assumes the full CTF"
UNSUPPORTED = {
    "--ctf_phase_flipped": ("rlnCtfDataArePhaseFlipped", FULL_CTF),
    "--ctf_intact_first_peak": ("rlnDoIgnoreCtfUntilFirstPeak", FULL_CTF),
    "--only_flip_phases": ("rlnDoOnlyFlipCtfPhases", FULL_CTF),
    "--helix": ("rlnDoHelicalRefine", "helical symmetry is not supported"),
    "--relax_sym": ("", "relaxed symmetry is not supported"),
}


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
        Words of the command that started the refinement, without the program; empty if unknown, as in the
        folder of a continued job without its first iterations.
    particle_diameter_angstrom : float or None
        Diameter of the particle; None if unknown.
    """

    particles: Path
    mask: Path | None
    symmetry: str
    command: list[str]
    particle_diameter_angstrom: float | None


def read_finished_refinement(folder: Path) -> FinishedRefinement:
    """Read a job folder of Refine3D.

    Raises
    ------
    SpisonetError
        If the folder contains no particles of a refinement, the refinement is still running (code
        ``job_running``), or its options are not supported (code ``unsupported_refinement``).
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
    path, sampling = _last(files, "optimiser"), _last(files, "sampling")
    optimiser = None if path is None else StarFile(path)
    command = _first_command(files)
    words = command if path is None else command + read_header(path)[1]
    _require_supported(folder, optimiser, command, words)
    symmetry = None if sampling is None else StarFile(sampling).value("rlnSymmetryGroup")
    mask = None
    if optimiser is not None:
        name = str(optimiser.value("rlnSolventMaskName", "None")).strip('"')
        mask = None if name in NO_FILE else _existing(Path(name), folder)
    return FinishedRefinement(
        particles=particles,
        mask=mask,
        symmetry=str(symmetry or "C1"),
        command=command,
        particle_diameter_angstrom=_particle_diameter(optimiser, command),
    )


def _first_command(files: Iterable[Path]) -> list[str]:
    """Return the first command that is not a continuation; that has all options."""
    optimisers = [path for path in files if path.name.endswith("_optimiser.star")]

    def order(path: Path) -> tuple[bool, int, float]:
        iteration = _iteration(path)
        return iteration is None, iteration or 0, -path.stat().st_mtime  # the newest of an iteration

    commands = (read_header(path)[1] for path in sorted(optimisers, key=order))
    return next((words for words in commands if words and "--continue" not in words), [])


def _require_supported(
    folder: Path, optimiser: StarFile | None, command: list[str], words: list[str]
) -> None:
    """Check the CTF and the symmetry of a refinement.

    Parameters
    ----------
    folder : Path
        The job.
    optimiser : StarFile, optional
        Optimiser file of its end.
    command : list of str
        Command that started the refinement; empty if unknown.
    words : list of str
        The same with the command of a continuation.
    """

    def is_set(label: str) -> bool | None:
        value = None if optimiser is None else optimiser.value(label)
        return None if value is None else str(value) != "0"

    corrects = is_set(CTF_LABEL)
    if corrects is False or (corrects is None and command and CTF_OPTION not in command):
        raise SpisonetError(
            f"{folder} was refined without {CTF_OPTION}, but {FULL_CTF}; give a refinement with it.",
            code="unsupported_refinement",
            field="job",
        )
    for option, (label, reason) in UNSUPPORTED.items():
        if is_set(label) or option in words:
            raise SpisonetError(
                f"{folder} was refined with {option}, but {reason}; give a refinement without it.",
                code="unsupported_refinement",
                field="job",
            )


def _particle_diameter(optimiser: StarFile | None, command: list[str]) -> float | None:
    text = option_value(command, "--particle_diameter")
    if optimiser is not None:
        text = optimiser.value("rlnParticleDiameter", text)
    try:
        diameter = float(text or 0)
    except ValueError:
        return None
    return diameter if math.isfinite(diameter) and diameter > 0 else None


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
