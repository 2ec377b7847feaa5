"""The best that the network can do: trained on other tomograms whose truth is known, for comparison.

    python benchmarks/tomograms/supervised.py --models FOLDER --out OUT [--cases seed1 seed2 ...]

Simulates other scenes of the same molecules and vesicles, and trains the network of the program, from the
pretrained start and as long as ``run.py`` does at most, with the truth as targets. No correction of a
tomogram by itself can be expected to find more with this network and this length. The tomograms of ``run.py``
(OUT is its folder) are then corrected and scored. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import mrcfile
import numpy as np
import torch
from published_objective import OwnSubvolumes, normalised_halves, subvolume, train_with
from run import CASES, isonet, list_tomograms, prepared_scene
from score import SCORES, score
from simulate import VOXEL_SIZE, Case, simulate

from spisonet.learning.spectra import WedgeWeight, apply_filter, frequency_points_rfft
from spisonet.tomography.training_config import RefineConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from spisonet.tomography.training_set import TrainingSet

FIRST_SEED = 101  # of the scenes to train on; those of run.py have seeds 1 to 5
HALF_TURNS = ((), (-3, -2), (-3, -1), (-2, -1))  # axes that are reversed; the wedge stays where it is


class SupervisedObjective(OwnSubvolumes):
    """Squared difference from the truth.

    Parameters
    ----------
    training_set : TrainingSet
        Tomograms with even and odd halves, in the order of the truths.
    cube_size : int
        Edge of subvolumes in voxels.
    folder : Path
        Folder with ``truth/0.npy`` and so on.
    """

    def __init__(self, training_set: TrainingSet, cube_size: int, folder: Path) -> None:
        self._halves = [normalised_halves(tomogram) for tomogram in training_set.tomograms]
        self._centres, self._cube_size = training_set.centres, cube_size
        self._truths = []
        for number, (halves, tomogram) in enumerate(zip(self._halves, training_set.tomograms, strict=True)):
            truth = torch.from_numpy(np.load(folder / "truth" / f"{number}.npy"))
            points = frequency_points_rfft(tuple(truth.shape), truth.device)
            visible = apply_filter(truth, WedgeWeight(*tomogram.tilt_range_degrees).at(points))
            scale = (halves.mean(dim=0) * visible).sum() / visible.square().sum()
            self._truths.append(scale * truth)

    def draw(self, n_subvolumes: int, rng: np.random.Generator) -> SupervisedBatch:
        """Draw subvolumes of random halves, turned by random half turns about the axes."""
        inputs, targets = [], []
        for number in rng.integers(len(self._halves), size=n_subvolumes):
            centres = self._centres[number]
            region = subvolume(centres[rng.integers(len(centres))], self._cube_size)
            axes = HALF_TURNS[rng.integers(len(HALF_TURNS))]
            inputs.append(self._halves[number][rng.integers(2), *region].flip(axes))
            targets.append(self._truths[number][region].flip(axes))
        return SupervisedBatch(torch.stack(inputs), torch.stack(targets))


@dataclass(frozen=True)
class SupervisedBatch:
    """Subvolumes ``(batch, z, y, x)`` of data and truth."""

    inputs: Tensor
    targets: Tensor

    def loss(self, network: Callable[[Tensor], Tensor], part: slice) -> Tensor:
        """Mean squared residual of a part of the batch."""
        return (network(self.inputs[part]) - self.targets[part]).square().mean()


def main() -> None:
    """Train, and score the corrected tomograms."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cases", nargs="*", choices=CASES, default=["seed1", "seed2", "seed3"])
    parser.add_argument("--scenes", type=int, default=24, help="to train on")
    parser.add_argument("--epochs", type=int, default=10, help="of 800 subvolumes of 32³")
    args = parser.parse_args()
    folder = (args.out / "supervised").resolve()
    if not (folder / "tomograms.star").is_file():
        simulate_scenes(folder, args.models, args.scenes)
    config = RefineConfig(
        star_file=Path("tomograms.star"),
        output_dir=Path(f"epochs{args.epochs}"),
        pretrained="default",
        cube_size=32,
        n_subvolume=800,
        epochs=args.epochs,
        seed=0,
    )
    with contextlib.chdir(folder):
        network = train_with(config, partial(SupervisedObjective, folder=folder)).resolve()
    print(f"| case | {' | '.join(SCORES)} |", "|---" * (len(SCORES) + 1) + "|", sep="\n")
    for name in args.cases:
        scene, truth = prepared_scene(name, args.models, args.out)
        output = f"out_supervised_{args.epochs}"
        isonet(scene, "predict", "tomograms.star", str(network), "--output_dir", output, "--turns", "0")
        corrected = mrcfile.read(scene / output / "corrected_t.mrc")
        scores = score(corrected, truth, VOXEL_SIZE, CASES[name].tilt_range_degrees)
        print(f"| {name} | {' | '.join(f'{scores[key]:.3f}' for key in SCORES)} |", flush=True)


def simulate_scenes(folder: Path, models: Path, n_scenes: int) -> None:
    """Write even, odd and full tomograms of new scenes, their truths, and their table."""
    for kind in ("even", "odd", "full", "truth"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for number in range(n_scenes):
        truth = simulate(Case(FIRST_SEED + number), models, folder / "scene")
        for kind in ("even", "odd", "full"):
            shutil.move(folder / "scene" / kind / "t.mrc", folder / kind / f"{number:03d}.mrc")
        np.save(folder / "truth" / f"{number}.npy", truth)
    shutil.rmtree(folder / "scene")
    list_tomograms(folder, Case(0))


if __name__ == "__main__":
    main()
