"""Supervised training on examples whose truth is known.

The network sees subvolumes in the rotations of their example and predicts the true density. Half of the
subvolumes are multiplied by a smooth random gain, as parts of a real particle are more or less well ordered.
Residuals count less where the data were measured.
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from spisonet.learning.devices import Backend
from spisonet.learning.spectra import apply_filter
from spisonet.learning.unet import (
    PriorUNet,
    UNet,
    WhitenedUNet,
    set_running_statistics,
    update_running_statistics,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.pretraining.examples import Example

FILTER_BASE = 16
LEARNING_RATE, WARM_UP, WEIGHT_DECAY = 2e-3, 50, 1e-2
AVERAGED_UPDATES, AVERAGED_FRACTION = 1000, 0.2
SAVED_UPDATES = 50
STATISTICS_SAMPLES = 100  # for the running averages of the normalisation, of the averaged weights
FIRST_WEIGHT = "encoders.0.0.weight"


@dataclass(frozen=True)
class NetworkKind:
    """A network that comes with the program, and the subvolumes of its training.

    Attributes
    ----------
    network : type
        Class of the network.
    edge, batch : int
        Edge of subvolumes in voxels, and their number in an update.
    """

    network: type[UNet]
    edge: int
    batch: int


KINDS = {
    "start": NetworkKind(WhitenedUNet, 40, 4),
    "prior": NetworkKind(PriorUNet, 40, 4),
    "tomograms": NetworkKind(UNet, 48, 2),
}


def train(
    examples: list[Example],
    network: UNet,
    kind: NetworkKind,
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
    kind : NetworkKind
        Size and number of subvolumes.
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
    backend = Backend.fastest(torch.device("cpu"))
    network = backend.to_device(network)
    average = copy.deepcopy(network)
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=WEIGHT_DECAY)
    start, update, losses = time.perf_counter(), 0, []
    while (elapsed := (time.perf_counter() - start) / 60 / minutes) < 1:
        rate = learning_rate * min(1, (update + 1) / WARM_UP)
        for group in optimiser.param_groups:
            group["lr"] = rate * (0.02 + 0.98 * (1 + math.cos(math.pi * elapsed)) / 2)
        drawn = [examples[rng.integers(len(examples))].draw(kind.edge, rng) for _ in range(kind.batch)]
        inputs, targets, weights = (torch.stack(part) for part in zip(*drawn, strict=True))
        loss = apply_filter(backend.apply(network, inputs)[:, 0] - targets, weights).square().mean()
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
    samples = (
        examples[rng.integers(len(examples))].draw(kind.edge, rng)[0][None] for _ in range(STATISTICS_SAMPLES)
    )
    set_running_statistics(average, samples)
    return average.eval()


def new_network(kind: NetworkKind, filter_base: int, seed: int) -> UNet:
    """Return an untrained network of a kind."""
    torch.manual_seed(seed)
    return kind.network(filter_base)


def start_of_prior(prior: PriorUNet) -> WhitenedUNet:
    """Return a network of one input with the weights of the prior network, whose two inputs are alike."""
    network = WhitenedUNet(prior.filter_base)
    weights = {name: value.float() for name, value in prior.state_dict().items()}
    weights[FIRST_WEIGHT] = weights[FIRST_WEIGHT].sum(dim=1, keepdim=True)
    network.load_state_dict(weights)
    return network
