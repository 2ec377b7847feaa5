"""What a network is to learn, and the processes that learn it together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from spisonet.learning.devices import keep_freed_memory
from spisonet.learning.process_group import ALONE
from spisonet.learning.trainer import Trainer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Self

    import torch
    from torch import Tensor

    from spisonet.learning.objectives import Objective
    from spisonet.learning.process_group import ProcessGroup
    from spisonet.learning.trainer import TrainingOptions
    from spisonet.learning.unet import Network

LARGE_MAPS_BYTES = 2**28  # of which the C library should rather give back what is freed


class TrainingData(Protocol):
    """What can be learned from: one measurement, or many tomograms."""

    @property
    def nbytes(self) -> int:
        """Size in memory."""

    @property
    def fingerprint(self) -> str:
        """Short hash of the data."""

    def to(self, device: torch.device | str) -> Self:
        """Return the same on another device."""


@dataclass(frozen=True)
class TrainingJob:
    """Everything that a process needs to take part in a training.

    Attributes
    ----------
    title : str
        What to call it in the log.
    data : TrainingData
        What to learn from; picklable.
    make_objective : callable
        Picklable; makes the objective from the data on the device.
    network : Network
        Start weights.
    options : TrainingOptions
        How to train.
    tile_size : int
        Tile edge of predictions in voxels.
    """

    title: str
    data: TrainingData
    make_objective: Callable[[Any], Objective]
    network: Network
    options: TrainingOptions
    tile_size: int

    def prepare(self, device: torch.device, processes: ProcessGroup = ALONE) -> tuple[Trainer, Objective]:
        """Make the trainer of this process, and its objective."""
        if self.data.nbytes < LARGE_MAPS_BYTES:
            keep_freed_memory()
        data = self.data.to(device)
        objective = self.make_objective(data)
        fingerprint = data.fingerprint
        trainer = Trainer(
            self.network, objective, self.options, device, self.tile_size, fingerprint, processes
        )
        return trainer, objective


def train(
    training_job: TrainingJob,
    device: torch.device,
    processes: ProcessGroup,
    checkpoint: Path | None,
    resume: bool,
    after_epoch: Callable[[Trainer], None] | None = None,
) -> tuple[Trainer, Tensor | None]:
    """Train with all processes; called in the main one while the others `join_workers`.

    Parameters
    ----------
    training_job : TrainingJob
        What to learn.
    device : torch.device
        Of the main process.
    processes : ProcessGroup
        Who learns.
    checkpoint : Path or None
        Training state, see `Trainer.train`.
    resume : bool
        Continue from it.
    after_epoch : callable, optional
        Called in the main process after every epoch.

    Returns
    -------
    Trainer
        With the trained network.
    Tensor or None
        ``(n_halves, z, y, x)`` its answer to the data, if that is one object.
    """
    if processes.count > 1:
        processes.broadcast(replace(training_job, data=training_job.data.to("cpu")))
    return _train(training_job, device, processes, checkpoint, resume, after_epoch)


def join_workers(device: torch.device, processes: ProcessGroup) -> None:
    """Take part in the main process's trainings until it `stop_workers`es the others."""
    nothing: TrainingJob | None = None
    while (training_job := processes.broadcast(nothing)) is not None:
        _train(training_job, device, processes, None, resume=False)


def stop_workers(processes: ProcessGroup) -> None:
    """Tell the other processes that no training follows."""
    processes.broadcast(None)


def _train(
    training_job: TrainingJob,
    device: torch.device,
    processes: ProcessGroup,
    checkpoint: Path | None,
    resume: bool,
    after_epoch: Callable[[Trainer], None] | None = None,
) -> tuple[Trainer, Tensor | None]:
    trainer, objective = training_job.prepare(device, processes)
    if training_job.options.epochs:
        follow = None if after_epoch is None else partial(after_epoch, trainer)
        trainer.train(training_job.title, checkpoint, resume, follow)
    return trainer, objective.predict(trainer.predict)
