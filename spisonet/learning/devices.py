"""Compute devices: selection, free memory, threads, and how networks run on them."""

from __future__ import annotations

import ctypes
import os
import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from spisonet.errors import SpisonetError
from spisonet.io.control_groups import available_bytes
from spisonet.io.processors import BFLOAT16_INSTRUCTIONS, limited_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from torch import Tensor

N = TypeVar("N", bound=torch.nn.Module)
LINUX_MEMORY_FILE = "/proc/meminfo"
# On a CPU, oneDNN's bf16 gradients of 3³ convolutions over 2³ voxels, the deepest features of subvolumes of
# 16³, contain uninitialised memory (PyTorch 2.13.0, AVX512-BF16).
SMALLEST_BFLOAT16_EDGE = 24
# Parameters of glibc's mallopt (malloc.h).
MALLOPT_TRIM_THRESHOLD, MALLOPT_TOP_PAD, MALLOPT_MMAP_MAX = -1, -2, -4


def choose_devices(
    device: str | None = None, gpu_ids: str | None = None, n_local_processes: int = 1
) -> list[torch.device]:
    """Return the requested devices, or else CUDA devices, or the CPU.

    Parameters
    ----------
    device : str, optional
        ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
    gpu_ids : str, optional
        CUDA indices in the published form, ``0`` or ``0,1,2,3``.
    n_local_processes : int
        Number of processes on this machine that share the devices, if `gpu_ids` is not given.

    Returns
    -------
    list of torch.device
        One for each process; several processes may share the CPU, but not a GPU.

    Raises
    ------
    SpisonetError
        If a device does not exist on this machine.
    """
    n_gpus = torch.cuda.device_count()
    if gpu_ids is not None:
        if device is not None:
            raise SpisonetError("Give --device or --gpuID, not both.")
        return _gpus(f"--gpuID {gpu_ids}", gpu_ids, n_gpus)
    if device is None and n_gpus:
        return _gpus(f"{n_local_processes} processes", ",".join(map(str, range(n_local_processes))), n_gpus)
    if device is None:
        return [torch.device("cpu")] * n_local_processes
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise SpisonetError(
            f"--device {device} is unknown; use cpu, cuda, cuda:1 or mps.", field="device"
        ) from error
    if chosen.type == "cuda":
        first = chosen.index or 0
        indices = range(first, first + n_local_processes)
        return _gpus(f"--device {device}", ",".join(map(str, indices)), n_gpus, field="device")
    if chosen.type not in ("cpu", "mps") or (chosen.type == "mps" and not torch.backends.mps.is_available()):
        raise SpisonetError(f"--device {device} does not exist on this machine.", field="device")
    return [chosen] * n_local_processes


def _gpus(option: str, gpu_ids: str, n_gpus: int, field: str = "gpuID") -> list[torch.device]:
    indices = []
    for word in gpu_ids.split(","):
        if not word.strip().isdigit():
            raise SpisonetError(f"{option} is not a list of GPU numbers such as 0 or 0,1.", field=field)
        indices.append(int(word))
    missing = [str(index) for index in indices if index >= n_gpus]
    if missing:
        found = f"this machine has {n_gpus}" if n_gpus else "this machine has none (use --device cpu)"
        raise SpisonetError(f"GPU {', '.join(missing)} of {option} does not exist: {found}.", field=field)
    if len(set(indices)) < len(indices):
        raise SpisonetError(f"{option} lists a GPU twice; give each number once.", field=field)
    return [torch.device("cuda", index) for index in indices]


def to_device(array: NDArray[Any], device: torch.device) -> torch.Tensor:
    """Copy an array to a device asynchronously."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def computes_in_bfloat16(device: torch.device) -> bool:
    """Whether convolutions in bf16 are much faster: on CUDA, and on CPUs with `BFLOAT16_INSTRUCTIONS`."""
    if device.type == "cpu":
        if not hasattr(torch.cpu, "get_capabilities"):  # an older PyTorch
            return False
        capabilities = torch.cpu.get_capabilities()
        return any(capabilities.get(name, False) for name in BFLOAT16_INSTRUCTIONS)
    return device.type == "cuda"


@dataclass(frozen=True)
class Backend:
    """How networks run on a device: memory layout and precision.

    Attributes
    ----------
    device : torch.device
        The device.
    bfloat16 : bool
        Whether convolutions run in bf16. On a CPU, volumes below `SMALLEST_BFLOAT16_EDGE` use float32.
    """

    device: torch.device
    bfloat16: bool

    @classmethod
    def fastest(cls, device: torch.device) -> Backend:
        """Return the fastest configuration whose results agree with float32 within rounding."""
        return cls(device, computes_in_bfloat16(device))

    @property
    def layout(self) -> torch.memory_format:
        """Memory layout in which the device's convolutions are fastest."""
        return torch.contiguous_format if self.device.type == "mps" else torch.channels_last_3d

    def to_device(self, network: N) -> N:
        """Move a network to the device."""
        # PyTorch's type hints lack the memory_format of Module.to.
        moved: N = network.to(self.device).to(memory_format=self.layout)  # type: ignore[call-overload]
        return moved

    def apply(self, network: Callable[[Tensor], Tensor], volumes: Tensor) -> Tensor:
        """Apply a network to ``(batch, 1, z, y, x)``."""
        if self.device.type == "cuda":
            # Training subvolumes have one size, for which the search for the fastest algorithms, also of the
            # backward pass, pays. For a large tile the search takes far longer than the prediction.
            torch.backends.cudnn.benchmark = torch.is_grad_enabled()
        supported = self.device.type != "cpu" or min(volumes.shape[-3:]) >= SMALLEST_BFLOAT16_EDGE
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bfloat16 and supported):
            return network(volumes.contiguous(memory_format=self.layout))


def empty_cache(device: torch.device) -> None:
    """Release the memory that PyTorch caches."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def available_devices() -> Iterator[torch.device]:
    """Yield all usable devices: the CPU, CUDA devices, MPS."""
    yield torch.device("cpu")
    for index in range(torch.cuda.device_count()):
        yield torch.device("cuda", index)
    if torch.backends.mps.is_available():
        yield torch.device("mps")


def use_cpu_threads(requested: int, n_local_processes: int = 1) -> int:
    """Divide at most `requested` CPU threads among local processes; return the number for this one."""
    threads = max(1, limited_threads(requested) // n_local_processes)
    torch.set_num_threads(threads)
    return threads


def keep_freed_memory() -> None:
    """Configure the C library to keep freed memory for the next update.

    Every update allocates and frees the same large arrays. By default glibc maps them anew each
    time, and clearing the pages takes up to half of the training time on a CPU.
    """
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return
    mallopt(MALLOPT_MMAP_MAX, 0)
    mallopt(MALLOPT_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(MALLOPT_TOP_PAD, 64 * 2**20)


def free_memory_bytes(device: torch.device) -> int:
    """Return the free memory of a device in bytes; for the CPU, within the limits of its control groups."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        with open(LINUX_MEMORY_FILE, encoding="ascii") as lines:
            available = 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return int(min(available, available_bytes()))


def describe_device(device: torch.device) -> str:
    """Return the name of a device and its free memory."""
    name = (
        torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return f"{device} ({name}, {free_memory_bytes(device) / 2**30:.1f} GiB free)"
