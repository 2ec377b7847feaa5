"""Training of a network in one process or several, with averaged weights and exact resumption."""

from __future__ import annotations

import copy
import dataclasses
import logging
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

from spisonet.errors import SpisonetError
from spisonet.io.json_files import validated
from spisonet.learning.checkpoint import CheckpointRecord, damaged, load_tensors, save_tensors
from spisonet.learning.devices import Backend, empty_cache
from spisonet.learning.memory import is_out_of_memory
from spisonet.learning.process_group import SINGLE_PROCESS
from spisonet.learning.progress import TrainingProgress
from spisonet.learning.refresh_schedule import RefreshSchedule
from spisonet.learning.tiling import clip_tile, predict_volumes
from spisonet.learning.training_end import end_sentence, reached_end
from spisonet.learning.unet import discard_batch_statistics, fused, update_running_statistics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from spisonet.learning.objectives import Batch, Objective
    from spisonet.learning.process_group import ProcessGroup
    from spisonet.learning.unet import Network

log = logging.getLogger("spisonet")

# Tensors on the CPU, and JSON-serialisable metadata.
TrainingState: TypeAlias = "tuple[dict[str, Tensor], dict[str, Any]]"
# Of the averaged network: from the objective, and what applies the network to volumes (n, z, y, x).
Score: TypeAlias = "Callable[[Objective, Callable[[Tensor], Tensor]], float]"

WARMUP_UPDATES = 30
MAX_AVERAGED_UPDATES = 1000
AVERAGED_FRACTION = 0.2  # of all updates
MAX_GRADIENT_NORM = 1.0
FIRST_PART = 0.5  # of the updates, before a training continues on other data
OPTIMISER_STATE = {"step", "exp_avg", "exp_avg_sq"}  # of Adam, for each parameter
MIN_UPDATES_TO_COMPILE = 1000
UPDATES_PER_LOSS_READING = 10
SECONDS_BETWEEN_CHECKPOINTS = 300.0  # within an epoch
# New subvolumes with which the trained and the untrained network are compared, and those of an epoch for one
# that is compared after it.
N_COMPARED, COMPARISON_SEED = 32, 1
SUBVOLUMES_PER_COMPARED = 100


@dataclass(frozen=True)
class TrainingOptions:
    """Training parameters.

    Attributes
    ----------
    epochs, subvolumes_per_epoch, batch_size : int
        An epoch ends with a checkpoint. An update uses one batch, which is divided among the processes.
    n_splits : int
        Number of parts in which a process computes its share of a batch; more parts save memory.
    learning_rate : float
        Maximum of the schedule: a linear warm-up, then half a cosine to zero.
    seed : int
        Seed of all random numbers.
    published : bool
        Train as spIsoNet does: constant learning rate, no weight averaging, no gradient clipping, float32.
    until_plateau : bool
        End the training when its score hardly rises any more, after `epochs` at the latest; see
        `reached_end`.
    """

    epochs: int
    subvolumes_per_epoch: int
    batch_size: int
    n_splits: int
    learning_rate: float
    seed: int
    published: bool = False
    until_plateau: bool = False

    @property
    def updates_per_epoch(self) -> int:
        """Number of updates in an epoch."""
        return math.ceil(self.subvolumes_per_epoch / self.batch_size)

    @property
    def n_updates(self) -> int:
        """Number of updates in the whole run."""
        return self.epochs * self.updates_per_epoch

    def learning_rate_at(self, update: int, plateau_epoch: int | None = None) -> float:
        """Return the learning rate of an update, counted from 0.

        Parameters
        ----------
        update : int
            Number of the update.
        plateau_epoch : int, optional
            With `until_plateau`: the epoch after which it falls; None while that is not known.
        """
        if self.published:
            return self.learning_rate
        begin, end = 0, self.n_updates
        if self.until_plateau:
            begin = end = (plateau_epoch or self.epochs) * self.updates_per_epoch
            end = min(2 * begin, self.n_updates)
        fallen = min(1.0, max(0, update - begin) / max(end - begin, 1))
        warmup = min(1.0, (update + 1) / WARMUP_UPDATES)
        return self.learning_rate * (warmup * 0.5 * (1 + math.cos(math.pi * fallen)))


class Trainer:
    """A network, its running average and its optimiser.

    Parameters
    ----------
    network : Network
        The network with its initial weights.
    objective : Objective
        Loss and training data.
    options : TrainingOptions
        Training parameters.
    device : torch.device
        Device of this process.
    tile_size : int
        Tile edge of whole-volume predictions in voxels; a resumed run keeps that of its checkpoint.
    fingerprint : str
        Identifies the data; a checkpoint of other data is refused.
    group : ProcessGroup
        The processes that train together. Each computes a part of every batch; all have the same weights.

    Attributes
    ----------
    network : Network
        The network that is being trained.
    average : Network
        Exponential running average of the weights: the network used for predictions.
    backend : Backend
        Device, memory layout and precision of the networks.
    compiled : callable or None
        The compiled network that trains in place of `network`, if it is compiled.
    tile_size : int
        Tile edge of whole-volume predictions in voxels.
    n_updates : int
        Number of updates done.
    epoch_losses : list of float
        Mean loss of every finished epoch.
    seconds_between_checkpoints : float
        Time after which a checkpoint is written within an epoch.
    scores : list of float
        With `TrainingOptions.until_plateau`: score after each epoch with a constant learning rate.
    end_reason : str or None
        Why these epochs ended, see `reached_end`.
    loss_reduction : float or None
        ``1 - L / L0`` of the finished training: loss ``L`` of the averaged network, and ``L0`` of the
        untrained one, which returns its input, on the same new subvolumes. None for the published training,
        and in all but the main process.
    """

    def __init__(
        self,
        network: Network,
        objective: Objective,
        options: TrainingOptions,
        device: torch.device,
        tile_size: int,
        fingerprint: str = "",
        group: ProcessGroup = SINGLE_PROCESS,
    ) -> None:
        self._fingerprint = fingerprint
        self.backend = Backend.fastest(device)
        if options.published:
            self.backend = Backend(device, bfloat16=False)
        self.network = self.backend.to_device(network)
        self.network.train()
        self.average = copy.deepcopy(self.network).eval()
        self.average.requires_grad_(requires_grad=False)
        self._device, self.tile_size = device, tile_size
        self._objective, self._options, self._group = objective, options, group
        self.compiled: Callable[[Tensor], Tensor] | None = None
        if device.type == "cuda" and options.n_updates >= MIN_UPDATES_TO_COMPILE:
            self.compiled = torch.compile(self.network, dynamic=False)
        self._n_parts = options.n_splits
        self._optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=options.learning_rate, fused=device.type != "mps"
        )
        self._rng = np.random.default_rng(options.seed)
        interval = objective.refresh_interval(options.batch_size)
        self._refreshes = RefreshSchedule(interval, options.n_updates)
        self._refresh_state: dict[str, Tensor] | None = None  # of the average, at the last refresh
        self._seconds_per_prediction = 0.0
        self.n_updates = 0
        self.epoch_losses: list[float] = []
        self.seconds_between_checkpoints = SECONDS_BETWEEN_CHECKPOINTS
        self._saved = time.monotonic()
        self._loss_in_epoch = 0.0  # sum over the updates of the current epoch
        # Of the random numbers, if the state was saved within an epoch.
        self._random_state: dict[str, Any] | None = None
        self.loss_reduction: float | None = None
        self.scores: list[float] = []
        self.end_reason: str | None = None

    @property
    def _plateau_epoch(self) -> int | None:
        return None if self.end_reason is None else len(self.scores)

    @property
    def planned_epochs(self) -> int:
        """Number of epochs of the whole training; the largest possible one while that is not known."""
        plateau = self._plateau_epoch
        return self._options.epochs if plateau is None else min(2 * plateau, self._options.epochs)

    @property
    def end_record(self) -> dict[str, Any] | None:
        """Why a training of variable length ended: ``reason``, ``epochs``, ``max_epochs``, ``scores``."""
        if not self._options.until_plateau or self.end_reason is None:
            return None
        scores = [round(score, 4) for score in self.scores]
        epochs = {"epochs": self.planned_epochs, "max_epochs": self._options.epochs}
        return {"reason": self.end_reason, **epochs, "scores": scores}

    def _end(self, first_part: bool) -> int:
        """Return the update at which the training, or its first part, ends."""
        options = self._options
        if not first_part:
            return self.planned_epochs * options.updates_per_epoch
        if options.until_plateau:
            return (self._plateau_epoch or options.epochs) * options.updates_per_epoch
        return math.ceil(FIRST_PART * options.n_updates)

    def train(
        self,
        title: str,
        checkpoint: Path | None,
        resume: bool,
        after_epoch: Callable[[], None] | None = None,
        predictions_after: float = 1.0,
        first_part: bool = False,
        score: Score | None = None,
    ) -> None:
        """Train; the checkpoint is written before the first epoch, after every epoch, and in long epochs.

        All processes call this method; only the main one needs a checkpoint.

        Parameters
        ----------
        title : str
            Name of the training in the log.
        checkpoint : Path or None
            File of the training state.
        resume : bool
            Continue from `checkpoint` if it exists.
        after_epoch : callable, optional
            Called after every epoch, and again for the last one when a checkpoint is continued.
        predictions_after : float
            Number of predictions (`Objective.predict`) that follow, for the estimate of the time left.
        first_part : bool
            Stop after the first half of the updates or, with `TrainingOptions.until_plateau`, when the
            learning rate would begin to fall.
        score : callable, optional
            Score of the averaged network, with which a training of variable length is judged in the main
            process [default: the loss reduction].

        Raises
        ------
        SpisonetError
            If the loss becomes NaN or infinite, or the checkpoint belongs to another run.
        """
        options, size = self._options, self._options.batch_size
        if checkpoint is not None and resume and checkpoint.is_file():
            self._restore(checkpoint)
            self._log_resumption(title)
            if after_epoch is not None and self.epoch_losses:
                after_epoch()  # the run may have ended between the checkpoint and this
        elif checkpoint is not None:
            self._save(checkpoint)
        if self._group.count > 1:
            self._set_state(*self._group.broadcast(self.state()))
        if self._is_between_refreshes() and self.n_updates < self._end(first_part):
            self._repeat_refresh()
        with TrainingProgress(
            title,
            self.planned_epochs * options.updates_per_epoch * size,
            self.n_updates * size,
            n_epochs=self.planned_epochs,
            shown=self._group.is_main,
        ) as progress:
            while self.n_updates < self._end(first_part):
                epoch = len(self.epoch_losses)
                self._train_epoch(epoch, progress, checkpoint, self._end(first_part))
                if len(self.epoch_losses) > epoch and options.until_plateau and self.end_reason is None:
                    self._judge(score)
                    progress.plan(self.planned_epochs * options.updates_per_epoch * size, self.planned_epochs)
                is_trained = self.n_updates >= self._end(first_part=False)
                if is_trained and self._group.is_main and not options.published:
                    self.loss_reduction = self._measure_loss_reduction(N_COMPARED)
                if checkpoint is not None:
                    self._save(checkpoint)
                if len(self.epoch_losses) == epoch:  # the first part ends within an epoch
                    break
                seconds_after = self._seconds_to_predict * predictions_after
                progress.epoch(epoch + 1, self.epoch_losses[-1], seconds_after, self._current_reduction())
                if after_epoch is not None:
                    after_epoch()

    def _judge(self, score: Score | None) -> None:
        """Enter the score of an epoch, and decide in the main process whether the learning rate falls."""
        value = 0.0
        if self._group.is_main:
            if score is None:
                value = self._measure_loss_reduction(N_COMPARED)
            else:
                value = score(self._objective, self.predict_locally)
        self.scores.append(self._group.broadcast(value))
        self.end_reason = reached_end(self.scores, self._options.epochs)
        if self._group.is_main and self.end_reason is not None:
            log.info(end_sentence(self.scores, self.end_reason, self.planned_epochs))

    def _train_epoch(
        self, epoch: int, progress: TrainingProgress, checkpoint: Path | None, last: int
    ) -> None:
        """Do the updates of an epoch that remain, up to the update `last`; enter its mean loss at its end."""
        options = self._options
        # Every epoch has its own random numbers, so that a run can be resumed at any epoch.
        self._rng = np.random.default_rng([options.seed, epoch, 0])
        if self._random_state is not None:
            self._rng.bit_generator.state = self._random_state
            self._random_state = None
        self._objective.begin_epoch(epoch)
        # Reading a loss synchronises the host with the device.
        interval = 1 if self._device.type == "cpu" else UPDATES_PER_LOSS_READING
        end_of_epoch = (epoch + 1) * options.updates_per_epoch
        end = min(end_of_epoch, last)
        losses: list[Tensor] = []
        while self.n_updates < end:
            if self._refreshes.is_due(self.n_updates):
                self._refresh()
            losses.append(self.update())
            if len(losses) < interval and self.n_updates < end:
                continue
            mean = self._mean_loss(losses)
            self._loss_in_epoch += mean * len(losses)
            progress.update(options.batch_size * len(losses), mean)
            losses.clear()
            is_due = time.monotonic() - self._saved >= self.seconds_between_checkpoints
            if checkpoint is not None and is_due and self.n_updates < end:
                self._save(checkpoint)
        if end < end_of_epoch:
            return
        self.epoch_losses.append(self._loss_in_epoch / options.updates_per_epoch)
        self._loss_in_epoch = 0.0
        self._average_batch_statistics()

    def _current_reduction(self) -> float | None:
        """Return the loss reduction so far, on a few new subvolumes; None as for `loss_reduction`."""
        if self.loss_reduction is not None:
            return self.loss_reduction
        if not self._group.is_main or self._options.published:
            return None
        n_subvolumes = self._options.subvolumes_per_epoch // SUBVOLUMES_PER_COMPARED
        return self._measure_loss_reduction(max(1, min(N_COMPARED, n_subvolumes)))

    def _log_resumption(self, title: str) -> None:
        if self.n_updates:
            log.info(
                "%s: resumed from epoch %d of %d, update %d of %d.",
                title,
                len(self.epoch_losses),
                self.planned_epochs,
                self.n_updates,
                self._end(first_part=False),
            )
        else:
            log.info("%s: the run was stopped before its first checkpoint; training starts anew.", title)

    @property
    def _seconds_to_predict(self) -> float:
        """Estimated duration of the prediction after the training, from that of the last refresh."""
        return self._seconds_per_prediction * self._objective.n_predictions

    def continue_from(self, state: TrainingState) -> None:
        """Continue a training with the same options on other data; the missing region is updated anew."""
        tensors, metadata = state
        current = {name: value for name, value in tensors.items() if not name.startswith("refresh.")}
        self._set_state(current, metadata)

    def _is_between_refreshes(self) -> bool:
        """Whether the next update depends on an earlier refresh."""
        return self._refreshes.interval > 0 and not self._refreshes.is_due(self.n_updates)

    def _refresh(self) -> None:
        state = self.average.state_dict()
        self._refresh_state = {name: value.clone() for name, value in state.items()}
        begin, n_predictions = time.monotonic(), 0

        def counted(volumes: Tensor) -> Tensor:
            nonlocal n_predictions
            n_predictions += len(volumes)
            return self.predict(volumes)

        self._objective.refresh(self._refreshes.number(self.n_updates), counted)
        self._seconds_per_prediction = (time.monotonic() - begin) / max(n_predictions, 1)

    def _repeat_refresh(self) -> None:
        """Repeat the last refresh of a resumed run, with the network of that time.

        A training that continues another one, on other data, has no refresh yet.
        """
        if self._refresh_state is None:
            self._refresh()
            return
        current = {name: value.clone() for name, value in self.average.state_dict().items()}
        self.average.load_state_dict(self._refresh_state)
        self._objective.refresh(self._refreshes.number(self.n_updates), self.predict)
        self.average.load_state_dict(current)

    def predict(self, volumes: Tensor) -> Tensor:
        """Apply the averaged network to whole volumes ``(n, z, y, x)``; all processes take part."""
        return self._predict(volumes, self._group)

    def predict_locally(self, volumes: Tensor) -> Tensor:
        """Apply the averaged network to volumes ``(n, z, y, x)`` without the other processes."""
        return self._predict(volumes.to(self._device), SINGLE_PROCESS)

    def _predict(self, volumes: Tensor, group: ProcessGroup) -> Tensor:
        network, tile_size = fused(self.average), self.tile_size
        while True:
            try:
                with torch.no_grad():
                    return predict_volumes(
                        lambda v: self.backend.apply(network, v), volumes, tile_size, group=group
                    )
            except (RuntimeError, MemoryError) as error:
                smaller = clip_tile(tile_size // 2)
                # Other processes would continue with the larger tiles.
                single = group.count == 1
                if not (is_out_of_memory(error) and single and smaller < tile_size):
                    raise
            tile_size = smaller
            if self._group.count == 1:
                self.tile_size = smaller
            log.info("Out of memory: predicting in tiles of %d voxels from now on.", smaller)
            empty_cache(self._device)

    def update(self) -> Tensor:
        """Update the weights once; return this process's share of the mean loss, on the device."""
        options = self._options
        for group in self._optimiser.param_groups:
            group["lr"] = options.learning_rate_at(self.n_updates, self._plateau_epoch)
        loss = self.compute_gradients()
        self._group.all_reduce_gradients(self.network.parameters())
        update_running_statistics(self.network, self._group.all_reduce)
        if not options.published:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), MAX_GRADIENT_NORM)
        self._optimiser.step()
        self.n_updates += 1
        self._average_weights()
        return loss

    def compute_gradients(self) -> Tensor:
        """Compute the gradients of this process's subvolumes, in smaller parts if memory runs out."""
        batch = self._objective.draw(self._options.batch_size, self._rng)  # the same in all processes
        own = self._group.local_range(self._options.batch_size)
        n_subvolumes = len(own)
        while True:
            self._optimiser.zero_grad(set_to_none=True)
            discard_batch_statistics(self.network)
            try:
                return self._accumulate_parts(batch, own)
            except Exception as error:
                if is_out_of_memory(error) and self._n_parts < n_subvolumes:
                    self._n_parts = min(2 * self._n_parts, n_subvolumes)
                    log.info("Out of memory: computing each batch in %d parts from now on.", self._n_parts)
                elif self.compiled is not None and not is_out_of_memory(error):
                    self.compiled = None
                    log.info("The network could not be compiled: training is slower, with the same result.")
                    log.debug("%s", error)
                else:
                    raise
            empty_cache(self._device)  # here, where the failed attempt's tensors are gone

    def _accumulate_parts(self, batch: Batch, own: range) -> Tensor:
        network = self.compiled or self.network
        total = torch.zeros((), device=self._device)
        for part in np.array_split(own, min(self._n_parts, max(len(own), 1))):
            if not len(part):
                continue
            fraction = len(part) / self._options.batch_size
            loss = fraction * batch.loss(
                lambda volumes: self.backend.apply(network, volumes[:, None])[:, 0],
                slice(int(part[0]), int(part[-1]) + 1),
            )
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    def _mean_loss(self, losses: list[Tensor]) -> float:
        """Read the mean of some updates' losses over all processes, and stop if it is not finite."""
        total = torch.stack(losses).sum()
        self._group.all_reduce(total)
        mean = total.item() / len(losses)
        if not math.isfinite(mean):
            raise SpisonetError(
                f"Training stopped: the loss became {mean} at update {self.n_updates}; "
                "lower --learning_rate and check the maps for extreme values.",
                code="loss_not_finite",
                field="learning_rate",
            )
        return mean

    def _average_weights(self) -> None:
        n_updates = self._end(first_part=False)
        if self._options.until_plateau and self.end_reason is None:
            n_updates = min(2 * self.n_updates, n_updates)  # if the learning rate fell from here on
        n_averaged = min(MAX_AVERAGED_UPDATES, max(1.0, AVERAGED_FRACTION * n_updates))
        decay = min(1 - 1 / n_averaged, self.n_updates / (self.n_updates + 9))
        if self._options.published:
            decay = 0.0
        with torch.no_grad():
            average_in = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
            average_in(list(self.average.parameters()), list(self.network.parameters()), self.n_updates)
            # The statistics of the normalisation are running averages already.
            torch._foreach_copy_(list(self.average.buffers()), list(self.network.buffers()))

    def _measure_loss_reduction(self, n_subvolumes: int) -> float:
        """Compare the averaged network with the untrained one, which returns its input, on new subvolumes."""
        size, rng = self._options.batch_size, np.random.default_rng([self._options.seed, COMPARISON_SEED])
        losses = {"trained": 0.0, "untrained": 0.0}
        networks: dict[str, Callable[[Tensor], Tensor]] = {
            "trained": lambda volumes: self.backend.apply(self.average, volumes[:, None])[:, 0],
            "untrained": lambda volumes: volumes,
        }
        with torch.no_grad():
            for _ in range(math.ceil(n_subvolumes / size)):
                batch = self._objective.draw(size, rng)
                for index in range(size):  # one at a time, to save memory
                    for name, network in networks.items():
                        losses[name] += float(batch.loss(network, slice(index, index + 1)))
        return 1 - losses["trained"] / losses["untrained"] if losses["untrained"] > 0 else 0.0

    def _average_batch_statistics(self) -> None:
        """Average the statistics of the published network's batch normalisation over all processes."""
        for network in (self.network, self.average):
            for layer in network.modules():
                if type(layer) is torch.nn.BatchNorm3d:
                    for statistics in (layer.running_mean, layer.running_var):
                        assert statistics is not None
                        self._group.all_reduce(statistics)
                        statistics.div_(self._group.count)

    def _metadata(self) -> dict[str, Any]:
        options = dataclasses.asdict(self._options)
        del options["n_splits"]  # depends on the free memory
        if not self._options.until_plateau:  # as in states of earlier versions
            del options["until_plateau"]
        return {
            "options": options,
            "architecture": self.network.architecture,
            "filter_base": self.network.filter_base,
            "data": self._fingerprint,
        }

    def state(self) -> TrainingState:
        """Return the training state as tensors on the CPU and JSON-serialisable metadata."""
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.state_dict().items()}
        if self._refresh_state is not None and not self._refreshes.is_due(self.n_updates):
            tensors |= {f"refresh.{name}": value for name, value in self._refresh_state.items()}
        for index, state in self._optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{name}": value for name, value in state.items()}
        metadata = {
            **self._metadata(),
            "tile_size": self.tile_size,
            "n_splits": self._n_parts,
            "refresh_interval": self._refreshes.interval,
            "memory_settings": self._objective.memory_settings(),
            "n_updates": self.n_updates,
            "epoch_losses": list(self.epoch_losses),
            "loss_in_epoch": self._loss_in_epoch,
            "random_state": self._rng.bit_generator.state if self._is_within_epoch else None,
            "loss_reduction": self.loss_reduction,
            "scores": list(self.scores),
            "end_reason": self.end_reason,
        }
        return {name: tensor.detach().cpu() for name, tensor in tensors.items()}, metadata

    def _set_state(self, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
        groups: dict[str, dict[str, Tensor]] = {"network": {}, "average": {}, "optimiser": {}, "refresh": {}}
        for name, tensor in tensors.items():
            kind, _, rest = name.partition(".")
            groups[kind][rest] = tensor
        self.network.load_state_dict(groups["network"])
        self.average.load_state_dict(groups["average"])
        self._refresh_state = groups["refresh"] or None
        parameters = list(self.network.parameters())
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in groups["optimiser"].items():
            index, _, key = name.partition(".")
            parameter = parameters[int(index)]
            if int(index) < 0 or tensor.shape != (() if key == "step" else parameter.shape):
                raise ValueError(name)
            # The fused optimiser requires the memory layout of the weights for its state.
            like = parameter if tensor.shape == parameter.shape else tensor
            state.setdefault(int(index), {})[key] = torch.empty_like(like).copy_(tensor).detach()
        if any(own.keys() != OPTIMISER_STATE for own in state.values()):
            raise KeyError("optimiser")
        self._optimiser.load_state_dict({**self._optimiser.state_dict(), "state": state})
        self.tile_size, self._n_parts = metadata["tile_size"], metadata["n_splits"]
        self._refreshes = RefreshSchedule(metadata["refresh_interval"], self._options.n_updates)
        self._objective.restore_memory_settings(metadata["memory_settings"])
        self.n_updates = metadata["n_updates"]
        self.epoch_losses = [math.nan if loss is None else loss for loss in metadata["epoch_losses"]]
        self._loss_in_epoch = metadata.get("loss_in_epoch", 0.0)
        self._random_state = metadata.get("random_state")
        if self._random_state is not None:
            self._rng.bit_generator.state = self._random_state  # for a state that is saved before an update
        self.loss_reduction = metadata.get("loss_reduction")
        self.scores, self.end_reason = list(metadata.get("scores", [])), metadata.get("end_reason")

    @property
    def _is_within_epoch(self) -> bool:
        return self.n_updates > len(self.epoch_losses) * self._options.updates_per_epoch

    def _save(self, path: Path) -> None:
        save_tensors(path, *self.state())
        self._saved = time.monotonic()

    def _restore(self, path: Path) -> None:
        tensors, metadata = load_tensors(path)
        for name, value in self._metadata().items():
            if metadata.get(name) != value:
                raise SpisonetError(
                    f"{path} belongs to a run with other {name} ({metadata.get(name)}, now {value}); "
                    "repeat the same command line on the same files to resume it."
                )
        validated(CheckpointRecord, metadata, path)
        n_updates, n_epochs = metadata["n_updates"], len(metadata["epoch_losses"])
        in_epoch = n_updates - n_epochs * self._options.updates_per_epoch
        # Within an epoch, the state of the random numbers is needed as well.
        is_within = (
            0 < in_epoch < self._options.updates_per_epoch and metadata.get("random_state") is not None
        )
        if not (in_epoch == 0 or is_within) or n_epochs > self._options.epochs:
            raise damaged(path, f"n_updates is {n_updates} after {n_epochs} epochs")
        try:
            self._set_state(tensors, metadata)
        except (LookupError, TypeError, ValueError, RuntimeError) as error:  # foreign names and shapes
            raise damaged(path, "its tensors are not those of this training") from error
