"""What follows a rescue: commands for PostProcess and for a refinement through the hook, and warnings."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from relion_external.config import HALF_MAP_FILE, PARTICLES_FILE, REFERENCE_FILE
from relion_external.preflight import EXECUTABLE, VARIABLE
from relion_external.refinement import option_value

if TYPE_CHECKING:
    from pathlib import Path

    from relion_external.rescue_inputs import RescueInputs

REFERENCE_RESOLUTION_ANGSTROM = 30.0
LOCAL_HEALPIX_ORDER = 4
RECONSTRUCTED_FOLDER = "reconstructed"
DRIFTS_BACK = (
    "In a simulation a plain refinement from corrected poses (median error 1.4°) drifted back to 10.6°, and "
    "one through the hook ended at 3.8°. Use the corrected poses as they are (relion_postprocess), or "
    "refine through the hook (last commands) and run the rescue again on the result."
)
WITHOUT_ABERRATIONS = (
    "The half maps that are written lack aberrations in the particle STAR file: {columns}. Reconstruct half "
    "maps for PostProcess with relion_reconstruct (first lines below), which applies them."
)
UNKNOWN_COMMAND = (
    "The folder has no optimiser file of the first iterations, which contains the options of the refinement; "
    "the refine command below has default options."
)
# Options of the refine command that are replaced: with a value, and without.
REPLACED = {
    "--o", "--i", "--ref", "--ini_high", "--healpix_order", "--auto_local_healpix_order", "--sym",
    "--solvent_mask", "--continue", "--pipeline_control", "--low_resol_join_halves",
}  # fmt: skip
DROPPED = {"--firstiter_cc", "--external_reconstruct"}


def rescue_warnings(inputs: RescueInputs) -> list[str]:
    """Return what has to be known before the commands are used."""
    columns = ", ".join(inputs.particles.ignored_aberrations)
    warnings = [WITHOUT_ABERRATIONS.format(columns=columns)] if columns else []
    return [*warnings, DRIFTS_BACK] + ([] if inputs.refinement.command else [UNKNOWN_COMMAND])


def rescue_commands(folder: Path, inputs: RescueInputs) -> list[str]:
    """Return the lines for a shell, in order.

    Parameters
    ----------
    folder : Path
        Output folder of the rescue.
    inputs : RescueInputs
        Its inputs.
    """
    halves, lines = folder, []
    if inputs.particles.ignored_aberrations:
        halves = folder / RECONSTRUCTED_FOLDER
        lines = [f"mkdir -p {shlex.quote(str(halves))}", *_reconstruct(folder, halves, inputs.sym)]
    return [
        *lines,
        _postprocess(folder, halves, inputs),
        f"mkdir -p {shlex.quote(str(folder / 'refined'))}",
        f"export {VARIABLE}=$(command -v {EXECUTABLE})",
        _refine(folder, inputs),
    ]


def _reconstruct(folder: Path, halves: Path, sym: str) -> list[str]:
    particles = ["relion_reconstruct", "--i", str(folder / PARTICLES_FILE), "--ctf", "--sym", sym]
    return [
        shlex.join([*particles, "--subset", str(half), "--o", str(halves / HALF_MAP_FILE.format(half=half))])
        for half in (1, 2)
    ]


def _mask_words(option: str, inputs: RescueInputs) -> list[str]:
    return [] if inputs.mask_file is None else [option, str(inputs.mask_file)]


def _postprocess(folder: Path, halves: Path, inputs: RescueInputs) -> str:
    words = ["relion_postprocess", "--i", str(halves / HALF_MAP_FILE.format(half=1))]
    words += _mask_words("--mask", inputs)
    words += ["--angpix", f"{inputs.particles.pixel_size_angstrom:g}", "--auto_bfac"]
    return shlex.join([*words, "--o", str(folder / "postprocess")])


def _refine(folder: Path, inputs: RescueInputs) -> str:
    original = inputs.refinement.command
    order = option_value(original, "--auto_local_healpix_order") or str(LOCAL_HEALPIX_ORDER)
    replaced = {
        "--i": str(folder / PARTICLES_FILE),
        "--ref": str(folder / REFERENCE_FILE),
        "--ini_high": f"{REFERENCE_RESOLUTION_ANGSTROM:g}",
        "--sym": inputs.sym,
        "--healpix_order": order,
        "--auto_local_healpix_order": order,  # local searches from the first iteration on
        "--low_resol_join_halves": option_value(original, "--low_resol_join_halves") or "40",
        "--o": str(folder / "refined" / "run"),
    }
    words = ["mpirun", "-n", "3", "relion_refine_mpi", "--external_reconstruct"]
    words += [word for pair in replaced.items() for word in pair]
    words += _mask_words("--solvent_mask", inputs)
    return shlex.join(words + (_kept_options(original) if original else _default_options(inputs)))


def _default_options(inputs: RescueInputs) -> list[str]:
    """Return options for a refinement whose command is unknown."""
    diameter = inputs.refinement.particle_diameter_angstrom
    words = ["--auto_refine", "--split_random_halves", "--ctf", "--flatten_solvent", "--zero_mask"]
    return words if diameter is None else [*words, "--particle_diameter", f"{diameter:g}"]


def _kept_options(command: list[str]) -> list[str]:
    """Return the options of the refine command that stay as they were."""
    kept: list[str] = []
    keeps = True
    for word in command:
        if word.startswith("--"):
            keeps = word not in REPLACED | DROPPED
        if keeps:
            kept.append(word)
    return kept
