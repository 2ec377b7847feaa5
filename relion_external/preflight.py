"""``--check``: tell before iteration 1 what would go wrong."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from relion_external.options import SETTINGS_FILE, read_settings
from relion_external.refinement import option_value, read_header
from spisonet.errors import SpisonetError
from spisonet.io.mrc import read_volume
from spisonet.misalignment.settings import MisalignmentSettings

VARIABLE = "RELION_EXTERNAL_RECONSTRUCT_EXECUTABLE"
EXECUTABLE = "spisonet-relion-reconstruct"
REFINE = ("relion_refine", "relion_refine_mpi")
SECONDS_FOR_A_PROGRAM = 60
VERSION = re.compile(r"version:?\s*(\d+(?:\.\d+)*)")


@dataclass
class Findings:
    """What a check has found."""

    good: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def check(words: list[str]) -> int:
    """Check the machine, the settings and, if given, a refinement; print what was found.

    Parameters
    ----------
    words : list of str
        A job folder, a refine command in one word or many, or nothing.

    Returns
    -------
    int
        1 if something would go wrong.

    Raises
    ------
    SpisonetError
        If neither a job folder nor a refine command is given.
    """
    found = Findings()
    folder, command, job_version = _subject(words)
    settings = _check_settings(folder, found)
    _check_variable(found)
    version = _check_relion(job_version, found)
    _check_device(settings, found)
    if command:
        _check_command(command, version, found)
        _check_grids(command, found)
    lines = [f"  ok       {text}" for text in found.good]
    lines += [f"  WARNING  {text}" for text in found.warnings]
    lines += [f"  ERROR    {text}" for text in found.errors]
    lines += ["", "Before relion_refine, or in the submission script:", f"  export {VARIABLE}={_own_path()}"]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if found.errors else 0


def _subject(words: list[str]) -> tuple[Path | None, list[str], tuple[int, ...]]:
    """Return the job folder, the words of its refine command, and RELION's version if the job tells."""
    if not words:
        return None, [], ()
    if len(words) == 1 and Path(words[0]).is_dir():
        folder = Path(words[0])
        optimisers = sorted(folder.glob("*_it*_optimiser.star"), key=lambda path: path.stat().st_mtime)
        if optimisers:
            version, command = read_header(optimisers[-1])
            return folder, command, version
        note = folder / "note.txt"
        lines = note.read_text(encoding="utf-8").splitlines() if note.is_file() else []
        commands = [line for line in lines if any(name in line for name in REFINE)]
        if not commands:
            raise SpisonetError(f"{folder} holds no refinement: neither an optimiser file nor a note.txt.")
        return folder, shlex.split(commands[-1]), ()
    command = shlex.split(words[0]) if len(words) == 1 else words
    if not any(word.startswith("--") for word in command):
        raise SpisonetError(f"{' '.join(words)} is neither a job folder nor a refine command.")
    root = option_value(command, "--o")
    return (Path(root).parent if root else None), command, ()


def _check_settings(folder: Path | None, found: Findings) -> MisalignmentSettings:
    folders = [Path(), *([folder] if folder is not None else [])]
    try:
        settings = read_settings(os.environ, folders)
    except SpisonetError as error:
        found.errors.append(str(error))
        return MisalignmentSettings.model_validate({})
    changed = {n: v for n, v in settings.model_dump().items() if v != type(settings).model_fields[n].default}
    chosen = ", ".join(f"{name.upper()}={value}" for name, value in changed.items()) or "all at their default"
    found.good.append(f"settings from the environment and {SETTINGS_FILE}: {chosen}")
    if settings.joint:
        found.warnings.append("ISONET_JOINT: the halves will NOT be independent, and their FSC too high")
    return settings


def _check_variable(found: Findings) -> None:
    value = os.environ.get(VARIABLE)
    if value is None:
        found.errors.append(f"{VARIABLE} is not exported, so RELION would reconstruct by itself")
        return
    program = shutil.which(shlex.split(value)[0]) if value.strip() else None
    if program is None:
        found.errors.append(f"{VARIABLE}={value} cannot be run")
    elif EXECUTABLE not in value and "relion_external" not in value:
        found.warnings.append(f"{VARIABLE}={value} is another program than {EXECUTABLE}")
    else:
        found.good.append(f"{VARIABLE}={value}")


def _check_relion(job_version: tuple[int, ...], found: Findings) -> tuple[int, ...]:
    """Compare the RELION on PATH with the one that made the job; return the version that will run."""
    program = next((path for name in reversed(REFINE) if (path := shutil.which(name))), None)
    if program is None:
        found.warnings.append("no relion_refine on PATH here")
        return job_version
    version = _version_of(program)
    shown = ".".join(map(str, version)) or "of unknown version"
    if version and job_version and version[:2] != job_version[:2]:
        made = ".".join(map(str, job_version))
        found.errors.append(f"RELION {shown} is on PATH, but the job was made by {made}")
    else:
        found.good.append(f"RELION {shown} ({program})")
    return version or job_version


def _version_of(program: str) -> tuple[int, ...]:
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=SECONDS_FOR_A_PROGRAM, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    match = VERSION.search(done.stdout + done.stderr)
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def _check_device(settings: MisalignmentSettings, found: Findings) -> None:
    devices = importlib.import_module("spisonet.learning.devices")  # PyTorch is slow to import
    try:
        device = devices.choose_devices(settings.device)[0]
    except SpisonetError as error:
        found.errors.append(str(error).replace("--device", "ISONET_DEVICE"))
        return
    if device.type == "cpu":
        found.warnings.append("no GPU: training on the CPU; lower ISONET_N_SUBVOLUME and ISONET_FILTER_BASE")
    else:
        found.good.append(f"device: {devices.describe_device(device)}")


def _check_command(command: list[str], version: tuple[int, ...], found: Findings) -> None:
    if "--external_reconstruct" in command:
        found.good.append("--external_reconstruct is given")
    elif "--continue" in command and version and version[0] < 5:
        found.good.append("--continue keeps --external_reconstruct as it was")
    else:
        found.errors.append("the refine command lacks --external_reconstruct, so nothing would be corrected")
    if "--blush" in command:
        found.errors.append("--blush takes the place of --external_reconstruct; leave it out")
    several_hosts = any(
        word.startswith(("--hostfile", "-hostfile", "--host", "-host", "--machinefile")) for word in command
    )
    several_hosts = several_hosts or int(os.environ.get("SLURM_NNODES", "1") or 1) > 1
    exported = any(VARIABLE in word for word in command)
    if several_hosts and "mpirun" in " ".join(command) and not exported:
        found.warnings.append(f"several hosts: add -x {VARIABLE} (and -x ISONET_...) to mpirun")
    if "--sequential_halves_recons" in command:
        found.good.append("halves one after the other: each is corrected alone")
    if option_value(command, "--gpu") is None and "--gpu" not in command:
        found.good.append("RELION aligns on the CPU")


def _check_grids(command: list[str], found: Findings) -> None:
    """Compare the boxes of mask and reference."""
    boxes = {}
    for option in ("--ref", "--solvent_mask"):
        name = option_value(command, option)
        if name is None or name == "None" or name.endswith(".star"):
            continue
        try:
            boxes[option] = read_volume(Path(name), 1.0).box
        except SpisonetError as error:
            found.errors.append(f"{option}: {error}")
    if len(set(boxes.values())) > 1:
        found.errors.append(
            f"the mask has a box of {boxes['--solvent_mask']} voxels, the reference one of {boxes['--ref']}"
        )
    elif boxes:
        found.good.append("boxes of " + " and ".join(boxes) + f": {next(iter(boxes.values()))} voxels")
    if "--solvent_mask" not in boxes:
        found.warnings.append("no --solvent_mask: a sphere of the particle's diameter takes its place")


def _own_path() -> str:
    beside = Path(sys.executable).parent / EXECUTABLE
    return str(beside) if beside.is_file() else EXECUTABLE
