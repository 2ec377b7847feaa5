"""Null tests with known truth: noise half maps, a particle with a deleted domain, and mirrored half maps.

    python benchmarks/quality/nulls.py --models FOLDER --out FOLDER [--methods deconvolve learn] [--cases 0 1]
    python benchmarks/quality/nulls.py --models FOLDER --particles CASES --out FOLDER --methods prior

The folder of models contains the coordinates named in `SMALL`. Needs gemmi. Each test runs the command
`reconstruct`. The domain is a ball about the densest point at the end of the particle along the view axis,
which top views resolve least. It is deleted from the truth before the half maps are made; the mask still
includes it. Noise half maps are corrected with the 3D FSC of the particle.

With `--particles`, two cases of the quality benchmark are taken from that folder. RELION projects the
particle without its domain again, and particles of noise only; the noise half maps are corrected as any
others, and with the weight of the particle. The half maps are also mirrored.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

sys.path.append(str(Path(__file__).parents[2]))  # the checkout
from scipy import ndimage

from benchmarks.quality.cases import Case as BenchmarkCase
from benchmarks.quality.cases import ParticleCase, load_case
from benchmarks.quality.methods import Training, reconstruct_command
from benchmarks.quality.particles import TRUTH, reconstruct_particles
from benchmarks.quality.profiles import HEMAGGLUTININ, RIBOSOME
from benchmarks.quality.run_simulated import SMALL
from benchmarks.quality.simulate import simulate
from benchmarks.quality.trust import KnownTruth, recovery_in_mask
from spisonet.errors import SpisonetError
from spisonet.fourier.grids import centred_from_half, rfft3, shell_index_rfft
from spisonet.io.mrc import Volume, read_volume, write_volume

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Halves = list[NDArray[np.float32]]

RADIUS_ANGSTROM = 14.0
FIRST_SHELL = 4
FAINT = 1e-6  # of the density, where particles are noise only; RELION needs a map
PARTICLE_CASES = (
    ParticleCase(HEMAGGLUTININ, "top", noise=2.0, symmetric=True),
    ParticleCase(RIBOSOME, "side", noise=1.0),
)
TRAINING = Training(4, 150, cube_size=32, filter_base=16)
PRETRAINED = "pretrained"  # whose network has a width of its own
OPTIONS = {
    "deconvolve": ("--method", "deconvolve"),
    "prior": ("--method", "prior"),
    "learn": (),
    PRETRAINED: ("--pretrained", "default"),
}
HEAD = (
    "| particle | method | domain: mean density / sd of solvent, input | corrected | its pattern "
    "without it relative to with it, input | corrected | noise: FSC of the halves, unmeasured "
    "| noise: measured | noise with weight: unmeasured | measured "
    "| unmeasured: FSC to the truth | mirrored halves: to the "
    "mirror image | to the truth |\n" + "|---" * 13 + "|"
)


@dataclass(frozen=True)
class NullMaps:
    """Half maps of the null tests of a case.

    Attributes
    ----------
    name : str
        Name of the case.
    known : KnownTruth
        The case.
    halves, deleted, noise : list of ndarray
        Half maps of the particle, of the particle without the domain, and of noise.
    domain : ndarray
        ``(n, n, n)`` soft mask of the domain.
    weight : ndarray
        ``(n, n, n)`` 3D FSC of the particle, DC at ``n // 2``.
    """

    name: str
    known: KnownTruth
    halves: Halves
    deleted: Halves
    noise: Halves
    domain: NDArray[np.float32]
    weight: NDArray[np.float32]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--particles", type=Path, help="folder of the quality benchmark's cases")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--methods", nargs="*", choices=OPTIONS, default=["deconvolve"])
    parser.add_argument("--cases", nargs="*", type=int)
    args = parser.parse_args()
    print(HEAD, flush=True)
    made = simulated_maps(args) if args.particles is None else particle_maps(args)
    for number, maps in made:
        for method in args.methods:
            scores = null_tests(maps, method, args.out / f"{number}_{method}")
            print(f"| {maps.name} | {method} | " + " | ".join(scores) + " |", flush=True)


def null_tests(maps: NullMaps, method: str, folder: Path) -> list[str]:
    """Correct the half maps of all tests by a method; return the cells of the table."""
    known = maps.known

    def corrected(
        name: str, halves: Halves, with_weight: bool = False, mirror: bool = False
    ) -> Halves | None:
        mask = mirrored(known.mask) if mirror else known.mask
        weight = maps.weight if with_weight else None
        return correct(folder / name, method, halves, mask, known, weight)

    same = corrected("same", maps.halves)
    mirror = corrected("mirror", [mirrored(half) for half in maps.halves], mirror=True)
    without_domain = corrected("domain", maps.deleted)
    assert same is not None
    assert mirror is not None
    assert without_domain is not None
    before, after = (
        excess(volume, maps.domain, known.mask) for volume in (maps.deleted[0], without_domain[0])
    )
    returned = (
        pattern(deleted, maps) / pattern(whole, maps)
        for deleted, whole in ((maps.deleted[0], maps.halves[0]), (without_domain[0], same[0]))
    )
    cells = [f"{before:.2f}", f"{after:.2f}", *(f"{100 * part:.0f} %" for part in returned)]
    for with_weight in (False, True):
        noise = corrected("noise_weight" if with_weight else "noise", maps.noise, with_weight)
        cells += (
            ["refused"] * 2
            if noise is None
            else [f"{fsc(noise[0], noise[1], part):.3f}" for part in regions(known)]
        )
    return [
        *cells,
        f"{recovery_in_mask(same[0], known):.3f}",
        f"{recovery_in_mask(mirrored(mirror[0]), known):.3f}",
        f"{recovery_in_mask(mirror[0], known):.3f}",
    ]


def simulated_maps(args: argparse.Namespace) -> Iterator[tuple[int, NullMaps]]:
    """Make half maps that follow a signal-to-noise law."""
    for number in args.cases if args.cases is not None else range(len(SMALL)):
        case = replace(SMALL[number], views="top")
        whole = simulate(case, args.models, seed=1)
        ball = domain_of(whole.truth, RADIUS_ANGSTROM / case.voxel_size)
        deleted = simulate(case, args.models, seed=1, without=ball)
        rng, size = np.random.default_rng(0), whole.truth.shape
        noise = [(whole.half1.std() * rng.normal(size=size)).astype(np.float32) for _ in range(2)]
        yield (
            number,
            NullMaps(
                case.name,
                KnownTruth.of_simulated(case, whole),
                [whole.half1, whole.half2],
                [deleted.half1, deleted.half2],
                noise,
                ball,
                (whole.ssnr / (1 + whole.ssnr)).astype(np.float32),
            ),
        )


def particle_maps(args: argparse.Namespace) -> Iterator[tuple[int, NullMaps]]:
    """Take half maps of particles, and project them without a domain and without any density."""
    for number in args.cases if args.cases is not None else range(len(PARTICLE_CASES)):
        spec = PARTICLE_CASES[number]
        case = load_case(args.particles / spec.name)
        known = KnownTruth.of_case(case)
        ball = domain_of(case.truth, RADIUS_ANGSTROM / case.voxel_size_angstrom)
        deleted, noise = (
            project_again(args.out / f"{number}_{name}", spec, case, truth)
            for name, truth in (("without_domain", case.truth * (1 - ball)), ("noise", FAINT * case.truth))
        )
        weight = centred_from_half((~known.empty_rfft).astype(np.float32), case.box)
        yield number, NullMaps(case.name, known, [case.half1, case.half2], deleted, noise, ball, weight)


def project_again(
    folder: Path, spec: ParticleCase, case: BenchmarkCase, truth: NDArray[np.float32]
) -> Halves:
    """Return half maps of another density with the particles of a case; made once."""
    paths = [folder / f"half{number}.mrc" for number in (1, 2)]
    if not paths[1].is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_volume(folder / TRUTH, Volume(truth.astype(np.float32), case.voxel_size_angstrom))
        rng = np.random.default_rng(spec.seed)
        reconstruct_particles(folder, spec.particle_set, spec.symmetry, rng)
    return [read_volume(path).data for path in paths]


def domain_of(truth: NDArray[np.float32], radius: float) -> NDArray[np.float32]:
    """Return a soft ball about the densest point at the end of the particle along z."""
    n = len(truth)
    soft = ndimage.gaussian_filter(truth, radius / 2)
    occupied = np.flatnonzero(soft.max(axis=(1, 2)) > 0.3 * soft.max())
    layer = int(occupied[-1] - radius / 2)
    y, x = np.unravel_index(np.argmax(soft[layer]), (n, n))
    grid = np.indices(truth.shape)
    distance = np.sqrt((grid[0] - layer) ** 2 + (grid[1] - y) ** 2 + (grid[2] - x) ** 2)
    return np.asarray(np.clip(radius + 0.5 - distance, 0, 1), dtype=np.float32)


def mirrored(volume: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mirror image across the plane x = 0."""
    return np.roll(volume[:, :, ::-1], 1, axis=2) if volume.shape[2] % 2 == 0 else volume[:, :, ::-1]


def correct(
    folder: Path,
    method: str,
    halves: Halves,
    mask: NDArray[np.float32],
    known: KnownTruth,
    weight: NDArray[np.float32] | None,
) -> Halves | None:
    """Correct half maps with the command, with a 3D FSC if one is given; None if it refuses to."""
    folder.mkdir(parents=True, exist_ok=True)
    volumes = {"half1": halves[0], "half2": halves[1], "mask": mask}
    options = OPTIONS[method]
    if weight is not None:
        volumes["weight"] = weight
        options = (*options, "--aniso_file", str(folder / "weight.mrc"), "--independent")
    for name, volume in volumes.items():
        write_volume(folder / f"{name}.mrc", Volume(volume, known.voxel_size_angstrom))
    out = folder / "out"
    if not (out / "corrected_half2.mrc").is_file():
        try:
            width = method != PRETRAINED
            reconstruct_command(folder, out, known.resolution_angstrom, TRAINING, options, width)
        except SpisonetError as error:
            print(f"{folder}: {error}", file=sys.stderr)
            return None
    return [read_volume(out / f"corrected_half{number}.mrc").data for number in (1, 2)]


def excess(volume: NDArray[np.float32], ball: NDArray[np.float32], mask: NDArray[np.float32]) -> float:
    """Return the mean density of a region above the solvent, in standard deviations of the solvent."""
    solvent = volume[mask < 0.01]
    return float((volume[ball > 0.5].mean() - solvent.mean()) / solvent.std())


def pattern(volume: NDArray[np.float32], maps: NullMaps) -> float:
    """Return the regression of a map on the truth inside the domain, without their means.

    Density beside the domain, smeared into it, contributes also where the domain was deleted.
    """
    inside = maps.domain > 0.5
    truth = maps.known.truth[inside] - maps.known.truth[inside].mean()
    return float(volume[inside] @ truth / (truth @ truth))


def regions(known: KnownTruth) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return masks of the hardly measured and of the measured coefficients."""
    shell = shell_index_rfft(known.truth.shape)
    band = (shell >= FIRST_SHELL) & (shell < known.limit_shell)
    return band & known.empty_rfft, band & ~known.empty_rfft


def fsc(half1: NDArray[np.float32], half2: NDArray[np.float32], region: NDArray[np.bool_]) -> float:
    """Return the correlation of two maps in a region of Fourier space."""
    first, second = rfft3(half1)[region], rfft3(half2)[region]
    norm = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.vdot(first, second).real) / norm if norm > 0 else 0.0


if __name__ == "__main__":
    main()
