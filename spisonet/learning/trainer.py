"""Train a network on an objective: averaged weights, a decaying rate, and exact resumption."""

from __future__ import annotations

import copy
import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from spisonet.errors import SpisonetError
from spisonet.learning.checkpoint import load_tensors, save_tensors
from spisonet.learning.progress import TrainingProgress
from spisonet.learning.tiling import predict_volume

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from spisonet.learning.objectives import Objective
    from spisonet.learning.unet import Network

WARMUP_UPDATES = 30
LONGEST_AVERAGE = 1000  # updates
AVERAGE_FRACTION = 0.2  # of the run
MAX_GRADIENT_NORM = 1.0


@dataclass(frozen=True)
class TrainingOptions:
    """How to train.

    Attributes
    ----------
    epochs, crops_per_epoch, batch_size : int
        An epoch ends with a checkpoint; an update uses one batch.
    n_parts : int
        Parts in which a batch is computed; more save memory.
    learning_rate : float
        Peak of the schedule: a linear warm-up, then half a cosine to zero.
    seed : int
        Of every random choice.
    published : bool
        As spIsoNet trains: a constant rate, no averaging of weights, no limit to gradients, all in float32.
    """

    epochs: int
    crops_per_epoch: int
    batch_size: int
    n_parts: int
    learning_rate: float
    seed: int
    published: bool = False

    @property
    def updates_per_epoch(self) -> int:
        """Number of updates in an epoch."""
        return math.ceil(self.crops_per_epoch / self.batch_size)

    @property
    def n_updates(self) -> int:
        """Number of updates in the whole run."""
        return self.epochs * self.updates_per_epoch


class Trainer:
    """A network, its running average and its optimiser.

    Parameters
    ----------
    network : Network
        Start weights.
    objective : Objective
        What to learn.
    options : TrainingOptions
        How to train.
    device : torch.device
        Where to train.
    tile_size : int
        Tile edge of whole-volume predictions in voxels; a resumed run keeps its own.
    fingerprint : str
        Identifies the data; a checkpoint of other data is refused.

    Attributes
    ----------
    average : Network
        Exponential running average of the weights: the network to use.
    epoch_losses : list of float
        Mean loss of every finished epoch.
    """

    def __init__(
        self,
        network: Network,
        objective: Objective,
        options: TrainingOptions,
        device: torch.device,
        tile_size: int,
        fingerprint: str = "",
    ) -> None:
        self._fingerprint = fingerprint
        layout = torch.contiguous_format if device.type == "mps" else torch.channels_last_3d
        # PyTorch's type hints do not know the memory_format of Module.to.
        self._network = network.to(device).to(memory_format=layout)  # type: ignore[call-overload]
        self._network.train()
        self.average = copy.deepcopy(self._network).eval()
        self.average.requires_grad_(requires_grad=False)
        self._layout, self._device, self._tile_size = layout, device, tile_size
        self._objective, self._options = objective, options
        self._optimiser = torch.optim.AdamW(self._network.parameters(), lr=options.learning_rate)
        self._rng = np.random.default_rng(options.seed)
        self._n_updates = 0
        self.epoch_losses: list[float] = []

    def train(self, title: str, checkpoint: Path, resume: bool) -> None:
        """Train to the end, writing `checkpoint` before the first and after every epoch.

        Parameters
        ----------
        title : str
            What to call the run in the log.
        checkpoint : Path
            Training state.
        resume : bool
            Continue from `checkpoint` if it is there.

        Raises
        ------
        SpisonetError
            If the loss becomes NaN or infinite, or the checkpoint is of another run.
        """
        options = self._options
        if resume and checkpoint.is_file():
            self._restore(checkpoint)
        else:
            self._save(checkpoint)
        size = options.batch_size
        with TrainingProgress(title, options.n_updates * size, self._n_updates * size) as progress:
            while self._n_updates < options.n_updates:
                losses = []
                for step in range(options.updates_per_epoch):
                    interval = self._objective.refresh_interval(size)
                    if interval and step % interval == 0:
                        self._objective.refresh(self.predict)
                    losses.append(self._update())
                    progress.update(size, losses[-1])
                self.epoch_losses.append(float(np.mean(losses)))
                self._save(checkpoint)
                progress.epoch(len(self.epoch_losses), options.epochs, self.epoch_losses[-1])

    def predict(self, volumes: Tensor) -> Tensor:
        """Apply the averaged network to whole volumes ``(n, z, y, x)``."""
        with torch.no_grad():
            return torch.stack(
                [predict_volume(lambda v: self._apply(self.average, v), v, self._tile_size) for v in volumes]
            )

    def _apply(self, network: Network, volumes: Tensor) -> Tensor:
        mixed = self._device.type == "cuda" and not self._options.published
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=mixed):
            prediction: Tensor = network(volumes.contiguous(memory_format=self._layout))
        return prediction

    def _update(self) -> float:
        options = self._options
        for group in self._optimiser.param_groups:
            group["lr"] = options.learning_rate * self._schedule()
        self._optimiser.zero_grad(set_to_none=True)
        total = 0.0
        for part in np.array_split(np.arange(options.batch_size), min(options.n_parts, options.batch_size)):
            share = len(part) / options.batch_size
            loss = share * self._objective.loss(
                lambda crops: self._apply(self._network, crops[:, None])[:, 0], len(part), self._rng
            )
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        if not math.isfinite(total):
            raise SpisonetError(
                f"Training stopped: the loss became {total} at update {self._n_updates + 1}; "
                "lower --learning_rate and check the maps for extreme values."
            )
        if not options.published:
            torch.nn.utils.clip_grad_norm_(self._network.parameters(), MAX_GRADIENT_NORM)
        self._optimiser.step()
        self._n_updates += 1
        self._average_weights()
        return total

    def _schedule(self) -> float:
        if self._options.published:
            return 1.0
        warmup = min(1.0, (self._n_updates + 1) / WARMUP_UPDATES)
        return warmup * 0.5 * (1 + math.cos(math.pi * self._n_updates / self._options.n_updates))

    def _average_weights(self) -> None:
        horizon = min(LONGEST_AVERAGE, max(1.0, AVERAGE_FRACTION * self._options.n_updates))
        decay = min(1 - 1 / horizon, self._n_updates / (self._n_updates + 9))
        if self._options.published:
            decay = 0.0
        with torch.no_grad():
            pairs = zip(self.average.parameters(), self._network.parameters(), strict=True)
            for averaged, current in pairs:
                averaged.lerp_(current, 1 - decay)
            # What batch normalisation has seen is an average already.
            for averaged, current in zip(self.average.buffers(), self._network.buffers(), strict=True):
                averaged.copy_(current)

    def _facts(self) -> dict[str, Any]:
        return {
            "options": dataclasses.asdict(self._options),
            "architecture": self._network.architecture,
            "filter_base": self._network.filter_base,
            "data": self._fingerprint,
        }

    def _save(self, path: Path) -> None:
        tensors = {f"network.{name}": value for name, value in self._network.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.state_dict().items()}
        for index, state in self._optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{name}": value for name, value in state.items()}
        facts = {
            **self._facts(),
            "tile_size": self._tile_size,
            "n_updates": self._n_updates,
            "epoch_losses": self.epoch_losses,
            "rng": self._rng.bit_generator.state,
        }
        save_tensors(path, tensors, facts)

    def _restore(self, path: Path) -> None:
        tensors, facts = load_tensors(path)
        for name, value in self._facts().items():
            if facts.get(name) != value:
                raise SpisonetError(
                    f"{path} is of a run with other {name} ({facts.get(name)}, now {value}); "
                    "repeat the same command line on the same files to resume it."
                )
        groups: dict[str, dict[str, Tensor]] = {"network": {}, "average": {}, "optimiser": {}}
        for name, tensor in tensors.items():
            kind, _, rest = name.partition(".")
            groups[kind][rest] = tensor
        self._network.load_state_dict(groups["network"])
        self.average.load_state_dict(groups["average"])
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in groups["optimiser"].items():
            index, _, key = name.partition(".")
            state.setdefault(int(index), {})[key] = tensor
        self._optimiser.load_state_dict({**self._optimiser.state_dict(), "state": state})
        self._tile_size = facts["tile_size"]
        self._n_updates, self.epoch_losses = facts["n_updates"], facts["epoch_losses"]
        self._rng.bit_generator.state = facts["rng"]
