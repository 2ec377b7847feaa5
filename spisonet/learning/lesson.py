"""What a network is to learn, and the processes that learn it together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from spisonet.learning.devices import keep_freed_memory
from spisonet.learning.processes import ALONE
from spisonet.learning.trainer import Trainer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Self

    import torch
    from torch import Tensor

    from spisonet.learning.objectives import Objective
    from spisonet.learning.processes import Processes
    from spisonet.learning.trainer import TrainingOptions
    from spisonet.learning.unet import Network

LARGE_MAPS_BYTES = 2**28  # of which the C library should rather give back what is freed


class Subject(Protocol):
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
class Lesson:
    """Everything that a process needs to take part in a training.

    Attributes
    ----------
    title : str
        What to call it in the log.
    subject : Subject
        What to learn from; picklable.
    make_objective : callable
        Picklable; makes the objective from the subject on the device.
    network : Network
        Start weights.
    options : TrainingOptions
        How to train.
    tile_size : int
        Tile edge of predictions in voxels.
    """

    title: str
    subject: Subject
    make_objective: Callable[[Any], Objective]
    network: Network
    options: TrainingOptions
    tile_size: int

    def prepare(self, device: torch.device, processes: Processes = ALONE) -> tuple[Trainer, Objective]:
        """Make the trainer of this process, and its objective."""
        if self.subject.nbytes < LARGE_MAPS_BYTES:
            keep_freed_memory()
        subject = self.subject.to(device)
        objective = self.make_objective(subject)
        fingerprint = subject.fingerprint
        trainer = Trainer(
            self.network, objective, self.options, device, self.tile_size, fingerprint, processes
        )
        return trainer, objective


def teach(
    lesson: Lesson,
    device: torch.device,
    processes: Processes,
    checkpoint: Path | None,
    resume: bool,
    after_epoch: Callable[[Trainer], None] | None = None,
) -> tuple[Trainer, Tensor | None]:
    """Train with all processes; called in the main one while the others `attend`.

    Parameters
    ----------
    lesson : Lesson
        What to learn.
    device : torch.device
        Of the main process.
    processes : Processes
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
        ``(n_halves, z, y, x)`` its answer to the subject, if that is one object.
    """
    if processes.count > 1:
        processes.broadcast(replace(lesson, subject=lesson.subject.to("cpu")))
    return _train(lesson, device, processes, checkpoint, resume, after_epoch)


def attend(device: torch.device, processes: Processes) -> None:
    """Take part in the main process's trainings until it `dismiss`es the others."""
    nothing: Lesson | None = None
    while (lesson := processes.broadcast(nothing)) is not None:
        _train(lesson, device, processes, None, resume=False)


def dismiss(processes: Processes) -> None:
    """Tell the other processes that no training follows."""
    processes.broadcast(None)


def _train(
    lesson: Lesson,
    device: torch.device,
    processes: Processes,
    checkpoint: Path | None,
    resume: bool,
    after_epoch: Callable[[Trainer], None] | None = None,
) -> tuple[Trainer, Tensor | None]:
    trainer, objective = lesson.prepare(device, processes)
    if lesson.options.epochs:
        follow = None if after_epoch is None else partial(after_epoch, trainer)
        trainer.train(lesson.title, checkpoint, resume, follow)
    return trainer, objective.answer(trainer.predict)
