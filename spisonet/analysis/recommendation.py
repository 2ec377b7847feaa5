"""The processing that a diagnosis recommends: a headline, the reasons with their numbers, and commands."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from spisonet.analysis.fsc_metrics import DIRECTION_CONE_DEGREES, FSC_THRESHOLD_HALF_MAPS
from spisonet.analysis.orientation_diagnostics import (
    CFAR_LIMIT,
    LOW_CORRELATION_FRACTION_LIMIT,
    PSF_ASPECT_RATIO_LIMIT,
    SCF_SIDE_VIEWS,
    Strategy,
)
from spisonet.geometry.view_sampling import UNDERSAMPLED_FRACTION_LIMIT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from spisonet.analysis.orientation_diagnostics import Diagnosis, ParticleSampling

HEADLINES = {
    Strategy.NONE: "No correction needed.",
    Strategy.ANISOTROPY: "Anisotropy correction of the half maps.",
    Strategy.MISALIGNMENT: "Misalignment correction during refinement, then anisotropy correction.",
    Strategy.POSE_DRIFT: "Correction of the drifted poses from the particles, then anisotropy correction.",
    Strategy.SEVERE: "Severe anisotropy: collect side views; refine with the low-resolution reference kept, "
    "then correct the anisotropy.",
}


class ParticleKind(Enum):
    """Kind of particles: its name in sentences."""

    IMAGES = "particles"
    SUBTOMOGRAMS = "subtomograms"
    HELICAL_SEGMENTS = "helical segments"


REFINED_AGAIN_HEADLINE = "A new refinement of the drifted {kind}, then anisotropy correction."
REFINE_AGAIN = "# refine the {kind} again with a global angular search"
CORRECT_SUBTOMOGRAMS = "export ISONET_SUBTOMOGRAMS=True"
REFINE = (
    "export RELION_EXTERNAL_RECONSTRUCT_EXECUTABLE=$(command -v spisonet-relion-reconstruct)",
    "mpirun -n 3 relion_refine_mpi --external_reconstruct --auto_refine --split_random_halves {mask}...",
)
NO_SYMMETRY = (
    " If the refinement imposed a symmetry, give it with --sym; otherwise views appear to be missing."
)
RESCUE_FOLDER = "rescue"
UNKNOWN_JOB = "REFINE3D_JOB_FOLDER"
DRIFT_IS_INVISIBLE = (
    "Half maps alone cannot show whether poses have drifted, because both halves then agree on the same "
    f"wrong density. If the maps are from a RELION refinement, spisonet relion rescue {UNKNOWN_JOB} measures "
    "the drift from its particles (STAR file and images) and corrects the poses."
)
KEEP_REFERENCE = (
    "export ISONET_KEEP_LOWRES=True  # only if the initial reference is not a map of these particles"
)


@dataclass(frozen=True)
class Recommendation:
    """Recommended processing.

    Attributes
    ----------
    headline : str
        The strategy in a sentence.
    reasons : list of str
        The reasons, with the numbers that decided.
    commands : list of str
        Lines for a shell, in order; those of a refinement have to be completed with the user's own options.
    """

    headline: str
    reasons: list[str]
    commands: list[str]


def recommend(
    diagnosis: Diagnosis,
    half1: Path,
    half2: Path,
    mask: Path | None,
    sym: str = "c1",
    apix: float | None = None,
    star: Path | None = None,
    kind: ParticleKind = ParticleKind.IMAGES,
) -> Recommendation:
    """Describe the strategy of a diagnosis.

    Parameters
    ----------
    diagnosis : Diagnosis
        The measurements.
    half1, half2, mask : Path
        The files of the half maps and the mask, for the commands.
    sym : str
        Point group of the particle.
    apix : float, optional
        Voxel size in Å, if it was given instead of that of the headers.
    star : Path, optional
        Particle STAR file of the refinement.
    kind : ParticleKind
        Kind of its particles.
    """
    headline, reasons = HEADLINES[diagnosis.strategy], _reasons(diagnosis, sym)
    is_anisotropic = diagnosis.strategy in (Strategy.ANISOTROPY, Strategy.SEVERE)
    if is_anisotropic and diagnosis.drift is None and kind is ParticleKind.IMAGES:
        reasons.append(DRIFT_IS_INVISIBLE)
    if diagnosis.strategy is not Strategy.POSE_DRIFT:
        return Recommendation(headline, reasons, _commands(diagnosis, half1, half2, mask, sym, apix, kind))
    if kind is not ParticleKind.IMAGES:
        reasons.append(
            f"The poses of {kind.value} are not corrected by relion rescue: refine them again with a global "
            "angular search, and measure the drift of the result."
        )
        commands = [REFINE_AGAIN.format(kind=kind.value), *_refinement(mask, sym, kind)]
        return Recommendation(REFINED_AGAIN_HEADLINE.format(kind=kind.value), reasons, commands)
    return Recommendation(headline, reasons, _rescue_commands(mask, sym, star))


def _reasons(diagnosis: Diagnosis, sym: str) -> list[str]:
    metrics, measured, particles = diagnosis.metrics, diagnosis.measured, diagnosis.particles
    directional, limit = metrics.directional_0143, diagnosis.fsc.limit_resolution_angstrom
    reasons = [
        f"Resolution by direction (FSC {FSC_THRESHOLD_HALF_MAPS}, cones of {DIRECTION_CONE_DEGREES:g}°): "
        f"best {directional.best}, worst {directional.worst}. cFAR {metrics.cfar:.2f} "
        f"(a problem below {CFAR_LIMIT}), sphericity {metrics.sphericity:.2f}.",
        f"{_percent(measured.undersampled_fraction)} of Fourier space to {limit:.1f} Å is undersampled: less "
        f"than a quarter of the mean view density (a problem from {_percent(UNDERSAMPLED_FRACTION_LIMIT)}).",
    ]
    if particles is not None and not particles.is_consistent:
        reasons.append(
            "Particle angles and half maps are inconsistent: almost no particle samples "
            f"{_percent(particles.inconsistent_fraction)} of the well-measured coefficients. The angles are "
            "ignored. Give the particle STAR file of this refinement and, with --sym, its symmetry."
        )
    elif particles is not None:
        undersampled, scf = particles.sampling.undersampled_fraction, particles.scf
        reasons.append(
            f"By the angles of {particles.n_particles:,} particles {_percent(undersampled)} is undersampled; "
            f"SCF* is {scf:.2f} (1 for uniform views, {SCF_SIDE_VIEWS} for side views about one axis)."
        )
    reasons.append(
        "Aspect ratio of the point spread function: "
        f"{diagnosis.sampling.psf_aspect_ratio:.1f} (severe from {PSF_ASPECT_RATIO_LIMIT:g})."
    )
    if diagnosis.drift is None:
        reasons.append(_about_misalignment(diagnosis.consistent_particles, sym))
    else:
        reasons.append(f"{diagnosis.drift.sentence} Errors of single particles are not measured.")
    if diagnosis.strategy is Strategy.POSE_DRIFT:
        reasons.append(
            "Half maps of drifted poses agree on wrong density, which no filter of the map corrects: correct "
            "the poses first."
        )
    if diagnosis.strategy is Strategy.ANISOTROPY and diagnosis.drift is None:
        reasons.append(
            "Preferred orientation can also misalign particles in a refinement. If helices and strands look "
            "distorted rather than smeared, correct the misalignment in a refinement first."
        )
    if diagnosis.strategy is Strategy.SEVERE:
        reasons.append(
            "Much of Fourier space is unmeasured. Side views, from a tilted stage or another support, "
            "help more than any correction. Until then, a reliable low-resolution reference keeps the "
            "refinement from misaligning particles."
        )
    return reasons


def _about_misalignment(particles: ParticleSampling | None, sym: str) -> str:
    limit = _percent(LOW_CORRELATION_FRACTION_LIMIT)
    if particles is None:
        return (
            "Misalignment was not tested: give the particle STAR file (--star) to compare angular sampling "
            "with the measured correlation."
        )
    found = (
        f"{_percent(particles.low_correlation_fraction)} of the well-sampled coefficients correlate poorly "
        f"(misalignment from {limit}): "
    )
    if particles.low_correlation_fraction >= LOW_CORRELATION_FRACTION_LIMIT:
        return (
            f"{found}the particles in these directions are misaligned or damaged."
            f"{NO_SYMMETRY if sym.upper() == 'C1' else ''}"
        )
    return f"{found}no sign of misalignment. Errors that affect all directions equally are not detected."


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.0f} %"


def _rescue_commands(mask: Path | None, sym: str, star: Path | None) -> list[str]:
    """Return the lines that correct drifted poses, and then the anisotropy of the new half maps."""
    job = star.parent if star is not None and star.name.startswith("run_") else UNKNOWN_JOB
    mask_option = [] if mask is None else ["--mask", str(mask)]
    rescue = ["spisonet", "relion", "rescue", str(job), "--o", RESCUE_FOLDER, *mask_option, "--sym", sym]
    halves = [f"{RESCUE_FOLDER}/run_half{half}_class001_unfil.mrc" for half in (1, 2)]
    return [shlex.join(rescue), shlex.join(["spisonet.py", "reconstruct", *halves, *mask_option])]


def _commands(
    diagnosis: Diagnosis,
    half1: Path,
    half2: Path,
    mask: Path | None,
    sym: str,
    apix: float | None,
    kind: ParticleKind,
) -> list[str]:
    strategy = diagnosis.strategy
    if strategy is Strategy.NONE:
        return []
    limit = f"{diagnosis.fsc.limit_resolution_angstrom:.2f}"
    mask_option = [] if mask is None else ["--mask", str(mask)]
    apix_option = [] if apix is None else ["--apix", f"{apix:g}"]
    if strategy is Strategy.ANISOTROPY:
        words = [
            "spisonet.py",
            "reconstruct",
            str(half1),
            str(half2),
            *mask_option,
            "--limit_res",
            limit,
            *apix_option,
        ]
        return [shlex.join(words)]
    return _refinement(mask, sym, kind, [KEEP_REFERENCE] if strategy is Strategy.SEVERE else [])


def _refinement(mask: Path | None, sym: str, kind: ParticleKind, settings: Sequence[str] = ()) -> list[str]:
    """Return the lines of a new refinement through the hook, and those that follow it."""
    solvent = "" if mask is None else f"--solvent_mask {shlex.quote(str(mask))} "
    export, refine = (line.format(mask=solvent) for line in REFINE)
    of_subtomograms = kind is ParticleKind.SUBTOMOGRAMS
    new = ["NEW_HALF1", "NEW_HALF2"] + ([] if mask is None else ["--mask", str(mask)])
    tilts = ["--tomograms", "TOMOGRAMS.star"] if of_subtomograms else []
    return [
        export,
        *settings,
        *([CORRECT_SUBTOMOGRAMS] if of_subtomograms else []),
        refine,
        "# then, with the unfiltered half maps and the particles of that refinement:",
        shlex.join(["spisonet.py", "diagnose", *new, "--star", "NEW_DATA.star", *tilts, "--sym", sym]),
        shlex.join(["spisonet.py", "reconstruct", *new]),
    ]
