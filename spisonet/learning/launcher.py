"""Run a training command on its devices and processes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol, TypeVar

from spisonet.errors import SpisonetError
from spisonet.io.training_duration import duration_sentence
from spisonet.learning.devices import choose_devices, use_cpu_threads
from spisonet.learning.memory import GIGABYTE, Memory, is_out_of_memory
from spisonet.learning.process_group import (
    local_count,
    local_rank,
    process_group,
    run_in_processes,
    started_by_torchrun,
)
from spisonet.learning.training_job import join_workers, stop_workers

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from spisonet.io.config import ProfiledConfig
    from spisonet.learning.process_group import ProcessGroup

log = logging.getLogger("spisonet")


class DeviceChoices(Protocol):
    """The options of a command that select the devices."""

    @property
    def device(self) -> str | None:
        """Name of the device."""

    @property
    def gpuID(self) -> str | None:  # noqa: N802 - the published name
        """CUDA indices, such as ``0,1``."""

    @property
    def ncpus(self) -> int:
        """CPU threads."""

    @property
    def memory_limit(self) -> float | None:
        """Maximum memory in gigabytes."""


C = TypeVar("C", bound=DeviceChoices)


def run_on_devices(
    run: Callable[[C], None], config: C, work: Callable[[C, Memory, ProcessGroup], None]
) -> None:
    """Run `work` in the main process, with one worker process for each further device.

    Parameters
    ----------
    run : callable
        Importable by name; calls this function. New processes are started with it.
    config
        Its configuration.
    work : callable
        Called with the configuration, the memory of the main process's device, and the process group.

    Raises
    ------
    SpisonetError
        If the devices do not exist, or the work fails.
    """
    devices = choose_devices(config.device, config.gpuID, local_count())
    if len(devices) > 1 and not started_by_torchrun():
        run_in_processes(run, config, len(devices))
        return
    if len(devices) < local_count():
        raise SpisonetError(f"torchrun started {local_count()} processes for {len(devices)} GPUs.")
    device = devices[local_rank()]
    use_cpu_threads(config.ncpus, local_count())
    memory = Memory(device, None if config.memory_limit is None else config.memory_limit * GIGABYTE)
    memory.enforce()
    with process_group(device) as group:
        if group.is_main:
            try:
                work(config, memory, group)
            except Exception as error:
                translated = out_of_memory_error(device)(error)
                if translated is error:
                    raise
                raise translated from error
            stop_workers(group)
        else:
            join_workers(device, group)


def out_of_memory_error(device: torch.device) -> Callable[[Exception], Exception]:
    """Return a function that turns an exception for lack of memory on a device into a `SpisonetError`.

    It returns any other exception as it is; see `spisonet.io.run_record.recorded`.
    """

    def translate(error: Exception) -> Exception:
        if not is_out_of_memory(error):
            return error
        return SpisonetError(
            f"{device} is out of memory even with one subvolume at a time: reduce --cube_size or "
            "--filter_base.",
            code="out_of_memory",
            field="cube_size",
        )

    return translate


def log_duration(config: ProfiledConfig, device: torch.device, n_processes: int) -> None:
    """Log how long a training will take on this machine, before it begins, and what shorter profiles take.

    Nothing is logged of a run that is resumed, a part of which is done.
    """
    if config.model_dump()["resume"]:
        return
    sentence = duration_sentence(config, 0 if device.type == "cpu" else n_processes)
    if sentence is not None:
        log.info(sentence)
