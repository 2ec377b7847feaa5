"""Train the structural prior on simulated half maps of known structures.

    python -m benchmarks.structural_prior.train --cases CASES --out structural_prior.safetensors --minutes 45

The network sees subvolumes of the average and of single halves, in the 24 rotations of the cube, and predicts
the true map. Half of the subvolumes are multiplied by a smooth random gain, as parts of a real particle are
more or less well ordered. Residuals count less where the data were measured.
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

sys.path.append(str(Path(__file__).parents[2]))  # the checkout
from spisonet.geometry.rotations import cube_rotations
from spisonet.learning.checkpoint import save_network
from spisonet.learning.rotational_averaging import rotate90
from spisonet.learning.spectra import FourierWeight, apply_filter, frequency_points_rfft
from spisonet.learning.unet import PriorUNet, update_running_statistics

if TYPE_CHECKING:
    from torch import Tensor

EDGE, BATCH, FILTER_BASE = 40, 4, 16
LEARNING_RATE, WARM_UP, WEIGHT_DECAY = 2e-3, 50, 1e-2
MEASURED_WEIGHT = 0.3  # of a residual where the data are perfectly measured
GAIN_SHARE, GAIN_DEVIATION, GAIN_NODES = 0.5, 0.5, 5
MAX_SHIFT = 6  # voxels, of a subvolume from a voxel inside the support
AVERAGED_UPDATES = 1000


@dataclass(frozen=True)
class Example:
    """Inputs and target of one case.

    Attributes
    ----------
    inputs : ndarray
        ``(3, 2, m, m, m)`` of the average and of both halves.
    target : ndarray
        ``(m, m, m)``.
    centres : ndarray
        ``(n, 3)`` voxels inside the support.
    weight : FourierWeight
        View weight of the average.
    frequency_factor : float
        From frequencies of the grid of the network to those of the map.
    """

    inputs: np.ndarray
    target: np.ndarray
    centres: np.ndarray
    weight: FourierWeight
    frequency_factor: float

    @classmethod
    def read(cls, path: Path) -> Example:
        """Read a case."""
        with np.load(path) as file:
            support, box = file["support"].astype(np.float32), int(file["box"])
            weight = FourierWeight(file["weight_rfft"].astype(np.float32), box, torch.device("cpu"))
            centres = np.argwhere(support > 0.5 * support.max())
            target = file["target"]
            return cls(file["inputs"], target, centres, weight, len(target) / box)

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw a subvolume: inputs ``(2, ...)``, target, and weights of the residual's spectrum."""
        which = int(rng.choice([0, 0, 1, 2]))
        shift = rng.integers(-MAX_SHIFT, MAX_SHIFT + 1, 3)
        first = np.clip(
            self.centres[rng.integers(len(self.centres))] + shift - EDGE // 2, 0, len(self.target) - EDGE
        )
        part = tuple(slice(int(start), int(start) + EDGE) for start in first)
        inputs = torch.from_numpy(self.inputs[(which, slice(None), *part)].astype(np.float32))
        target = torch.from_numpy(self.target[part].astype(np.float32))
        rotations = cube_rotations()
        rotation = rotations[rng.integers(len(rotations))]
        inputs = torch.stack([rotate90(volume, rotation) for volume in inputs])
        target = rotate90(target, rotation)
        matrix = torch.from_numpy(rotation.astype(np.float32))
        points = frequency_points_rfft(EDGE, torch.device("cpu")) @ matrix * self.frequency_factor
        weights = 1 - (1 - MEASURED_WEIGHT) * self.weight.at(points)
        if rng.random() < GAIN_SHARE:
            gain = _smooth_gain(rng)
            inputs, target = inputs * gain, target * gain
        return inputs, target, weights


def _smooth_gain(rng: np.random.Generator) -> Tensor:
    nodes = rng.normal(0, GAIN_DEVIATION, (1, 1, *[GAIN_NODES] * 3)).astype(np.float32)
    smooth = functional.interpolate(
        torch.from_numpy(nodes), size=(EDGE,) * 3, mode="trilinear", align_corners=True
    )
    return smooth[0, 0].clamp(-1, 0.5).exp()


def train(examples: list[Example], minutes: float, seed: int = 0) -> PriorUNet:
    """Train for some minutes; return the network with averaged weights."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = PriorUNet(FILTER_BASE)
    average = copy.deepcopy(network)
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=WEIGHT_DECAY)
    start, update, losses = time.perf_counter(), 0, []
    while (elapsed := (time.perf_counter() - start) / 60 / minutes) < 1:
        rate = (
            LEARNING_RATE
            * min(1, (update + 1) / WARM_UP)
            * (0.02 + 0.98 * (1 + math.cos(math.pi * elapsed)) / 2)
        )
        for group in optimiser.param_groups:
            group["lr"] = rate
        drawn = [examples[rng.integers(len(examples))].draw(rng) for _ in range(BATCH)]
        inputs, targets, weights = (torch.stack(part) for part in zip(*drawn, strict=True))
        loss = apply_filter(network(inputs)[:, 0] - targets, weights).square().mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        update_running_statistics(network, lambda statistics: None)
        decay = min(1 - 1 / AVERAGED_UPDATES, (update + 1) / (update + 10))
        with torch.no_grad():
            for averaged, current in zip(average.parameters(), network.parameters(), strict=True):
                averaged.lerp_(current, 1 - decay)
            for averaged, current in zip(average.buffers(), network.buffers(), strict=True):
                averaged.copy_(current)
        losses.append(float(loss.detach()))
        update += 1
        if update % 100 == 0:
            print(f"{update} updates, mean loss of the last 100: {np.mean(losses[-100:]):.4f}", flush=True)
    return average.eval()


def main() -> None:
    """Train and write the network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=45)
    args = parser.parse_args()
    examples = [Example.read(path) for path in sorted(args.cases.glob("*/case.npz"))]
    examples = [example for example in examples if len(example.target) >= EDGE]
    print(f"{len(examples)} cases", flush=True)
    network = train(examples, args.minutes)
    save_network(args.out, network.half(), {"trained_on": "simulated half maps of known structures"})


if __name__ == "__main__":
    main()
