"""Memory of a device: how much is free, and the batch parts, tiles and grids that fit into it."""

from __future__ import annotations

import math
import resource
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from spisonet.errors import SpisonetError
from spisonet.learning.devices import computes_in_bfloat16, free_memory_bytes
from spisonet.learning.process_group import local_count
from spisonet.learning.tiling import clip_tile

if TYPE_CHECKING:
    from torch import Tensor

    from spisonet.learning.unet import Network

GIGABYTE = 1e9
# Messages of PyTorch's CPU allocator, of the CUDA driver, and of cuFFT and cuDNN.
OUT_OF_MEMORY_WORDS = ("can't allocate memory", "out of memory", "ALLOC_FAILED")
PROBE_EDGE = 16
TEMPORARY_VOLUMES = 3  # while a volume is oversampled: its spectrum, the result and a workspace
LIVE_FEATURE_MAPS = 8  # of the base width, at full resolution, while predicting
BACKWARD_FACTOR = 1.5  # peak memory of an update over that of the saved features: gradients, workspaces
SUBVOLUME_BYTES_PER_VOXEL = 100  # positions, spectra and weights of a subvolume, float32
BATCH_FRACTION, TILE_FRACTION, VOLUME_FRACTION = 0.25, 0.25, 0.5  # of the memory free at the start
# Largest resident memory of runs on a CPU (benchmarks/RESULTS.md): PyTorch and the program, and the maps,
# their spectra and weights per voxel of a box with two half maps.
PROGRAM_BYTES, MAP_BYTES_PER_VOXEL = 0.4e9, 105.0


@dataclass(frozen=True)
class Memory:
    """The memory of a device that a run may use.

    Attributes
    ----------
    device : torch.device
        The device.
    limit_bytes : float or None
        Maximum memory of the run; None for all free memory.
    """

    device: torch.device
    limit_bytes: float | None = None

    @property
    def free_bytes(self) -> float:
        """Memory that the run can still allocate."""
        free = float(free_memory_bytes(self.device))
        if self.device.type == "cpu":
            free /= local_count()
        if self.limit_bytes is None:
            return free
        return max(0.0, min(free, self.limit_bytes - self._used_bytes()))

    def enforce(self) -> None:
        """Set the limit as the maximum that PyTorch allocates on a GPU."""
        if self.limit_bytes is not None and self.device.type == "cuda":
            total = torch.cuda.get_device_properties(self.device).total_memory
            torch.cuda.set_per_process_memory_fraction(min(1.0, self.limit_bytes / total), self.device)

    def require(self, network: Network, cube_size: int, box: int = 0) -> None:
        """Check that a training fits into the free memory, one subvolume at a time.

        Maps count on a CPU only: how much they need on a GPU was not measured. Where the system does not say
        how much memory is free (other than Linux), nothing is checked on a CPU.

        Parameters
        ----------
        network : Network
            A network of the same width, on the CPU.
        cube_size : int
            Edge of subvolumes in voxels.
        box : int
            Edge of the half maps in voxels; 0 for tomograms, of which as much is read as fits.

        Raises
        ------
        SpisonetError
            If it does not fit (code ``out_of_memory``).
        """
        on_gpu = self.device.type == "cuda"
        if not on_gpu and sys.platform != "linux":
            return
        bytes_per_value = 2 if computes_in_bfloat16(self.device) else 4
        needs = {"cube_size": self._subvolume_bytes(network, cube_size, bytes_per_value)}
        free = float(free_memory_bytes(self.device))
        if on_gpu:
            free = min(free, self.limit_bytes or math.inf)
        else:
            needs["box"] = PROGRAM_BYTES + MAP_BYTES_PER_VOXEL * box**3
            free = free / local_count() + self._used_bytes()  # the program and the maps are loaded already
        needed = sum(needs.values())
        if needed <= free:
            return
        remedies = {
            "box": "crop or bin the maps, or use a machine with more memory",
            "cube_size": "reduce --cube_size or --filter_base",
        }
        largest = max(needs, key=lambda name: needs[name]) if box else "cube_size"
        maps = f"half maps of {box} voxels and " if box else ""
        raise SpisonetError(
            f"A training on {maps}subvolumes of {cube_size} voxels needs about {needed / GIGABYTE:.1f} GB of "
            f"memory ({self.device}), of which {free / GIGABYTE:.1f} GB can be used: {remedies[largest]}.",
            code="out_of_memory",
            field="i1" if largest == "box" else "cube_size",
        )

    def batch_splits(self, network: Network, n_subvolumes: int, cube_size: int, bytes_per_value: int) -> int:
        """Return the number of parts in which a batch of subvolumes is computed so that each fits.

        Parameters
        ----------
        network : Network
            The network, on the CPU.
        n_subvolumes : int
            Subvolumes of the batch.
        cube_size : int
            Subvolume edge in voxels.
        bytes_per_value : int
            2 if the network runs in bf16, else 4.
        """
        subvolume_bytes = self._subvolume_bytes(network, cube_size, bytes_per_value)
        fitting = int(max(1, BATCH_FRACTION * self.free_bytes // subvolume_bytes))
        return -(-n_subvolumes // fitting)

    def _subvolume_bytes(self, network: Network, cube_size: int, bytes_per_value: int) -> float:
        """Return the memory in which an update of the network on one subvolume is computed."""
        saved = saved_values_per_voxel(network) * bytes_per_value * BACKWARD_FACTOR
        return float(cube_size**3 * (saved + SUBVOLUME_BYTES_PER_VOXEL))

    def largest_oversampling(self, n_voxels: int, n_halves: int) -> float:
        """Largest oversampling factor for inputs and targets of `n_voxels` voxels in total."""
        volumes = 2 + TEMPORARY_VOLUMES / n_halves
        return float((VOLUME_FRACTION * self.free_bytes / (4 * volumes * n_voxels)) ** (1 / 3))

    def largest_tile(
        self, network: Network, shape: tuple[int, int, int] | None = None, max_bytes: float | None = None
    ) -> int:
        """Edge in voxels of the largest tile that can be predicted at once.

        Parameters
        ----------
        network : Network
            The network, whose features have to fit.
        shape : tuple of int, optional
            ``(z, y, x)`` of the volume; tiles of thin volumes may be wider.
        max_bytes : float, optional
            Upper limit, even if more memory is free.
        """
        available = min(TILE_FRACTION * self.free_bytes, max_bytes or float("inf"))
        bytes_per_value = 2 if computes_in_bfloat16(self.device) else 4
        voxels = available / (bytes_per_value * LIVE_FEATURE_MAPS * network.filter_base)
        edge = voxels ** (1 / 3)
        if shape is not None and shape[0] < edge:
            edge = (voxels / shape[0]) ** (1 / 2)
        return clip_tile(int(edge))

    def _used_bytes(self) -> float:
        if self.device.type == "cuda":
            return float(torch.cuda.memory_allocated(self.device))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(peak if sys.platform == "darwin" else 1024 * peak)


def saved_values_per_voxel(network: Network) -> float:
    """Count the values that the network saves for its backward pass, per input voxel."""
    sizes: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            sizes[tensor.untyped_storage().data_ptr()] = tensor.numel()
        return tensor

    was_training = network.training
    probe = torch.zeros(1, 1, PROBE_EDGE, PROBE_EDGE, PROBE_EDGE)
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        network.eval()(probe)
    network.train(was_training)
    return sum(sizes.values()) / PROBE_EDGE**3


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that a device or the host ran out of memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY_WORDS)
