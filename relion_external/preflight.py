"""``--check``: find what would go wrong before iteration 1."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from relion_external.options import SETTINGS_FILE, obsolete_variables, read_settings, with_variable
from relion_external.refine_command import REFINE_PROGRAMS, RefineCommand, read_refine_command
from relion_external.refinement import GRADIENT_MESSAGE, GRADIENT_OPTIONS, KEEP_LOWRES_OPTION
from spisonet.errors import SpisonetError
from spisonet.io.mrc import read_volume
from spisonet.io.tilt_series import read_optimisation_set, read_projection_directions
from spisonet.misalignment.reference_check import check_reference
from spisonet.misalignment.settings import MisalignmentSettings

if TYPE_CHECKING:
    from relion_external.config import CheckRefinementConfig

VARIABLE = "RELION_EXTERNAL_RECONSTRUCT_EXECUTABLE"
EXECUTABLE = "spisonet-relion-reconstruct"
VERSION_TIMEOUT_SECONDS = 60
VERSION = re.compile(r"version:?\s*(\d+(?:\.\d+)*)")
HOST_OPTIONS = ("--hostfile", "-hostfile", "--host", "-host", "--machinefile")

Level = Literal["ok", "warning", "error"]
LEVELS: tuple[Level, ...] = ("ok", "warning", "error")  # in the order in which they are printed


@dataclass(frozen=True)
class Finding:
    """One result of the check.

    Attributes
    ----------
    level : str
        ``ok``, ``warning``, or ``error`` where the refinement would fail or would not be corrected.
    code : str
        Kind of finding, for programs, such as ``box_mismatch``.
    message : str
        What the user reads.
    """

    level: Level
    code: str
    message: str


def run_check(words: list[str], as_json: bool = False) -> int:
    """Check the machine, the settings and, if given, a refinement; print the findings.

    Parameters
    ----------
    words : list of str
        See `find_problems`.
    as_json : bool
        Print a JSON list of objects with ``level``, ``code`` and ``message`` instead of text.

    Returns
    -------
    int
        Exit status: 1 if there is an error.

    Raises
    ------
    SpisonetError
        If neither a job folder nor a refine command is given; with `as_json` this is a finding.
    """
    try:
        findings = find_problems(words)
    except SpisonetError as error:
        if not as_json:
            raise
        findings = [Finding("error", error.code, str(error))]
    if as_json:
        sys.stdout.write(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(_as_text(findings))
    return int(any(finding.level == "error" for finding in findings))


def run_check_command(config: CheckRefinementConfig) -> None:
    """Run the check as a command; see `run_check`."""
    sys.exit(run_check([config.refinement] if config.refinement else [], config.as_json))


def find_problems(words: list[str]) -> list[Finding]:
    """Check the machine, the settings and, if given, a refinement.

    Parameters
    ----------
    words : list of str
        A job folder, a refine command as one word or as many, or nothing.

    Returns
    -------
    list of Finding
        What is in order first, then warnings, then errors.

    Raises
    ------
    SpisonetError
        If neither a job folder nor a refine command is given.
    """
    command = read_refine_command(words)
    settings, findings = _check_settings(command.folder)
    findings.append(_check_variable())
    version, relion = _check_relion(command.version)
    findings += [relion, _check_device(settings)]
    if command.words:
        findings += [*_check_command(command, version), _plan(command, settings), *_check_boxes(command)]
        findings += _check_optimisation_set(command)
        findings += _check_initial_reference(command, settings)
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))


def _as_text(findings: list[Finding]) -> str:
    words: dict[Level, str] = {"ok": "ok", "warning": "WARNING", "error": "ERROR"}
    lines = [f"  {words[finding.level]:<8} {finding.message}" for finding in findings]
    lines += ["", "Run this line before relion_refine, or add it to the submission script:"]
    return "\n".join([*lines, f"  export {VARIABLE}={_quoted(_own_path())}"]) + "\n"


def _check_settings(folder: Path | None) -> tuple[MisalignmentSettings, list[Finding]]:
    folders = [Path(), *([folder] if folder is not None else [])]
    try:
        settings = read_settings(os.environ, folders)
    except SpisonetError as error:
        return MisalignmentSettings.model_validate({}), [Finding("error", error.code, str(error))]
    fields = type(settings).model_fields
    changed = {name: value for name, value in settings.model_dump().items() if value != fields[name].default}
    chosen = ", ".join(f"{name.upper()}={value}" for name, value in changed.items()) or "all defaults"
    findings = [Finding("ok", "settings", f"Settings (environment and {SETTINGS_FILE}): {chosen}")]
    obsolete = obsolete_variables(os.environ)
    if obsolete:
        findings.append(Finding("ok", "obsolete_variables", " ".join(obsolete).rstrip(".")))
    if settings.joint:
        findings.append(
            Finding(
                "warning",
                "halves_not_independent",
                "ISONET_JOINT=True: the half maps are NOT independent, so their FSC overestimates the "
                "resolution",
            )
        )
    return settings, findings


def _check_variable() -> Finding:
    value = os.environ.get(VARIABLE)
    if value is None:
        return Finding(
            "error", "variable_missing", f"{VARIABLE} is not exported, so RELION would not call {EXECUTABLE}"
        )
    try:
        words = shlex.split(value)
    except ValueError:  # an unclosed quote
        words = []
    program = shutil.which(words[0]) if words else None
    if program is None and shutil.which(value.strip()):
        return Finding(
            "error",
            "variable_unquoted",
            f"{VARIABLE}={value} contains a blank, at which the shell that RELION starts splits it: "
            f"export {VARIABLE}={_quoted(value.strip())}",
        )
    if program is None:
        return Finding("error", "variable_not_executable", f"{VARIABLE}={value} is not an executable program")
    if EXECUTABLE not in value and "relion_external" not in value:
        return Finding("warning", "variable_other_program", f"{VARIABLE}={value} is not {EXECUTABLE}")
    return Finding("ok", "variable", f"{VARIABLE}={value}")


def _check_relion(job_version: tuple[int, ...]) -> tuple[tuple[int, ...], Finding]:
    """Compare RELION on PATH with the version that made the job; return the version that will run."""
    program = next((path for name in reversed(REFINE_PROGRAMS) if (path := shutil.which(name))), None)
    if program is None:
        return job_version, Finding("warning", "relion_not_found", "relion_refine is not on PATH here")
    version = relion_version(program)
    shown = ".".join(map(str, version)) or "of unknown version"
    if version and job_version and version[:2] != job_version[:2]:
        made = ".".join(map(str, job_version))
        return version, Finding(
            "error",
            "relion_version_mismatch",
            f"RELION {shown} is on PATH, but RELION {made} wrote the job's files",
        )
    return version or job_version, Finding("ok", "relion", f"RELION {shown} ({program})")


def relion_version(program: str) -> tuple[int, ...]:
    """Return the version that a program of RELION prints, such as ``(5, 0, 1)``; empty if there is none."""
    try:
        done = subprocess.run(
            [program, "--version"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=VERSION_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    match = VERSION.search(done.stdout + done.stderr)
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def _check_device(settings: MisalignmentSettings) -> Finding:
    devices = importlib.import_module("spisonet.learning.devices")  # PyTorch is slow to import
    try:
        device = devices.choose_devices(settings.device)[0]
    except SpisonetError as error:
        return Finding("error", "device_not_available", with_variable(error))
    if device.type == "cpu":
        return Finding(
            "warning",
            "no_gpu",
            "no GPU found, so training runs on the CPU; lower ISONET_N_SUBVOLUME and ISONET_FILTER_BASE",
        )
    return Finding("ok", "device", f"Device: {devices.describe_device(device)}")


def _check_command(command: RefineCommand, version: tuple[int, ...]) -> list[Finding]:
    findings = [_check_external_reconstruct(command, version)]
    if "--blush" in command.words:  # RELION 5 does not restore it with --continue
        findings.append(
            Finding("error", "blush", "--blush overrides --external_reconstruct; remove it from the command")
        )
    several_hosts = any(word.startswith(HOST_OPTIONS) for word in command.words)
    several_hosts = several_hosts or int(os.environ.get("SLURM_NNODES", "1") or 1) > 1
    exported = any(VARIABLE in word for word in command.words)
    if several_hosts and "mpirun" in " ".join(command.words) and not exported:
        findings.append(
            Finding(
                "warning",
                "variable_not_exported_to_hosts",
                f"the command runs on several hosts: add -x {VARIABLE} (and -x ISONET_...) to mpirun",
            )
        )
    if command.has("--sequential_halves_recons"):
        findings.append(
            Finding(
                "ok",
                "sequential_halves",
                "--sequential_halves_recons: each half is corrected by itself, one after the other",
            )
        )
    if not command.has("--gpu"):
        findings.append(Finding("ok", "alignment_on_cpu", "RELION aligns on the CPU (no --gpu)"))
    return findings


def _check_external_reconstruct(command: RefineCommand, version: tuple[int, ...]) -> Finding:
    if "--external_reconstruct" in command.words:
        return Finding("ok", "external_reconstruct", "--external_reconstruct is given")
    if "--continue" in command.words and version and version[0] < 5:
        return Finding("ok", "external_reconstruct", "--continue restores --external_reconstruct")
    return Finding(
        "error",
        "external_reconstruct_missing",
        "the refine command lacks --external_reconstruct, so nothing would be corrected; add it "
        "(in RELION's GUI: Running tab, Additional arguments)",
    )


def _plan(command: RefineCommand, settings: MisalignmentSettings) -> Finding:
    """Return what happens in the iterations of a refinement."""
    if command.has(*GRADIENT_OPTIONS):
        return Finding("error", "gradient_refinement", GRADIENT_MESSAGE)
    if command.has("--multibody_masks"):
        return Finding(
            "warning", "multi_body", "bodies of a multi-body refinement are not corrected in any iteration"
        )
    if command.has("--ios", "--tomograms") and not settings.subtomograms:
        return Finding(
            "warning",
            "subtomograms",
            "references of subtomograms are not corrected in any iteration without ISONET_SUBTOMOGRAMS=True; "
            "RELION gets its own maps",
        )
    thresholds = [
        f"the resolution is better than {settings.start_resolution:g} Å" if settings.start_resolution else "",
        f"the HEALPix order is at least {settings.start_healpix}" if settings.start_healpix else "",
    ]
    when = " and ".join(filter(None, thresholds)) or "the views are uneven"
    if command.has("--split_random_halves"):
        last = "the last one, which joins the halves, keeps RELION's map"
    else:
        n = command.value("--iter")
        last = f"the last one{f' ({n})' if n else ''} keeps RELION's maps of the classes"
    return Finding("ok", "iterations", f"Iterations are corrected where {when}; {last}")


def _check_boxes(command: RefineCommand) -> list[Finding]:
    """Compare the boxes of mask and reference."""
    findings: list[Finding] = []
    boxes = {}
    for option in ("--ref", "--solvent_mask"):
        name = command.value(option)
        if name is None or name == "None" or name.endswith(".star"):
            continue
        try:
            boxes[option] = read_volume(Path(name), 1.0).box
        except SpisonetError as error:
            findings.append(Finding("error", "map_not_readable", f"{option}: {error}"))
    if len(set(boxes.values())) > 1:
        findings.append(
            Finding(
                "error",
                "box_mismatch",
                f"the mask has a box of {boxes['--solvent_mask']} voxels, the reference one of "
                f"{boxes['--ref']}; resample the mask",
            )
        )
    elif boxes:
        findings.append(
            Finding("ok", "boxes", f"Box of {' and '.join(boxes)}: {next(iter(boxes.values()))} voxels")
        )
    if command.value("--solvent_mask") in (None, "None"):
        findings.append(
            Finding(
                "warning",
                "no_mask",
                "no --solvent_mask: a sphere of the particle diameter is used as the mask",
            )
        )
    return findings


def _check_optimisation_set(command: RefineCommand) -> list[Finding]:
    """Find the files that an optimisation set lists, and the tilts of its tomograms."""
    name, tomograms = command.value("--ios"), command.value("--tomograms")
    if name is None:
        return []
    try:
        files = read_optimisation_set(Path(name), None if tomograms is None else Path(tomograms))
        if files is None:
            return [Finding("error", "optimisation_set", f"--ios: {name} is not an optimisation set")]
        read_projection_directions(files[1])
    except SpisonetError as error:
        return [Finding("error", "optimisation_set", f"--ios: {error}")]
    return [Finding("ok", "optimisation_set", f"Particles and tomograms: {files[0]}, {files[1]}")]


def _check_initial_reference(command: RefineCommand, settings: MisalignmentSettings) -> list[Finding]:
    """Measure the anisotropy of the initial reference, if its low resolutions would be kept."""
    name, low_pass = command.value("--ref"), command.value("--ini_high")
    try:
        resolution = float(low_pass or 0)
        volume = None if name is None or resolution <= 0 else read_volume(Path(name))
    except (SpisonetError, ValueError):  # found by the other checks, or by RELION
        return []
    if volume is None or settings.keep_lowres == "no":
        return []
    found = check_reference(volume.data, volume.voxel_size_angstrom, resolution)
    measured = (
        f"the initial reference is {found.category}: its lowest agreement with its own envelope over the "
        f"directions is {found.agreement:.2f} to {found.resolution_angstrom:.0f} Å"
    )
    if found.category == "trusted":
        kept = f"its low resolutions are kept to {resolution:g} Å where the views are uneven"
        return [Finding("ok", "reference_trusted", f"{measured}; {kept}")]
    kept = (
        "it is kept because of ISONET_KEEP_LOWRES"
        if settings.keep_lowres == "yes" or command.has(KEEP_LOWRES_OPTION)
        else "it is not kept unless ISONET_KEEP_LOWRES=yes is set"
    )
    return [Finding("warning", f"reference_{found.category}", f"{measured}; {kept}")]


def _own_path() -> str:
    beside = Path(sys.executable).parent / EXECUTABLE
    return str(beside) if beside.is_file() else EXECUTABLE


def _quoted(program: str) -> str:
    """Quote a program for the shell of the user, and once more for that which RELION starts."""
    once = shlex.quote(program)
    return once if once == program else shlex.quote(once)
