"""Particles and cases of the quality benchmark."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from benchmarks.quality.cases import SHAPES, CaseSpec, ConeCase, Particle, ParticleCase
from benchmarks.quality.densities import Helix
from benchmarks.quality.methods import Training
from benchmarks.quality.views import VIEWS

ACTIN_HELIX = Helix(rise_angstrom=27.5, twist_degrees=-166.6, n_subunits=5)
HAEMOGLOBIN = Particle("haemoglobin", "emd_3488.mrc", 100, 1.05, "C2")  # real density
# Boxes in which a small network trains within minutes on a CPU.
HEMAGGLUTININ = Particle("hemagglutinin", "hemagglutinin_1rvx_trimer.pdb", 72, 2.6, "C3")
APOFERRITIN = Particle("apoferritin", "apoferritin_7a4m.cif", 64, 2.6, "O")
RIBOSOME = Particle("ribosome30s", "ribosome30s_4v4r.pdb", 80, 3.6)
BETAGAL = Particle("betagal", "betagal_8bk7.cif", 72, 3.0, "D2")
ACTIN = Particle("actin", "actin_3mfp.pdb", 80, 3.0, helix=ACTIN_HELIX)
# Boxes that resolve helices and strands.
FINE = (
    Particle("hemagglutinin", "hemagglutinin_1rvx_trimer.pdb", 112, 1.7, "C3"),
    Particle("apoferritin", "apoferritin_7a4m.cif", 128, 1.4, "O"),
    Particle("ribosome30s", "ribosome30s_4v4r.pdb", 160, 1.9),
    Particle("betagal", "betagal_8bk7.cif", 128, 1.7, "D2"),
    Particle("actin", "actin_3mfp.pdb", 128, 1.9, helix=ACTIN_HELIX),
    HAEMOGLOBIN,
)
NOISE, NOISE_OF_REAL_MAPS = (1.0, 2.0), (1.5, 3.0)
POSE_ERRORS_DEGREES, DRIFT_DEGREES = (1.0, 3.0), 8.0
CONE_ANGLES_DEGREES = (45.0, 60.0)
N_PARTICLES = 6000


@dataclass(frozen=True)
class Profile:
    """Cases of a run, their seeds, and the length of the trainings."""

    cases: tuple[CaseSpec, ...]
    seeds: tuple[int, ...]
    training: Training


CPU_CASES: tuple[CaseSpec, ...] = (
    ParticleCase(HAEMOGLOBIN, "top", noise=3.0, symmetric=True),
    ParticleCase(HAEMOGLOBIN, "side", noise=1.5, pose_error_degrees=3.0),
    ParticleCase(HEMAGGLUTININ, "top", noise=2.0, symmetric=True),
    ParticleCase(HEMAGGLUTININ, "top", noise=1.0, drift_degrees=DRIFT_DEGREES),
    ParticleCase(APOFERRITIN, "two", noise=1.0, pose_error_degrees=3.0),
    ParticleCase(RIBOSOME, "side", noise=1.0),
    ParticleCase(BETAGAL, "top", noise=2.0, symmetric=True),
    ParticleCase(BETAGAL, "ring", noise=2.0, pose_error_degrees=3.0),
    ParticleCase(ACTIN, "side", noise=1.0),
    ConeCase(HAEMOGLOBIN, "wedge", 45.0),
    ConeCase(HEMAGGLUTININ, "cone", 60.0),
)


def gpu_cases() -> tuple[CaseSpec, ...]:
    """Return all particles with all views, noise levels, pose errors, drifts and symmetries, and cones."""
    particles = [
        ParticleCase(particle, views, noise, error, drift, symmetric, n_particles=N_PARTICLES)
        for particle, views, error, drift, symmetric in itertools.product(
            FINE, VIEWS, POSE_ERRORS_DEGREES, (0.0, DRIFT_DEGREES), (False, True)
        )
        for noise in (NOISE_OF_REAL_MAPS if particle.is_map else NOISE)
        # Even views have no preferred direction to drift from.
        if not (symmetric and particle.symmetry == "C1") and not (drift and views == "even")
    ]
    cones = [ConeCase(*values) for values in itertools.product(FINE, SHAPES, CONE_ANGLES_DEGREES)]
    return (*particles, *cones)


PROFILES = {
    "cpu": Profile(
        CPU_CASES,
        seeds=(1,),
        training=Training(4, 100, cube_size=32, filter_base=16, published_filter_base=16),
    ),
    "gpu": Profile(gpu_cases(), seeds=(1, 2, 3), training=Training()),
}
