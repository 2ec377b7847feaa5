"""Device, threads and memory of a function that a Python program calls."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from spisonet.learning.devices import choose_devices, use_cpu_threads
from spisonet.learning.launcher import out_of_memory_error
from spisonet.learning.memory import GIGABYTE, Memory

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def one_device(device: str | None, threads: int, memory_limit_gigabytes: float | None) -> Iterator[Memory]:
    """Yield the memory of a device; afterwards PyTorch uses as many CPU threads as before.

    Parameters
    ----------
    device : str or None
        ``cpu``, ``cuda``, ``cuda:1`` or ``mps``; None for a GPU if there is one.
    threads : int
        CPU threads.
    memory_limit_gigabytes : float or None
        Device memory to use; None for all free memory.

    Raises
    ------
    SpisonetError
        If the device does not exist, or its memory does not suffice.
    """
    limit = None if memory_limit_gigabytes is None else memory_limit_gigabytes * GIGABYTE
    memory = Memory(choose_devices(device)[0], limit)
    memory.enforce()
    threads_before = torch.get_num_threads()
    use_cpu_threads(threads)
    try:
        yield memory
    except Exception as error:
        translated = out_of_memory_error(memory.device)(error)
        if translated is error:
            raise
        raise translated from error
    finally:
        torch.set_num_threads(threads_before)
