"""Estimated duration of a training, from the speed of earlier jobs or of this machine."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from spisonet.errors import SpisonetError
from spisonet.gui.forms import config_model
from spisonet.io.events import read_progress
from spisonet.io.training_duration import machine_speed, subvolume_operations, training_operations

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spisonet.gui.job import Job
    from spisonet.io.config import CommandConfig

LARGEST_RATIO = 10.0  # of the operations of two trainings for a subvolume
SECONDS_OF_A_MEASUREMENT = 20.0  # of a training, at least


def estimate_training(config: CommandConfig, n_gpus: int, earlier: Iterable[Job]) -> dict[str, Any] | None:
    """Estimate how long a training takes.

    Parameters
    ----------
    config : CommandConfig
        Configuration of a command.
    n_gpus : int
        Number of GPUs; 0: the CPU.
    earlier : iterable of Job
        Jobs of this machine, newest first.

    Returns
    -------
    dict or None
        ``seconds``, and in ``basis`` the job whose speed was used, or None for that of the machine. None if
        the command does not train.
    """
    operations = training_operations(config)
    if operations is None:
        return None
    for job in earlier:
        speed = _speed_of(job, n_gpus > 0, subvolume_operations(config))
        if speed is not None:
            return {"seconds": operations / speed, "basis": job.name}
    return {"seconds": operations / machine_speed(n_gpus, config.model_dump()["ncpus"]), "basis": None}


def _speed_of(job: Job, on_gpu: bool, of_subvolume: float) -> float | None:
    """Return the operations per second of the training of a job.

    None if it has not trained on such a device, or a network or subvolumes of quite another size, with which
    the speed differs.
    """
    target = job.launch.get("target")
    if not isinstance(target, dict) or target.get("slurm") or bool(target.get("gpus")) != on_gpu:
        return None
    with suppress(SpisonetError, LookupError, TypeError, ValueError, ZeroDivisionError):
        model = config_model(job.program, job.command)
        config = model.model_validate(job.record["config"])
        operations = training_operations(config)
        if not operations:  # before the progress is read, which takes longer
            return None
        if not 1 / LARGEST_RATIO <= subvolume_operations(config) / of_subvolume <= LARGEST_RATIO:
            return None
        events = [event for event in read_progress(job.folder) if event.stage == "training"]
        first, last = events[0], events[-1]
        seconds = last.time - first.time
        done = (last.done + (last.part or 0) - first.done - (first.part or 0)) / last.total
        is_one = (first.title, first.total) == (last.title, last.total)  # not shortened by --epochs auto
        if is_one and seconds > SECONDS_OF_A_MEASUREMENT and done > 0:
            return operations * done / seconds
    return None
