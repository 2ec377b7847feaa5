"""The command of a refinement: as typed, from the files of a job, or from the form of RELION's GUI."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from relion_external.job_form import FORM_FILE, read_form
from relion_external.refinement import option_value, read_header, split_words
from spisonet.errors import SpisonetError

REFINE_PROGRAMS = ("relion_refine", "relion_refine_mpi")
NOTE_FILE = "note.txt"
FLAGS_OF_TYPE = {
    "refine3d": ["--auto_refine", "--split_random_halves"],
    "class3d": [],
    "initialmodel": ["--grad"],
    "multibody": ["--split_random_halves"],
}
# Fields of the form with the options that RELION makes of them.
VALUES = {
    "fn_img": "--i",
    "in_optimisation": "--ios",
    "in_particles": "--i",
    "in_tomograms": "--tomograms",
    "fn_ref": "--ref",
    "fn_mask": "--solvent_mask",
    "ini_high": "--ini_high",
    "sym_name": "--sym",
    "particle_diameter": "--particle_diameter",
    "nr_classes": "--K",
    "nr_iter": "--iter",
    "fn_bodies": "--multibody_masks",
}
SWITCHES = {"do_blush": "--blush", "do_solvent_fsc": "--solvent_correct_fsc", "do_ctf_correction": "--ctf"}
ONLY_OF_TYPE = {"nr_classes": ("class3d",), "nr_iter": ("class3d", "initialmodel")}


@dataclass(frozen=True)
class RefineCommand:
    """Words of a refine command.

    Attributes
    ----------
    words : list of str
        The command; empty if there is none to check.
    start : list of str
        Words of the command that a continued refinement was started with.
    folder : Path or None
        Job folder.
    version : tuple of int
        RELION version that wrote the job's files; empty if unknown.
    """

    words: list[str]
    start: list[str]
    folder: Path | None
    version: tuple[int, ...]

    def value(self, option: str) -> str | None:
        """Return the value of an option; a continued refinement has those of its start."""
        found = option_value(self.words, option)
        return option_value(self.start, option) if found is None else found

    def has(self, *options: str) -> bool:
        """Whether the command, or that of its start, contains one of some options."""
        return not {*options}.isdisjoint([*self.words, *self.start])


def read_refine_command(words: list[str]) -> RefineCommand:
    """Find the command of a refinement.

    Parameters
    ----------
    words : list of str
        A job folder, a refine command as one word or as many, or nothing.

    Raises
    ------
    SpisonetError
        If neither a job folder nor a refine command is given, or the job is no refinement.
    """
    if not words:
        return RefineCommand([], [], None, ())
    if len(words) == 1 and Path(words[0]).is_dir():
        return _of_folder(Path(words[0]))
    command = split_words(words[0]) if len(words) == 1 else words
    if not any(word.startswith("--") for word in command):
        raise SpisonetError(
            f"{' '.join(words)} is neither a job folder nor a refine command; give one of them."
        )
    root = option_value(command, "--o")
    return _with_start(command, None if root is None else Path(root).parent)


def _of_folder(folder: Path) -> RefineCommand:
    optimisers = sorted(folder.glob("*_optimiser.star"), key=lambda path: path.stat().st_mtime)
    form = folder / FORM_FILE
    if optimisers and not _is_scheduled_again(form, optimisers[-1]):
        version, command = read_header(optimisers[-1])
        return replace(_with_start(command, folder), version=version)
    note = folder / NOTE_FILE
    lines = note.read_text(encoding="utf-8", errors="replace").splitlines() if note.is_file() else []
    commands = [line for line in lines if any(name in line for name in REFINE_PROGRAMS)]
    if commands and not optimisers:
        return _with_start(split_words(commands[-1]), folder)
    if form.is_file():
        return _with_start(command_of_form(form), folder)
    raise SpisonetError(
        f"{folder} is not the folder of a refinement: it contains neither an optimiser file, nor a "
        f"{NOTE_FILE} with a refine command, nor a {FORM_FILE}."
    )


def _is_scheduled_again(form: Path, optimiser: Path) -> bool:
    """Whether a job that has run before is to be continued: RELION's GUI has written its form since then."""
    if not form.is_file() or form.stat().st_mtime <= optimiser.stat().st_mtime:
        return False
    return read_form(form)[1]["is_continued"] == "Yes"


def _with_start(command: list[str], folder: Path | None) -> RefineCommand:
    """Add the words of the commands that a continued refinement was started and continued with before."""
    version: tuple[int, ...] = ()
    start: list[str] = []
    read: set[str] = set()
    continued = option_value(command, "--continue")
    while continued is not None and continued not in read and Path(continued).is_file():
        read.add(continued)
        found, words = read_header(Path(continued))
        version, start = version or found, [*start, *words]
        continued = option_value(words, "--continue")
    return RefineCommand(command, start, folder, version)


def command_of_form(path: Path) -> list[str]:
    """Return the options that RELION's GUI makes of a job's form, as far as the check needs them.

    Parameters
    ----------
    path : Path
        A ``job.star`` of Refine3D, Class3D, InitialModel or MultiBody (RELION 3.1 to 5).

    Raises
    ------
    SpisonetError
        If it is of another job.
    """
    kind, form = read_form(path)
    if kind not in FLAGS_OF_TYPE:
        raise SpisonetError(
            f"{path} is the form of a job of type {kind} (rlnJobTypeLabel), not of a 3D refinement; give "
            "the folder of a Refine3D, Class3D, InitialModel or MultiBody job."
        )
    program = REFINE_PROGRAMS[_is_above(form.get("nr_mpi", ""), 1)]
    command = [program, "--o", f"{path.parent}/run"]
    if form["is_continued"] == "Yes":
        command += ["--continue", form.get("fn_cont", "")]
    else:
        command += FLAGS_OF_TYPE[kind]
        for name, option in VALUES.items():
            value = form.get(name, "")
            is_meant = kind in ONLY_OF_TYPE.get(name, (kind,)) and (name != "ini_high" or _is_above(value, 0))
            if value not in ("", "None") and is_meant:
                command += [option, value]
    command += [option for name, option in SWITCHES.items() if form.get(name) == "Yes"]
    if form.get("use_gpu") == "Yes":
        command += ["--gpu", form.get("gpu_ids", "")]
    return [*command, *split_words(form.get("other_args", ""))]


def _is_above(text: str, limit: float) -> bool:
    try:
        return float(text) > limit
    except ValueError:
        return False
