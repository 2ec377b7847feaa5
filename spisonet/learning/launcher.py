"""Run a training command on its devices and processes; keep its record; check that it can be resumed."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from spisonet.errors import SpisonetError
from spisonet.io.logs import log_to_folder
from spisonet.io.run_record import JOB_FILE, changed_option, read_job_record, write_job_record
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
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import torch

    from spisonet.io.config import CommandConfig
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
            work(config, memory, group)
            stop_workers(group)
        else:
            join_workers(device, group)


@contextmanager
def recorded(
    config: CommandConfig, folder: Path, device: torch.device | None = None, **known: object
) -> Iterator[dict[str, Any]]:
    """Keep ``job.json`` and the log of a run; yields what is known of its outcome, to be added to.

    Parameters
    ----------
    config : CommandConfig
        What was asked for.
    folder : Path
        Output folder, which exists.
    device : torch.device, optional
        Whose lack of memory is to be explained.
    **known
        What is recorded from the beginning.
    """
    started = time.monotonic()
    outcome: dict[str, Any] = dict(known)
    with log_to_folder(folder):
        write_job_record(folder, config, status="running", **known)
        try:
            yield outcome
        except KeyboardInterrupt:
            write_job_record(folder, config, status="interrupted", **known)
            log.info("Interrupted: repeat the command with --resume to continue where it was.")
            raise
        except Exception as error:
            write_job_record(folder, config, status="failed", **known)
            if is_out_of_memory(error):
                raise SpisonetError(
                    f"{device} ran out of memory even with one crop at a time: "
                    "give a smaller --cube_size or --filter_base."
                ) from error
            raise
        outcome["seconds"] = round(time.monotonic() - started, 1)
        write_job_record(folder, config, status="finished", **outcome)


def require_same_run(config: CommandConfig, folder: Path) -> None:
    """Check that a folder holds a run that can be resumed with this configuration.

    Raises
    ------
    SpisonetError
        If it holds none, or one with another option.
    """
    if not (folder / JOB_FILE).is_file():
        raise SpisonetError(f"There is no run to resume in {folder}: it holds no {JOB_FILE}.")
    record = read_job_record(folder)
    if name := changed_option(config, record):
        raise SpisonetError(
            f"--{name} was {record['config'].get(name)} in the run in {folder} and is "
            f"{getattr(config, name)} now; repeat the same command line to resume it."
        )
