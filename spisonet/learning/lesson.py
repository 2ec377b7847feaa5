"""What a network is to learn, and the processes that learn it together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spisonet.learning.devices import keep_freed_memory
from spisonet.learning.processes import ALONE
from spisonet.learning.trainer import Trainer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import torch
    from torch import Tensor

    from spisonet.learning.measurement import Measurement
    from spisonet.learning.objectives import Objective
    from spisonet.learning.processes import Processes
    from spisonet.learning.trainer import TrainingOptions
    from spisonet.learning.unet import Network

LARGE_MAPS_BYTES = 2**28  # of which the C library should rather give back what is freed


@dataclass(frozen=True)
class Lesson:
    """Everything that a process needs to take part in a training.

    Attributes
    ----------
    title : str
        What to call it in the log.
    measurement : Measurement
        What to learn from.
    make_objective : callable
        Picklable; makes the objective from the measurement on the device.
    network : Network
        Start weights.
    options : TrainingOptions
        How to train.
    tile_size : int
        Tile edge of predictions in voxels.
    """

    title: str
    measurement: Measurement
    make_objective: Callable[[Measurement], Objective]
    network: Network
    options: TrainingOptions
    tile_size: int

    def prepare(self, device: torch.device, processes: Processes = ALONE) -> tuple[Trainer, Objective]:
        """Make the trainer of this process, and its objective."""
        if self.measurement.data.nbytes < LARGE_MAPS_BYTES:
            keep_freed_memory()
        measurement = self.measurement.to(device)
        objective = self.make_objective(measurement)
        fingerprint = measurement.fingerprint
        trainer = Trainer(
            self.network, objective, self.options, device, self.tile_size, fingerprint, processes
        )
        return trainer, objective


def teach(
    lesson: Lesson, device: torch.device, processes: Processes, checkpoint: Path | None, resume: bool
) -> tuple[Trainer, Tensor]:
    """Train with all processes; called in the main one while the others `attend`.

    Returns
    -------
    Trainer
        With the trained network.
    Tensor
        ``(n_halves, z, y, x)`` its answer to the measurement.
    """
    if processes.count > 1:
        processes.broadcast(replace(lesson, measurement=lesson.measurement.to("cpu")))
    return _train(lesson, device, processes, checkpoint, resume)


def attend(device: torch.device, processes: Processes) -> None:
    """Take part in the main process's trainings until it `dismiss`es the others."""
    nothing: Lesson | None = None
    while (lesson := processes.broadcast(nothing)) is not None:
        _train(lesson, device, processes, None, resume=False)


def dismiss(processes: Processes) -> None:
    """Tell the other processes that no training follows."""
    processes.broadcast(None)


def _train(
    lesson: Lesson, device: torch.device, processes: Processes, checkpoint: Path | None, resume: bool
) -> tuple[Trainer, Tensor]:
    trainer, objective = lesson.prepare(device, processes)
    if lesson.options.epochs:
        trainer.train(lesson.title, checkpoint, resume)
    return trainer, objective.answer(trainer.predict)
