"""Whether `diagnose` names the right strategy for simulated half maps whose views and poses are known.

    python benchmarks/quality/diagnosis.py --models FOLDER [--profile show|development] [--seed 1]

FOLDER of the models holds the coordinates named in `SMALL` and, for the profile ``development``, those of
actin (3MFP). Needs gemmi. Prints a Markdown table.

``show`` are four particles with views about one axis, about another, about two, and even. What is right is
decided by how the maps are simulated, with true poses: nothing is needed for even views; views about one axis
are the severe case; two clusters are what anisotropy correction is for. ``development`` are the cases that
the thresholds were chosen with: other particles' views, and particles with wrong poses.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from run import SMALL
from simulate import Case, draw_views, simulate

from spisonet.analysis.half_maps import HalfMaps
from spisonet.analysis.orientation_diagnostics import Diagnosis, diagnose
from spisonet.geometry.rotations import random_rotations, rotation_vector_matrices
from spisonet.io.mrc import Volume

sys.path.append(str(Path(__file__).parents[2]))
from tests.validation.misaligned import simulate_misaligned

from tests.anisotropy.simulation import even_views, simulate_half_maps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

RIGHT = {"top": "severe", "side": "severe", "two": "anisotropy", "even": "none"}
ACTIN = Case("actin", "actin_3mfp.pdb", 56, 3.0, 7.5, views="even")
N_VIEWS, N_ERRORS = 3000, 12
HEAD = (
    "| particle | views | right | found | from half maps alone | worst direction / best, Å | cFAR "
    "| sphericity | SCF* | sparse, measured / sampled | psf_aspect_ratio | poorly correlated | s |\n"
    + "|---" * 13
    + "|"
)


@dataclass(frozen=True)
class Row:
    """A case, what is right for it, and what was found with and without the particles' angles."""

    name: str
    views: str
    right: str
    with_angles: Diagnosis
    without: Diagnosis
    seconds: float


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--profile", choices=("show", "development"), default="show")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--cases", nargs="*", type=int, help="numbers of particles of the show [default: all]"
    )
    args = parser.parse_args()
    print(HEAD, flush=True)
    right = alone = count = 0
    for row in show(args) if args.profile == "show" else development(args):
        print(line(row), flush=True)
        count += 1
        right += row.with_angles.strategy == row.right
        alone += row.without.strategy == row.right
    print(f"\nRight: {right} of {count}; from half maps alone {alone}.")


def show(args: argparse.Namespace) -> Iterator[Row]:
    """Diagnose four particles with four kinds of views."""
    for number, particle in enumerate(SMALL):
        if args.cases and number not in args.cases:
            continue
        for views, right in RIGHT.items():
            case = replace(particle, views=views)
            simulated = simulate(case, args.models, args.seed)
            angles = draw_views(views, np.random.default_rng(args.seed))
            halves = [simulated.half1, simulated.half2, simulated.mask]
            yield judge(case.name, views, right, halves, case.voxel_size, angles)


def development(args: argparse.Namespace) -> Iterator[Row]:
    """Diagnose views of actin, with true and with wrong poses."""
    simulated = simulate(ACTIN, args.models, args.seed)
    truth, limit = simulated.truth, ACTIN.limit_shell
    for name, right, angles in true_poses():
        halves = [*simulate_half_maps(truth, angles, limit), simulated.mask]
        yield judge(ACTIN.name, name, right, halves, ACTIN.voxel_size, angles)
    for name, right, good, wrong, errors in wrong_poses():
        halves, angles = simulate_misaligned(truth, good, wrong, errors, limit)
        yield judge(ACTIN.name, name, right, [*halves, simulated.mask], ACTIN.voxel_size, angles)


def cluster(axis: tuple[float, float, float], spread: float, n: int = N_VIEWS) -> NDArray[np.float64]:
    """Draw views about an axis."""
    views = np.array(axis) + np.tan(np.radians(spread)) * np.random.default_rng(0).normal(size=(n, 3))
    return views / np.linalg.norm(views, axis=1, keepdims=True)


def true_poses() -> Iterator[tuple[str, str, NDArray[np.float64]]]:
    """Name, right strategy and views; severe is a missing cone of 55 degrees or more."""
    for spread in (4, 8, 16, 20, 25, 40):
        right = "severe" if spread <= 8 else "anisotropy" if spread <= 25 else "none"
        yield f"one axis, {spread}°", right, cluster((0, 0, 1), spread)
    for angle in (50, 70, 90):
        other = (np.sin(np.radians(angle)), 0.0, np.cos(np.radians(angle)))
        half = N_VIEWS // 2
        yield (
            f"two axes {angle}° apart, 8°",
            "anisotropy",
            np.concatenate([cluster((0, 0, 1), 8, half), cluster(other, 8, half)]),
        )
    turn = np.random.default_rng(1).uniform(0, 2 * np.pi, N_VIEWS)
    yield "all around one axis", "none", np.stack([np.cos(turn), np.sin(turn), np.zeros(N_VIEWS)], axis=1)
    for percent in (5, 20, 50):
        n_even = N_VIEWS * percent // 100
        views = np.concatenate([cluster((0, 0, 1), 8, N_VIEWS - n_even), even_views(n_even)])
        yield f"one axis, 8°, and {percent} % even", "none" if percent == 50 else "anisotropy", views


def wrong_poses() -> Iterator[tuple[str, str, NDArray[np.float64], NDArray[np.float64], Callable]]:
    """Name, right strategy, views with true and with wrong poses, and how these are wrong."""

    def anywhere(rng: np.random.Generator) -> NDArray[np.float64]:
        return random_rotations(N_ERRORS, rng)

    def turned(degrees: float, upright: bool = False) -> Callable[[np.random.Generator], NDArray[np.float64]]:
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
        yield f"one axis, {percent} % placed anywhere", "misalignment", good, even_views(n_wrong), anywhere
    drifted = cluster((0, 0, 1), 18, N_VIEWS * 9 // 10)
    good = even_views(N_VIEWS // 10)
    yield "10 % even, the rest drifted 16° from one axis", "misalignment", good, drifted, turned(16, True)
    half = N_VIEWS // 2
    good, wrong = cluster((0, 0, 1), 8, half), cluster((0.77, 0, 0.64), 8, half)
    yield "two axes, one of them 15° off", "misalignment", good, wrong, turned(15)
    yield "even, errors of 3°", "none", even_views(30), even_views(N_VIEWS), turned(3)


def judge(
    name: str,
    views: str,
    right: str,
    volumes: list[NDArray[np.float32]],
    voxel_size: float,
    angles: NDArray[np.float64],
) -> Row:
    """Diagnose half 1, half 2 and mask."""
    maps = HalfMaps(*(Volume(volume.astype(np.float32), voxel_size) for volume in volumes))
    start = time.perf_counter()
    found = diagnose(maps, None, 2, angles, len(angles))
    return Row(name, views, right, found, replace(found, particles=None), time.perf_counter() - start)


def line(row: Row) -> str:
    """Write a case as a line of the table."""
    found, particles = row.with_angles, row.with_angles.particles
    assert particles is not None
    directional = found.metrics.directional_0143_angstrom
    return (
        f"| {row.name} | {row.views} | {row.right} | {found.strategy} | {row.without.strategy} "
        f"| {directional.max():.1f} / {directional.min():.1f} | {found.metrics.cfar:.2f} "
        f"| {found.metrics.sphericity:.2f} | {particles.scf:.2f} "
        f"| {found.measured.undersampled_fraction:.2f} / {particles.coverage.undersampled_fraction:.2f} "
        f"| {found.measured.psf_aspect_ratio:.2f} / {particles.coverage.psf_aspect_ratio:.2f} "
        f"| {particles.low_correlation_fraction:.2f} | {row.seconds:.0f} |"
    )


if __name__ == "__main__":
    main()
