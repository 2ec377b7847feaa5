"""What to do about a diagnosis, in plain words, and why."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spisonet.analysis.orientation_diagnostics import (
    CFAR_LIMIT,
    POOR_SHARE,
    SCF_EVEN,
    SEVERE_PSF_ASPECT_RATIO,
    Strategy,
)
from spisonet.geometry.view_sampling import UNEVEN

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.analysis.orientation_diagnostics import Diagnosis, Particles

HEADLINES = {
    Strategy.NONE: "No correction needed.",
    Strategy.ANISOTROPY: "Fast anisotropy correction.",
    Strategy.MISALIGNMENT: "Misalignment correction, then anisotropy correction.",
    Strategy.SEVERE: "Severe case: refine with the low-resolution reference kept, then correct the "
    "anisotropy; and collect more side views.",
}
REFINE = (
    "export RELION_EXTERNAL_RECONSTRUCT_EXECUTABLE=$(command -v spisonet-relion-reconstruct)",
    "mpirun -n 3 relion_refine_mpi --external_reconstruct --auto_refine --split_random_halves {mask}...",
)
NO_SYMMETRY = (
    " If the refinement imposed a symmetry, give it with --sym: without it views seem to be missing."
)
KEEP_REFERENCE = "export ISONET_KEEP_LOWRES=True  # up to --ini_high of the refinement"


@dataclass(frozen=True)
class Advice:
    """What to do.

    Attributes
    ----------
    headline : str
        The strategy in a sentence.
    reasons : list of str
        Why, with the numbers that decided.
    commands : list of str
        Lines for a shell, in order; those of a refinement want the rest of the user's own options.
    """

    headline: str
    reasons: list[str]
    commands: list[str]


def advise(
    diagnosis: Diagnosis,
    half1: Path,
    half2: Path,
    mask: Path | None,
    sym: str = "c1",
    apix: float | None = None,
) -> Advice:
    """Put the strategy of a diagnosis in words.

    Parameters
    ----------
    diagnosis : Diagnosis
        What was measured.
    half1, half2, mask : Path
        The files it is of, for the commands.
    sym : str
        Point group of the particle.
    apix : float, optional
        Voxel size in Å that was given because the headers do not tell it.
    """
    return Advice(
        HEADLINES[diagnosis.strategy],
        _reasons(diagnosis, sym),
        _commands(diagnosis, half1, half2, mask, sym, apix),
    )


def _reasons(diagnosis: Diagnosis, sym: str) -> list[str]:
    metrics, measured, particles = diagnosis.metrics, diagnosis.measured, diagnosis.particles
    directional, limit = metrics.directional_0143_angstrom, diagnosis.fsc3d.limit_resolution_angstrom
    reasons = [
        f"Resolution is {directional.min():.1f} to {directional.max():.1f} Å by direction, "
        f"cFAR {metrics.cfar:.2f} (a problem below {CFAR_LIMIT}), sphericity {metrics.sphericity:.2f}.",
        f"{_percent(measured.undersampled_fraction)} of Fourier space to {limit:.1f} Å is undersampled: "
        f"less than a quarter of the mean view density (a problem from {_percent(UNEVEN)}).",
    ]
    if particles is not None and not particles.belong:
        reasons.append(
            "Particle angles and half maps are inconsistent: almost no particle samples "
            f"{_percent(particles.inconsistent_fraction)} of the well-measured coefficients. The angles are "
            "ignored. Give the particle STAR file of this refinement and, with --sym, its symmetry."
        )
    elif particles is not None:
        sparse, scf = particles.coverage.undersampled_fraction, particles.scf
        reasons.append(
            f"The angles of {particles.n_particles:,} particles leave {_percent(sparse)} so sparsely "
            f"sampled; SCF* is {scf:.2f} (1 for even views, {SCF_EVEN} for side views from all around)."
        )
    reasons.append(
        f"Such a coverage smears a point to {diagnosis.collected.psf_aspect_ratio:.1f} times its width "
        f"(severe from {SEVERE_PSF_ASPECT_RATIO:g})."
    )
    reasons.append(_about_misalignment(diagnosis.trusted, sym))
    if diagnosis.strategy is Strategy.ANISOTROPY:
        reasons.append(
            "Uneven views also make refinements drift. Where helices and strands look distorted rather than "
            "smeared, let a refinement correct the misalignment first."
        )
    if diagnosis.strategy is Strategy.SEVERE:
        reasons.append(
            "So much is missing that side views, from a tilted stage or another support, help more than any "
            "correction. Until then a trusted low-resolution reference keeps the refinement from drifting."
        )
    return reasons


def _about_misalignment(particles: Particles | None, sym: str) -> str:
    if particles is None:
        return (
            "Misalignment cannot be told from half maps alone: the particles of the refinement (--star) tell "
            "whether what was sampled also correlates."
        )
    found = (
        f"{_percent(particles.low_correlation_fraction)} of what the angles sampled well correlates poorly "
    )
    if particles.low_correlation_fraction >= POOR_SHARE:
        return (
            f"{found}(misalignment from {_percent(POOR_SHARE)}): the particles there have wrong angles, or "
            "are no good particles." + (NO_SYMMETRY if sym.upper() == "C1" else "")
        )
    return (
        f"{found}(misalignment from {_percent(POOR_SHARE)}): no sign of misalignment, though errors that "
        "blur all directions alike would not show."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _commands(
    diagnosis: Diagnosis, half1: Path, half2: Path, mask: Path | None, sym: str, apix: float | None
) -> list[str]:
    strategy = diagnosis.strategy
    if strategy is Strategy.NONE:
        return []
    limit = f"{diagnosis.fsc3d.limit_resolution_angstrom:.2f}"
    given = [] if mask is None else ["--mask", str(mask)]
    size = [] if apix is None else ["--apix", f"{apix:g}"]
    correct = shlex.join(
        ["spisonet.py", "reconstruct", str(half1), str(half2), *given, "--limit_res", limit, *size]
    )
    if strategy is Strategy.ANISOTROPY:
        return [correct]
    solvent = "" if mask is None else f"--solvent_mask {shlex.quote(str(mask))} "
    refine = [line.format(mask=solvent) for line in REFINE]
    if strategy is Strategy.SEVERE:
        refine.insert(1, KEEP_REFERENCE)
    return [
        *refine,
        "# then, with the unfiltered half maps and the particles of that refinement:",
        shlex.join(
            [
                "spisonet.py",
                "diagnose",
                "NEW_HALF1",
                "NEW_HALF2",
                *given,
                "--star",
                "NEW_DATA.star",
                "--sym",
                sym,
            ]
        ),
        shlex.join(["spisonet.py", "reconstruct", "NEW_HALF1", "NEW_HALF2", *given]),
    ]
