"""Null tests with known truth: noise half maps, and a particle with a deleted domain.

    python benchmarks/quality/nulls.py --models FOLDER --out FOLDER [--methods deconvolve learn] [--cases 0 1]

The folder of models contains the coordinates named in `SMALL`. Needs gemmi. Each test runs the command
`reconstruct`. The domain is a ball about the densest point at the end of the particle along the view axis,
which top views resolve least. It is deleted from the truth before the half maps are simulated; the mask still
includes it. Noise half maps are corrected with the 3D FSC of the particle.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

sys.path.append(str(Path(__file__).parents[2]))  # the checkout
from scipy import ndimage

from benchmarks.quality.run_simulated import SMALL
from benchmarks.quality.simulate import Case, Simulated, simulate
from spisonet.fourier.grids import half_from_centred, rfft3, shell_index_rfft
from spisonet.io.mrc import Volume, read_volume, write_volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

RADIUS_ANGSTROM = 14.0
FIRST_SHELL = 4
HARDLY_MEASURED = 0.3
OPTIONS = {
    "deconvolve": ("--method", "deconvolve"),
    "learn": ("--filter_base", "16", "--cube_size", "32", "--epochs", "4", "--n_subvolume", "150"),
}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--methods", nargs="*", choices=OPTIONS, default=["deconvolve"])
    parser.add_argument("--cases", nargs="*", type=int, default=range(len(SMALL)))
    args = parser.parse_args()
    print(
        "| particle | method | domain: mean density / sd of solvent, input | corrected | fraction of "
        "its density that returned | noise: FSC of the halves, unmeasured | noise: measured |\n"
        + "|---" * 7
        + "|"
    )
    for number in args.cases:
        case = replace(SMALL[number], views="top")
        whole = simulate(case, args.models, seed=1)
        ball = domain_of(whole.truth, RADIUS_ANGSTROM / case.voxel_size)
        deleted = simulate(case, args.models, seed=1, without=ball)
        for method in args.methods:
            folder = args.out / f"{number}_{method}"
            without_domain = correct(folder / "domain", method, deleted, whole.mask, case)
            noise1, noise2 = correct(folder / "noise", method, noise_halves(whole), whole.mask, case, whole)
            before = excess(deleted.half1, ball, whole.mask)
            after = excess(without_domain[0], ball, whole.mask)
            scale = scale_of(without_domain[0], deleted)
            returned = without_domain[0][ball > 0.5].mean() / (scale * whole.truth[ball > 0.5].mean())
            blank, measured = (fsc(noise1, noise2, region) for region in regions(whole, case))
            print(
                f"| {case.name} | {method} | {before:.2f} | {after:.2f} | {100 * returned:.1f} % "
                f"| {blank:.3f} | {measured:.3f} |",
                flush=True,
            )


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


def noise_halves(like: Simulated) -> Simulated:
    """Return half maps of white noise with the standard deviation of the given ones."""
    rng = np.random.default_rng(0)
    halves = [(like.half1.std() * rng.normal(size=like.truth.shape)).astype(np.float32) for _ in range(2)]
    return replace(like, half1=halves[0], half2=halves[1])


def correct(
    folder: Path,
    method: str,
    simulated: Simulated,
    mask: NDArray[np.float32],
    case: Case,
    weight_of: Simulated | None = None,
) -> list[NDArray[np.float32]]:
    """Correct half maps with the command; the expected FSC of `weight_of`, if given, is the weight."""
    folder.mkdir(parents=True, exist_ok=True)
    volumes = {"half1": simulated.half1, "half2": simulated.half2, "mask": mask}
    extra = []
    if weight_of is not None:
        volumes["weight"] = (weight_of.ssnr / (1 + weight_of.ssnr)).astype(np.float32)
        extra = ["--aniso_file", str(folder / "weight.mrc"), "--independent"]
    for name, volume in volumes.items():
        write_volume(folder / f"{name}.mrc", Volume(volume, case.voxel_size))
    command = [
        *(str(Path(sys.executable).parent / "spisonet.py"), "reconstruct"),
        *(str(folder / "half1.mrc"), str(folder / "half2.mrc"), "--mask", str(folder / "mask.mrc"), *extra),
        *("--limit_res", str(case.resolution), "--no-report", "--output_dir", str(folder / "out")),
        *OPTIONS[method],
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return [read_volume(folder / "out" / f"corrected_half{number}.mrc").data for number in (1, 2)]


def excess(volume: NDArray[np.float32], ball: NDArray[np.float32], mask: NDArray[np.float32]) -> float:
    """Return the mean density of a region above the solvent, in standard deviations of the solvent."""
    solvent = volume[mask < 0.01]
    return float((volume[ball > 0.5].mean() - solvent.mean()) / solvent.std())


def scale_of(volume: NDArray[np.float32], simulated: Simulated) -> float:
    """Return the grey value of a corrected map per unit of the truth, from well-measured coefficients."""
    sampled = half_from_centred(simulated.ssnr) > 3
    found, truth = rfft3(volume)[sampled], rfft3(simulated.truth)[sampled]
    return float(np.vdot(truth, found).real / np.linalg.norm(truth) ** 2)


def regions(simulated: Simulated, case: Case) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return masks of the hardly measured and of the measured coefficients."""
    n = case.box
    shell, ssnr = shell_index_rfft((n, n, n)), half_from_centred(simulated.ssnr)
    band = (shell >= FIRST_SHELL) & (shell < case.limit_shell)
    blank = ssnr / (1 + ssnr) < HARDLY_MEASURED
    return band & blank, band & ~blank


def fsc(half1: NDArray[np.float32], half2: NDArray[np.float32], region: NDArray[np.bool_]) -> float:
    """Return the correlation of two maps in a region of Fourier space."""
    first, second = rfft3(half1)[region], rfft3(half2)[region]
    norm = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.vdot(first, second).real) / norm if norm > 0 else 0.0


if __name__ == "__main__":
    main()
