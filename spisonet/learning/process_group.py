"""Processes that train one network together: a single one, or one for each device under ``torchrun``."""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import tempfile
import uuid
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from spisonet.errors import SpisonetError
from spisonet.io.logs import TerminalHandler, keep_early_records, take_early_records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from torch import Tensor

log = logging.getLogger("spisonet")

T = TypeVar("T")
R = TypeVar("R")
W = TypeVar("W")
TIMEOUT = timedelta(days=1)  # while the main process prepares; processes that die are detected otherwise
PARENT_DEATH_SIGNAL = 1  # prctl's PR_SET_PDEATHSIG


@dataclass(frozen=True)
class ProcessGroup:
    """The processes that work together, seen from one of them.

    Attributes
    ----------
    rank : int
        Number of this process; the main process, which reads and writes files, is 0.
    count : int
        Number of processes.
    """

    rank: int = 0
    count: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process reads and writes files."""
        return self.rank == 0

    def local_range(self, n: int) -> range:
        """Return which of `n` equal pieces of work this process takes."""
        bounds = [n * rank // self.count for rank in (self.rank, self.rank + 1)]
        return range(*bounds)

    def broadcast(self, value: T) -> T:
        """Return the main process's value in every process."""
        if self.count == 1:
            return value
        values = [value]
        torch.distributed.broadcast_object_list(values, src=0)
        return values[0]

    def all_reduce(self, tensor: Tensor) -> None:
        """Replace a tensor by its sum over all processes."""
        if self.count > 1:
            torch.distributed.all_reduce(tensor)

    def all_reduce_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace the gradients by their sums over all processes, in one message."""
        if self.count == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        together = torch.cat([gradient.reshape(-1) for gradient in gradients])
        torch.distributed.all_reduce(together)
        pieces = torch.split(together, [gradient.numel() for gradient in gradients])
        for gradient, piece in zip(gradients, pieces, strict=True):
            gradient.copy_(piece.view_as(gradient))


SINGLE_PROCESS = ProcessGroup()


def started_by_torchrun() -> bool:
    """Whether ``torchrun`` has started this process and others."""
    return torch.distributed.is_torchelastic_launched() and _number_in_environment("WORLD_SIZE", 1) > 1


def is_main_process() -> bool:
    """Whether this process is the only one, or the first of those that ``torchrun`` has started."""
    return _number_in_environment("RANK", 0) == 0


def local_rank() -> int:
    """Return the number of this process among the local ones."""
    return _number_in_environment("LOCAL_RANK", 0)


def local_count() -> int:
    """Return the number of processes on this machine."""
    return max(1, _number_in_environment("LOCAL_WORLD_SIZE", 1))


def _number_in_environment(name: str, default: int) -> int:
    """Return a number that ``torchrun`` has set; text of other programs counts as unset."""
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() and text.isascii() else default


@contextlib.contextmanager
def process_group(device: torch.device) -> Iterator[ProcessGroup]:
    """Join the processes that ``torchrun`` has started, if any; leave them at the end."""
    if not started_by_torchrun():
        yield SINGLE_PROCESS
        return
    backend = "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
        backend = "cpu:gloo,cuda:nccl"
    torch.distributed.init_process_group(backend, timeout=TIMEOUT)
    yield ProcessGroup(torch.distributed.get_rank(), torch.distributed.get_world_size())
    # Not after an error: the others may wait for this process, and NCCL would wait for them.
    torch.distributed.barrier()  # a process that leaves during communication can abort the others
    torch.distributed.destroy_process_group()


def run_in_processes(function: Callable[[T], None], argument: T, count: int) -> None:
    """Run ``function(argument)`` in several new processes, which can form a `process_group`.

    The operating system chooses free ports. If one process fails or this one is interrupted, all of the new
    processes end.

    Parameters
    ----------
    function : callable
        Importable by name.
    argument
        Picklable.
    count : int
        Number of processes.

    Raises
    ------
    SpisonetError
        If a process fails: its error with code and field, or one with the message of another exception.
    """
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.1,
    )
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as name:
        try:
            elastic_launch(config, _run_one)(function, argument, log.level, take_early_records(), Path(name))
        except SignalException as stop:
            if stop.sigval == signal.SIGINT:
                raise KeyboardInterrupt from stop
            sys.exit(128 + stop.sigval)
        except ChildFailedError as failure:
            raise _first_error(failure, Path(name)) from failure


def _first_error(failure: ChildFailedError, error_folder: Path) -> SpisonetError:
    rank, first = failure.get_first_failure()
    error_file = error_folder / str(rank)
    if error_file.is_file():
        record = json.loads(error_file.read_text(encoding="utf-8"))
        path = record.pop("path")
        return SpisonetError(**record, path=None if path is None else Path(path))
    # The message of a Python error is a dictionary with the traceback, that of a killed process a string.
    reported: Any = first.message
    return SpisonetError(reported["message"] if isinstance(reported, dict) else reported)


def map_tasks(
    function: Callable[[W, T], R], tasks: Sequence[T], workers: Sequence[W]
) -> Iterator[tuple[T, R | str]]:
    """Do independent tasks, in parallel if there are several workers; yield the results as they come.

    Parameters
    ----------
    function : callable
        Importable by name; called with a worker and a task.
    tasks, workers : sequence
        Picklable. Several workers run in a process each, a single one in this process.

    Yields
    ------
    tuple
        A task and its result, or the error message of a failed task. If a worker process dies, its task
        fails and the process is replaced.
    """
    if len(workers) == 1:
        for task in tasks:
            yield task, _attempt(function, workers[0], task)
        return
    context = multiprocessing.get_context("spawn")
    waiting = list(reversed(range(len(tasks))))
    running: dict[Any, tuple[Any, W, int]] = {}

    def start(worker: W) -> None:
        own_end, worker_end = context.Pipe()
        process = context.Process(target=_serve, args=(worker_end, function, worker, log.level), daemon=True)
        process.start()
        worker_end.close()
        assign(own_end, process, worker)

    def assign(pipe: Any, process: Any, worker: W) -> None:
        if waiting:
            number = waiting.pop()
            running[pipe] = process, worker, number
            with contextlib.suppress(OSError):  # the process has died, which recv() reports
                pipe.send(tasks[number])
        else:
            pipe.close()  # the process ends

    try:
        for worker in workers[: len(tasks)]:
            start(worker)
        while running:
            ready: list[Any] = multiprocessing.connection.wait(list(running))
            for pipe in ready:
                process, worker, number = running.pop(pipe)
                try:
                    result = pipe.recv()
                except (EOFError, OSError):
                    process.join()
                    yield tasks[number], f"its process ended with status {process.exitcode}"
                    if waiting:
                        start(worker)
                    continue
                assign(pipe, process, worker)
                yield tasks[number], result
    finally:
        for process, _, _ in running.values():
            process.terminate()
            process.join()


def _attempt(function: Callable[[W, T], R], worker: W, task: T) -> R | str:
    try:
        return function(worker, task)
    except SpisonetError as error:
        return str(error)
    except Exception as error:
        log.debug("A task failed.", exc_info=True)
        return f"{type(error).__name__}: {error}"


def _serve(pipe: Any, function: Callable[[W, T], R], worker: W, log_level: int) -> None:
    """Do the tasks received through a pipe until it is closed."""
    _end_with_parent(signal.SIG_DFL)
    log.setLevel(log_level)
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            pipe.send(_attempt(function, worker, pipe.recv()))


def _end_with_parent(on_termination: Any) -> None:
    """Leave Ctrl-C to the parent process, and end when it ends."""
    # In a session of its own the process does not receive a terminal's Ctrl-C; the parent passes it on once.
    # If the parent is killed, the kernel ends the child.
    os.setsid()
    signal.signal(signal.SIGTERM, on_termination)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM)


def _run_one(
    function: Callable[[T], None],
    argument: T,
    log_level: int,
    records: list[logging.LogRecord],
    error_folder: Path,
) -> None:
    _end_with_parent(signal.default_int_handler)  # either signal ends it in an orderly way
    if int(os.environ["RANK"]) == 0:
        handler = TerminalHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)
        log.setLevel(log_level)
    try:
        with keep_early_records(records):
            function(argument)
    except SpisonetError as error:
        record = error.as_record() | {"path": None if error.path is None else str(error.path)}
        (error_folder / os.environ["RANK"]).write_text(json.dumps(record), encoding="utf-8")
        raise
