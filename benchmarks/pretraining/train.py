"""Training on simulated half maps of known structures.

The network sees subvolumes in the 24 rotations of the cube, and predicts the true map. Inputs of the network
that starts the training on a map are filtered by the weight ``C`` of their case, half of them by a rotated
one, as in the self-training. Half of the subvolumes are multiplied by a smooth random gain, as parts of a
real particle are more or less well ordered. Residuals count less where the data were measured.
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from spisonet.geometry.rotations import cube_rotations, random_rotations
from spisonet.learning.rotational_averaging import rotate90
from spisonet.learning.spectra import FourierWeight, apply_filter, frequency_points_rfft
from spisonet.learning.unet import PriorUNet, UNet, WhitenedUNet, update_running_statistics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

EDGE, BATCH, FILTER_BASE = 40, 4, 16
LEARNING_RATE, WARM_UP, WEIGHT_DECAY = 2e-3, 50, 1e-2
MEASURED_WEIGHT = 0.3  # of a residual where the data are perfectly measured
GAIN_SHARE, GAIN_DEVIATION, GAIN_NODES = 0.5, 0.5, 5
AVERAGE_TWICE = (0, 0, 1, 2)  # of the average and of both halves
ROTATED_SHARE = 0.5  # of the inputs, filtered by a rotated weight as in the self-training
MAX_SHIFT = 6  # voxels, of a subvolume from a voxel inside the support
AVERAGED_UPDATES, AVERAGED_FRACTION = 1000, 0.2
SAVED_UPDATES = 50
FIRST_WEIGHT = "encoders.0.0.weight"


@dataclass(frozen=True)
class Example:
    """Inputs and target of one case.

    Attributes
    ----------
    inputs : ndarray
        ``(k, c, m, m, m)`` inputs of ``c`` channels.
    chosen : tuple of int
        Inputs to draw from; those that stand there twice are drawn twice as often.
    target : ndarray
        ``(m, m, m)``.
    centres : ndarray
        ``(n, 3)`` voxels inside the support.
    weight : FourierWeight
        View weight of the inputs.
    input_weight : FourierWeight or None
        ``C``, by which inputs are filtered, as they are or rotated at random; None for none.
    frequency_factor : float
        From frequencies of the grid of the network to those of the map.
    """

    inputs: np.ndarray
    chosen: tuple[int, ...]
    target: np.ndarray
    centres: np.ndarray
    weight: FourierWeight
    input_weight: FourierWeight | None
    frequency_factor: float

    @classmethod
    def read(cls, path: Path) -> Example:
        """Read a case."""
        with np.load(path) as file:
            support, box = file["support"].astype(np.float32), int(file["box"])
            weights = [
                FourierWeight(file[name].astype(np.float32), box, torch.device("cpu"))
                for name in ("weight_rfft", "input_weight_rfft")
                if name in file
            ]
            centres = np.argwhere(support > 0.5 * support.max())
            inputs, target = file["inputs"], file["target"]
        is_of_start = len(weights) > 1
        return cls(
            inputs=inputs,
            chosen=tuple(range(len(inputs))) if is_of_start else AVERAGE_TWICE,
            target=target,
            centres=centres,
            weight=weights[0],
            input_weight=weights[1] if is_of_start else None,
            frequency_factor=len(target) / box,
        )

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw a subvolume: inputs ``(c, ...)``, target, and weights of the residual's spectrum."""
        which = int(rng.choice(self.chosen))
        shift = rng.integers(-MAX_SHIFT, MAX_SHIFT + 1, 3)
        first = np.clip(
            self.centres[rng.integers(len(self.centres))] + shift - EDGE // 2, 0, len(self.target) - EDGE
        )
        part = tuple(slice(int(start), int(start) + EDGE) for start in first)
        inputs = torch.from_numpy(self.inputs[(which, slice(None), *part)].astype(np.float32))
        target = torch.from_numpy(self.target[part].astype(np.float32))
        points = frequency_points_rfft(EDGE, torch.device("cpu")) * self.frequency_factor
        if rng.random() < GAIN_SHARE:
            gain = _smooth_gain(rng)
            inputs, target = inputs * gain, target * gain
        if self.input_weight is not None:
            rotated = points
            if rng.random() < ROTATED_SHARE:
                rotated = points @ torch.from_numpy(random_rotations(1, rng)[0].astype(np.float32))
            inputs = apply_filter(inputs, self.input_weight.at(rotated))
        rotations = cube_rotations()
        rotation = rotations[rng.integers(len(rotations))]
        inputs = torch.stack([rotate90(volume, rotation) for volume in inputs])
        target = rotate90(target, rotation)
        matrix = torch.from_numpy(rotation.astype(np.float32))
        weights = 1 - (1 - MEASURED_WEIGHT) * self.weight.at(points @ matrix)
        return inputs, target, weights


def _smooth_gain(rng: np.random.Generator) -> Tensor:
    nodes = rng.normal(0, GAIN_DEVIATION, (1, 1, *[GAIN_NODES] * 3)).astype(np.float32)
    smooth = functional.interpolate(
        torch.from_numpy(nodes), size=(EDGE,) * 3, mode="trilinear", align_corners=True
    )
    return smooth[0, 0].clamp(-1, 0.5).exp()


def train(
    examples: list[Example],
    network: UNet,
    minutes: float,
    seed: int = 0,
    learning_rate: float = LEARNING_RATE,
    save: Callable[[UNet], None] | None = None,
) -> UNet:
    """Train for some minutes; return the network with averaged weights.

    Parameters
    ----------
    examples : list of Example
        The cases.
    network : UNet
        With its initial weights; it is changed.
    minutes : float
        Duration.
    seed : int
        Random seed.
    learning_rate : float
        Maximum of the schedule.
    save : callable, optional
        Called with the averaged network every `SAVED_UPDATES` updates.
    """
    rng = np.random.default_rng(seed)
    average = copy.deepcopy(network)
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=WEIGHT_DECAY)
    start, update, losses = time.perf_counter(), 0, []
    while (elapsed := (time.perf_counter() - start) / 60 / minutes) < 1:
        rate = learning_rate * min(1, (update + 1) / WARM_UP)
        for group in optimiser.param_groups:
            group["lr"] = rate * (0.02 + 0.98 * (1 + math.cos(math.pi * elapsed)) / 2)
        drawn = [examples[rng.integers(len(examples))].draw(rng) for _ in range(BATCH)]
        inputs, targets, weights = (torch.stack(part) for part in zip(*drawn, strict=True))
        loss = apply_filter(network(inputs)[:, 0] - targets, weights).square().mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        update_running_statistics(network, lambda statistics: None)
        decay = 1 - 1 / min(AVERAGED_UPDATES, 1 + AVERAGED_FRACTION * update)
        with torch.no_grad():
            for averaged, current in zip(average.parameters(), network.parameters(), strict=True):
                averaged.lerp_(current, 1 - decay)
            for averaged, current in zip(average.buffers(), network.buffers(), strict=True):
                averaged.copy_(current)
        losses.append(float(loss.detach()))
        update += 1
        if update % SAVED_UPDATES == 0:
            print(
                f"{update} updates, mean loss of the last ones: {np.mean(losses[-SAVED_UPDATES:]):.4f}",
                flush=True,
            )
            if save is not None:
                save(average)
    return average.eval()


def new_network(kind: str, filter_base: int, seed: int) -> UNet:
    """Return an untrained network of the kind ``start`` or ``prior``."""
    torch.manual_seed(seed)
    return (WhitenedUNet if kind == "start" else PriorUNet)(filter_base)


def start_of_prior(prior: PriorUNet) -> WhitenedUNet:
    """Return a network of one input with the weights of the prior network, whose two inputs are alike."""
    network = WhitenedUNet(prior.filter_base)
    weights = {name: value.float() for name, value in prior.state_dict().items()}
    weights[FIRST_WEIGHT] = weights[FIRST_WEIGHT].sum(dim=1, keepdim=True)
    network.load_state_dict(weights)
    return network
