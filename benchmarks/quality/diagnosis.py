"""Accuracy of `diagnose` for simulated half maps with known views and poses.

    python benchmarks/quality/diagnosis.py --models FOLDER [--profile test|development] [--seed 1]
    python benchmarks/quality/diagnosis.py --models FOLDER --profile particles --maps FOLDER --folder FOLDER

The folder of models contains the coordinates named in `SMALL` and, for the profile ``development``, those of
actin (3MFP). Needs gemmi. Prints a Markdown table.

``particles``: the cases of the quality benchmark (profile ``cpu``), half maps that RELION reconstructs from
particles, and cases with even views, without pose errors and with few views of other directions. The images
are kept, so that a drift of the poses can be measured as the command does. Needs RELION.

``test``: four particles with views about one axis, about another axis, about two axes, and even views, all
with true poses. The expected strategy follows from the simulation: none for even views, severe for views
about one axis, anisotropy correction for two clusters. ``development``: the cases used to choose the
thresholds, with other view distributions and with wrong poses.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

sys.path.append(str(Path(__file__).parents[2]))  # the checkout
from benchmarks.quality.cases import Case as BenchmarkCase
from benchmarks.quality.cases import CaseSpec, ParticleCase, make_case
from benchmarks.quality.profiles import CPU_CASES, HEMAGGLUTININ, RIBOSOME
from benchmarks.quality.run_simulated import SMALL
from benchmarks.quality.simulate import SPREAD_DEGREES, Case, simulate
from benchmarks.quality.views import draw_views
from spisonet.analysis.config import DiagnoseConfig, Fsd3dConfig
from spisonet.analysis.half_maps import HalfMaps
from spisonet.analysis.orientation_diagnostics import Diagnosis, diagnose
from spisonet.analysis.particle_views import read_views
from spisonet.geometry.rotations import random_rotations, rotation_vector_matrices
from spisonet.io.mrc import Volume
from spisonet.learning.devices import choose_devices
from spisonet.misalignment.drift_measurement import DRIFT_RESOLUTION_ANGSTROM, measure_drift
from spisonet.misalignment.particle_images import read_particle_images
from tests.analysis.misaligned import simulate_misaligned
from tests.anisotropy.simulation import even_views, simulate_half_maps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Errors = Callable[[np.random.Generator], NDArray[np.float64]]

EXPECTED = {"top": "severe", "side": "severe", "two": "anisotropy", "even": "none"}
ACTIN = Case("actin", "actin_3mfp.pdb", 56, 3.0, 7.5, views="even")
# Cases without preferred views, without pose errors, and with few particles in other directions.
FURTHER_CASES = (
    ParticleCase(HEMAGGLUTININ, "even", noise=1.0),
    ParticleCase(RIBOSOME, "even", noise=2.0, pose_error_degrees=3.0),
    ParticleCase(RIBOSOME, "top", noise=0.5, pose_error_degrees=0.0),
    ParticleCase(HEMAGGLUTININ, "top", noise=1.0, share=0.9),
    ParticleCase(RIBOSOME, "top", noise=1.0, drift_degrees=8.0, share=0.9),
)
# Views about one axis (12 degrees) leave a cone of 61 degrees with less than a quarter of an even share, but
# only 47 degrees with less than 2 %: between the two strategies.
EXPECTED_OF_PARTICLES = {
    "top": "severe or anisotropy",
    "side": "severe or anisotropy",
    "two": "anisotropy",
    "ring": "none",
    "even": "none",
    "wedge": "severe or anisotropy",
    "cone": "anisotropy",
}
N_VIEWS, N_ERRORS = 3000, 12
HEAD = (
    "| particle | views | expected | found | from half maps alone | worst direction / best, Å | cFAR "
    "| sphericity | SCF* | undersampled, measured / sampled | PSF aspect ratio | poorly correlated "
    "| motion (p) | s |\n" + "|---" * 14 + "|"
)


@dataclass(frozen=True)
class Row:
    """A case, its expected strategy, and the diagnoses with and without particle angles."""

    name: str
    views: str
    expected: str
    with_angles: Diagnosis
    without: Diagnosis
    seconds: float


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--profile", choices=("test", "development", "particles"), default="test")
    parser.add_argument("--maps", type=Path, default=Path("maps"), help="of the profile particles")
    parser.add_argument("--folder", type=Path, default=Path("cases"), help="for cases of particles")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", nargs="*", type=int, help="numbers of particles or cases [default: all]")
    args = parser.parse_args()
    print(HEAD, flush=True)
    n_correct = n_correct_without = count = 0
    cases = {"test": test_cases, "development": development_cases, "particles": particle_cases}
    for row in cases[args.profile](args):
        print(line(row), flush=True)
        count += 1
        n_correct += row.with_angles.strategy in row.expected.split(" or ")
        n_correct_without += row.without.strategy in row.expected.split(" or ")
    print(f"\nCorrect: {n_correct} of {count}; from half maps alone {n_correct_without}.")


def test_cases(args: argparse.Namespace) -> Iterator[Row]:
    """Diagnose four particles with four view distributions."""
    for number, particle in enumerate(SMALL):
        if args.cases and number not in args.cases:
            continue
        for views, expected in EXPECTED.items():
            case = replace(particle, views=views)
            simulated = simulate(case, args.models, args.seed)
            angles = draw_views(views, N_VIEWS, SPREAD_DEGREES, np.random.default_rng(args.seed))
            halves = [simulated.half1, simulated.half2, simulated.mask]
            yield diagnose_case(case.name, views, expected, halves, case.voxel_size, angles)


def particle_cases(args: argparse.Namespace) -> Iterator[Row]:
    """Diagnose half maps that RELION reconstructs from particles, with a drift measured on the images."""
    for number, spec in enumerate((*CPU_CASES, *FURTHER_CASES)):
        if args.cases is None or number in args.cases:
            yield diagnose_particles(spec, make_case(spec, args.folder, args.models, args.maps, True))


def diagnose_particles(spec: CaseSpec, case: BenchmarkCase) -> Row:
    """Diagnose a case of the quality benchmark."""
    volumes, star = [case.half1, case.half2, case.mask], case.particles_star
    kind = spec.views if isinstance(spec, ParticleCase) else spec.shape
    expected = EXPECTED_OF_PARTICLES[kind]
    if not isinstance(spec, ParticleCase) or star is None:
        return diagnose_case(spec.name, kind, expected, volumes, case.voxel_size_angstrom, None)
    particles = {"star_file": star, "map_dim": len(case.half1), "sym": spec.symmetry}
    views = read_views(Fsd3dConfig.from_options(particles)).directions
    start = time.perf_counter()
    row = diagnose_case(spec.name, kind, expected, volumes, case.voxel_size_angstrom, views)
    limit = row.without.fsc.limit_resolution_angstrom
    drift = measure_drift(
        read_particle_images(star),
        case.mask,
        spec.symmetry,
        max(DRIFT_RESOLUTION_ANGSTROM, limit),
        choose_devices("cpu")[0],
        DiagnoseConfig.model_fields["pose_drift_particles"].default,
    )
    return replace(
        row,
        expected="pose_drift" if spec.drift_degrees else expected,
        with_angles=replace(row.with_angles, drift=drift),
        seconds=time.perf_counter() - start,
    )


def development_cases(args: argparse.Namespace) -> Iterator[Row]:
    """Diagnose views of actin, with true and with wrong poses."""
    simulated = simulate(ACTIN, args.models, args.seed)
    truth, limit = simulated.truth, ACTIN.limit_shell
    for name, expected, angles in true_poses():
        halves = [*simulate_half_maps(truth, angles, limit), simulated.mask]
        yield diagnose_case(ACTIN.name, name, expected, halves, ACTIN.voxel_size, angles)
    for name, expected, good, wrong, errors in wrong_poses():
        halves, angles = simulate_misaligned(truth, good, wrong, errors, limit)
        yield diagnose_case(ACTIN.name, name, expected, [*halves, simulated.mask], ACTIN.voxel_size, angles)


def cluster(axis: tuple[float, float, float], spread: float, n: int = N_VIEWS) -> NDArray[np.float64]:
    """Draw views about an axis."""
    views = np.array(axis) + np.tan(np.radians(spread)) * np.random.default_rng(0).normal(size=(n, 3))
    return np.asarray(views / np.linalg.norm(views, axis=1, keepdims=True))


def true_poses() -> Iterator[tuple[str, str, NDArray[np.float64]]]:
    """Yield name, expected strategy and views; severe is a missing cone of 55 degrees or more."""
    for spread in (4, 8, 16, 20, 25, 40):
        expected = "severe" if spread <= 8 else "anisotropy" if spread <= 25 else "none"
        yield f"one axis, {spread}°", expected, cluster((0, 0, 1), spread)
    for angle in (50, 70, 90):
        other = (np.sin(np.radians(angle)), 0.0, np.cos(np.radians(angle)))
        half = N_VIEWS // 2
        yield (
            f"two axes {angle}° apart, 8°",
            "anisotropy",
            np.concatenate([cluster((0, 0, 1), 8, half), cluster(other, 8, half)]),
        )
    azimuth = np.random.default_rng(1).uniform(0, 2 * np.pi, N_VIEWS)
    yield (
        "side views all around one axis",
        "none",
        np.stack([np.cos(azimuth), np.sin(azimuth), np.zeros(N_VIEWS)], axis=1),
    )
    for percent in (5, 20, 50):
        n_even = N_VIEWS * percent // 100
        views = np.concatenate([cluster((0, 0, 1), 8, N_VIEWS - n_even), even_views(n_even)])
        yield f"one axis, 8°, and {percent} % even", "none" if percent == 50 else "anisotropy", views


def wrong_poses() -> Iterator[tuple[str, str, NDArray[np.float64], NDArray[np.float64], Errors]]:
    """Yield name, expected strategy, views with true and with wrong poses, and a generator of pose errors."""

    def any_rotation(rng: np.random.Generator) -> NDArray[np.float64]:
        return random_rotations(N_ERRORS, rng)

    def rotated_by(degrees: float, upright: bool = False) -> Errors:
        def draw(rng: np.random.Generator) -> NDArray[np.float64]:
            axes = rng.normal(size=(N_ERRORS, 3)) * ([1, 1, 0] if upright else [1, 1, 1])
            axes /= np.linalg.norm(axes, axis=1, keepdims=True)
            return rotation_vector_matrices(
                axes * np.radians(rng.normal(degrees, degrees / 4, (N_ERRORS, 1)))
            )

        return draw

    for percent in (15, 40):
        n_wrong = N_VIEWS * percent // 100
        good = cluster((0, 0, 1), 8, N_VIEWS - n_wrong)
        yield (
            f"one axis, {percent} % at random poses",
            "misalignment",
            good,
            even_views(n_wrong),
            any_rotation,
        )
    drifted = cluster((0, 0, 1), 18, N_VIEWS * 9 // 10)
    good = even_views(N_VIEWS // 10)
    yield "10 % even, the rest drifted 16° from one axis", "misalignment", good, drifted, rotated_by(16, True)
    half = N_VIEWS // 2
    good, wrong = cluster((0, 0, 1), 8, half), cluster((0.77, 0, 0.64), 8, half)
    yield "two axes, one of them 15° off", "misalignment", good, wrong, rotated_by(15)
    yield "even, errors of 3°", "none", even_views(30), even_views(N_VIEWS), rotated_by(3)


def diagnose_case(
    name: str,
    views: str,
    expected: str,
    volumes: list[NDArray[np.float32]],
    voxel_size: float,
    angles: NDArray[np.float64] | None,
) -> Row:
    """Diagnose half 1 and half 2 with a mask, given as `volumes`."""
    maps = HalfMaps(*(Volume(volume.astype(np.float32), voxel_size) for volume in volumes))
    start = time.perf_counter()
    found = diagnose(maps, None, 2, angles, 0 if angles is None else len(angles))
    return Row(name, views, expected, found, replace(found, particles=None), time.perf_counter() - start)


def line(row: Row) -> str:
    """Return a case as a row of the table."""
    found, particles, drift = row.with_angles, row.with_angles.particles, row.with_angles.drift
    directional = found.metrics.directional_0143.angstrom
    scf, undersampled, aspect_ratio, poorly = ("-",) * 4
    if particles is not None:
        scf, poorly = f"{particles.scf:.2f}", f"{particles.low_correlation_fraction:.2f}"
        undersampled = f"{particles.sampling.undersampled_fraction:.2f}"
        aspect_ratio = f"{particles.sampling.psf_aspect_ratio:.2f}"
    motion = "-" if drift is None else f"{drift.motion_degrees:.1f}° ({drift.p_value:.2g})"
    return (
        f"| {row.name} | {row.views} | {row.expected} | {found.strategy} | {row.without.strategy} "
        f"| {directional.max():.1f} / {directional.min():.1f} | {found.metrics.cfar:.2f} "
        f"| {found.metrics.sphericity:.2f} | {scf} "
        f"| {found.measured.undersampled_fraction:.2f} / {undersampled} "
        f"| {found.measured.psf_aspect_ratio:.2f} / {aspect_ratio} "
        f"| {poorly} | {motion} | {row.seconds:.0f} |"
    )


if __name__ == "__main__":
    main()
