"""Null tests of corrections of tomograms: noise, a mirrored scene, and a scene without one of its molecules.

    python benchmarks/tomograms/nulls.py --models FOLDER --out FOLDER [--methods ...]

Every method of ``run.py`` is trained on the modified tomograms themselves. Prints a Markdown table.

- *noise*: both halves are noise. Root mean square of the corrected tomogram relative to that of the input,
  outside the missing wedge and in it (relative to the input outside).
- *mirrored*: the tomograms are mirrored in y. FSC to the mirrored truth in the missing wedge and outside; a
  method that knows the hand of proteins from elsewhere would score less than on the scene itself (*scene*).
- *deleted*: the molecule nearest to the middle is absent. Regression coefficient of the corrected density on
  that of the absent molecule, beside the same coefficient on the scene with it.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import mrcfile
import numpy as np
from run import METHODS, correct, list_tomograms
from scipy import ndimage
from score import score
from simulate import VOXEL_SIZE, Case, reconstruct, scene, write_halves

from spisonet.fourier.grids import irfft3, rfft3
from spisonet.fourier.wedges import measured_rfft

if TYPE_CHECKING:
    from numpy.typing import NDArray

CASE = Case(3)
NOISE_SNR = 1e-6
OCCUPIED = 0.2  # of the densest voxel


def main() -> None:
    """Run the null tests."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--methods", nargs="*", choices=METHODS, default=["pretrained only", "even/odd, shortest"]
    )
    args = parser.parse_args()
    truth = -scene(CASE, args.models, np.random.default_rng(CASE.seed))
    molecule = one_molecule(truth)
    noise = reconstruct(replace(CASE, snr=NOISE_SNR), truth, np.random.default_rng(1))
    halves = reconstruct(CASE, truth, np.random.default_rng(0))
    projects = {
        "noise": noise,
        "scene": halves,
        "mirrored": [half[:, ::-1].copy() for half in halves],
        "deleted": reconstruct(CASE, truth - molecule, np.random.default_rng(0)),
    }
    print("| method | test | outside the wedge | in the wedge | molecule |\n|---|---|---|---|---|")
    for name, (even, odd) in projects.items():
        if not (args.out / name / "tomograms.star").is_file():
            write_halves(args.out / name, even, odd)
            list_tomograms(args.out / name, CASE)
    for method in args.methods:
        for name, pair in projects.items():
            ((_, _, path),) = correct(method, 0, args.out / name, [0])
            corrected = mrcfile.read(path)
            print(f"| {method} | {name} | {_row(name, corrected, pair, truth, molecule)} |", flush=True)


def one_molecule(truth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the density of the single molecule nearest to the middle."""
    labels, n = ndimage.label(truth < OCCUPIED * truth.min())
    sizes = ndimage.sum_labels(np.ones_like(truth), labels, range(1, n + 1))
    centres = np.array(ndimage.center_of_mass(labels > 0, labels, range(1, n + 1)))
    distances = np.linalg.norm(centres - np.array(truth.shape) / 2, axis=1)
    usual = (sizes > 0.5 * np.median(sizes)) & (sizes < 3 * np.median(sizes))
    label = 1 + int(np.argmin(np.where(usual, distances, np.inf)))
    return np.where(ndimage.binary_dilation(labels == label, iterations=3), truth, 0).astype(np.float32)


def _row(
    name: str,
    corrected: NDArray[np.float32],
    halves: list[NDArray[np.float32]],
    truth: NDArray[np.float32],
    molecule: NDArray[np.float32],
) -> str:
    tilts = CASE.tilt_range_degrees
    if name == "noise":
        full = (halves[0] + halves[1]) / 2
        measured = measured_rfft(truth.shape, tilts)
        before = _band(full / full.std(), measured).std()
        outside, inside = (_band(corrected, region).std() / before for region in (measured, ~measured))
        return f"{outside:.3f} (rms) | {inside:.3f} (rms) | -"
    mirrored = truth[:, ::-1] if name == "mirrored" else truth
    if name == "deleted":
        mirrored = truth - molecule
    scores = score(corrected, mirrored, VOXEL_SIZE, tilts)
    where = molecule != 0
    scale = _slope(corrected[~where], mirrored[~where])
    coefficient = "-" if name == "mirrored" else f"{_slope(corrected[where], molecule[where]) / scale:.2f}"
    return f"{scores['measured']:.3f} | {scores['missing']:.3f} | {coefficient}"


def _band(volume: NDArray[np.float32], region: NDArray[np.bool_]) -> NDArray[np.float32]:
    return irfft3(rfft3(volume - volume.mean()) * region, volume.shape)


def _slope(values: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    centred = expected - expected.mean()
    return float((values * centred).sum() / (centred**2).sum())


if __name__ == "__main__":
    main()
