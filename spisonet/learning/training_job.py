"""A training job, and the processes that carry it out together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from spisonet.io.numbers import counted
from spisonet.io.stages import StageProgress
from spisonet.learning.devices import keep_freed_memory
from spisonet.learning.process_group import SINGLE_PROCESS
from spisonet.learning.trainer import Trainer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Self

    import torch
    from torch import Tensor

    from spisonet.learning.objectives import Objective
    from spisonet.learning.process_group import ProcessGroup
    from spisonet.learning.trainer import Score, TrainingOptions, TrainingState
    from spisonet.learning.unet import Network

LARGE_DATA_BYTES = 2**28  # from here on the C library returns freed memory


class TrainingData(Protocol):
    """Data of a training: a measurement, or a set of tomograms."""

    @property
    def nbytes(self) -> int:
        """Size in bytes."""

    @property
    def fingerprint(self) -> str:
        """Short hash of the data."""

    def to(self, device: torch.device | str) -> Self:
        """Return the same data on another device."""


@dataclass(frozen=True)
class TrainingJob:
    """Everything that a process needs to train.

    Attributes
    ----------
    title : str
        Name of the training in the log.
    data : TrainingData
        Training data; picklable.
    make_objective : callable
        Creates the objective from the data on the device; picklable.
    network : Network
        The network with its initial weights.
    options : TrainingOptions
        Training parameters.
    tile_size : int
        Tile edge of predictions in voxels.
    first_part : bool
        Stop after the first part of the training, which continues on other data; see `Trainer.train`.
    """

    title: str
    data: TrainingData
    make_objective: Callable[[Any], Objective]
    network: Network
    options: TrainingOptions
    tile_size: int
    first_part: bool = False

    @property
    def description(self) -> str:
        """Sentence for the log: what is trained on, and how long."""
        options = self.options
        most = "at most " if options.until_plateau else ""
        return (
            f"Training on {self.title}: {most}{options.n_updates} updates of "
            f"{counted(options.batch_size, 'subvolume')}."
        )

    def prepare(
        self, device: torch.device, group: ProcessGroup = SINGLE_PROCESS
    ) -> tuple[Trainer, Objective]:
        """Create the trainer of this process, and its objective."""
        if self.data.nbytes < LARGE_DATA_BYTES:
            keep_freed_memory()
        data = self.data.to(device)
        objective = self.make_objective(data)
        fingerprint = data.fingerprint
        trainer = Trainer(self.network, objective, self.options, device, self.tile_size, fingerprint, group)
        return trainer, objective

    def predict(
        self, trainer: Trainer, data: TrainingData, device: torch.device, title: str
    ) -> Tensor | None:
        """Predict other data than those of the training with its network, in this process alone.

        Parameters
        ----------
        trainer : Trainer
            With the trained network.
        data : TrainingData
            Data to predict, such as the average of the halves that the network was trained on.
        device : torch.device
            Device of this process.
        title : str
            Name of the data in the progress.

        Returns
        -------
        Tensor or None
            As `Objective.predict`.
        """
        objective = self.make_objective(data.to(device))
        return predict_with_progress(objective, trainer.predict_locally, title)


def train(
    training_job: TrainingJob,
    device: torch.device,
    group: ProcessGroup,
    checkpoint: Path | None,
    resume: bool,
    after_epoch: Callable[[Trainer], None] | None = None,
    further_predictions: float = 0.0,
    start: TrainingState | None = None,
    score: Score | None = None,
) -> tuple[Trainer, Tensor | None]:
    """Train in all processes; called in the main one while the others run `join_workers`.

    Parameters
    ----------
    training_job : TrainingJob
        Data, network and parameters.
    device : torch.device
        Device of the main process.
    group : ProcessGroup
        The processes that train together.
    checkpoint : Path or None
        File of the training state, see `Trainer.train`.
    resume : bool
        Continue from the checkpoint.
    after_epoch : callable, optional
        Called in the main process after every epoch.
    further_predictions : float
        Predictions that follow that of this function, as a multiple of it, for the estimate of the time left.
    start : TrainingState, optional
        State of a training on other data that is continued.
    score : callable, optional
        Score of the averaged network in the main process, see `Trainer.train`.

    Returns
    -------
    Trainer
        With the trained network.
    Tensor or None
        ``(n_halves, z, y, x)`` its prediction; None for tomograms.
    """
    if group.count > 1:
        group.broadcast(replace(training_job, data=training_job.data.to("cpu")))
    return _train(
        training_job, device, group, checkpoint, resume, after_epoch, further_predictions, start, score
    )


def join_workers(device: torch.device, group: ProcessGroup) -> None:
    """Take part in the trainings of the main process until it calls `stop_workers`."""
    nothing: TrainingJob | None = None
    while (training_job := group.broadcast(nothing)) is not None:
        _train(training_job, device, group, None, resume=False)


def stop_workers(group: ProcessGroup) -> None:
    """End `join_workers` in the other processes."""
    group.broadcast(None)


def _train(
    training_job: TrainingJob,
    device: torch.device,
    group: ProcessGroup,
    checkpoint: Path | None,
    resume: bool,
    after_epoch: Callable[[Trainer], None] | None = None,
    further_predictions: float = 0.0,
    start: TrainingState | None = None,
    score: Score | None = None,
) -> tuple[Trainer, Tensor | None]:
    trainer, objective = training_job.prepare(device, group)
    if start is not None:
        trainer.continue_from(start)
    if training_job.options.epochs:
        callback = None if after_epoch is None else partial(after_epoch, trainer)
        trainer.train(
            training_job.title,
            checkpoint,
            resume,
            callback,
            1 + further_predictions,
            training_job.first_part,
            score,
        )
    return trainer, predict_with_progress(objective, trainer.predict, training_job.title, group.is_main)


def predict_with_progress(
    objective: Objective, predict: Callable[[Tensor], Tensor], title: str, shown: bool = True
) -> Tensor | None:
    """Predict as `Objective.predict` and report the progress."""
    with StageProgress("prediction", title, objective.n_predictions, "maps", shown) as progress:

        def counted(volumes: Tensor) -> Tensor:
            prediction = predict(volumes)
            progress.advance(len(volumes))
            return prediction

        return objective.predict(counted)
