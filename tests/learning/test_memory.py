"""What fits into memory."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from spisonet.errors import SpisonetError
from spisonet.learning import memory as memory_module
from spisonet.learning.memory import Memory, is_out_of_memory, saved_values_per_voxel
from spisonet.learning.tiling import LARGEST_TILE, MARGIN, SMALLEST_TILE
from spisonet.learning.training_config import DEFAULT_BATCH_SIZE
from spisonet.learning.unet import PublishedUNet, UNet

CPU = torch.device("cpu")


@pytest.fixture
def plenty(monkeypatch):
    """A machine with 100 GB free of which the run uses 1 GB."""
    monkeypatch.setattr(memory_module, "free_memory_bytes", lambda device: 100e9)
    monkeypatch.setattr(Memory, "_used_bytes", lambda self: 1e9)


def test_free_memory_is_what_the_limit_leaves(plenty):
    assert Memory(CPU).free_bytes == 100e9
    assert Memory(CPU, 5e9).free_bytes == pytest.approx(4e9)
    assert Memory(CPU, 0.5e9).free_bytes == 0
    assert Memory(CPU, 300e9).free_bytes == 100e9


def test_smaller_memory_means_more_parts_and_smaller_tiles(plenty):
    network = UNet(32)
    parts = [Memory(CPU, limit).batch_splits(network, 16, 64, 4) for limit in (None, 8e9, 3e9, 1e9)]
    assert parts[0] == 1
    assert parts == sorted(parts)
    assert parts[-1] == 16
    tiles = [Memory(CPU, limit).largest_tile(network) for limit in (None, 3e9, 1e9)]
    assert tiles[0] == LARGEST_TILE
    assert tiles == sorted(tiles, reverse=True)
    assert tiles[-1] == SMALLEST_TILE > 2 * MARGIN
    assert all(tile % 16 == 0 for tile in tiles)


def test_large_maps_are_oversampled_less_in_little_memory(plenty):
    voxels = 2 * 512**3
    assert Memory(CPU).largest_oversampling(voxels, 2) > 2
    assert 1 < Memory(CPU, 25e9).largest_oversampling(voxels, 2) < 2


def test_the_defaults_fit_into_8_gigabytes(plenty):
    memory = Memory(CPU, 9e9)  # 1 GB is in use already
    assert memory.batch_splits(UNet(32), DEFAULT_BATCH_SIZE["self-training"], 64, 4) == 1
    assert memory.largest_tile(UNet(32)) >= 96
    assert memory.largest_oversampling(2 * 256**3, 2) >= 1.5


def test_saved_values_are_those_of_the_published_estimate():
    """About 359 million numbers for a 64³ subvolume, counted by hand for the published network."""
    assert saved_values_per_voxel(PublishedUNet(64)) * 64**3 == pytest.approx(359e6, rel=0.2)
    assert saved_values_per_voxel(UNet(16)) < saved_values_per_voxel(UNet(32))


def test_running_out_of_memory_is_distinguished_from_other_errors():
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError) as failed:
        torch.empty(2**50, dtype=torch.float64)
    assert is_out_of_memory(failed.value)


def test_a_limit_on_a_gpu_is_enforced(monkeypatch):
    calls = []
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=24e9)
    )
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *given: calls.append(given))
    gpu = torch.device("cuda", 0)
    Memory(gpu).enforce()
    Memory(CPU, 6e9).enforce()
    assert not calls
    Memory(gpu, 6e9).enforce()
    assert calls == [(0.25, gpu)]


def free_memory(monkeypatch, n_bytes: float) -> None:
    monkeypatch.setattr(memory_module, "free_memory_bytes", lambda device: n_bytes)
    monkeypatch.setattr(memory_module.sys, "platform", "linux")
    monkeypatch.setattr(Memory, "_used_bytes", lambda memory: 2e9)


def test_a_training_that_does_not_fit_is_refused_with_what_to_change(monkeypatch):
    free_memory(monkeypatch, 2e9)
    memory = Memory(torch.device("cpu"))
    memory.require(UNet(16), 64, 256)
    with pytest.raises(
        SpisonetError, match=r"half maps of 512 voxels .* 4.0 GB can be used: crop or bin"
    ) as error:
        memory.require(UNet(16), 64, 512)
    assert (error.value.code, error.value.field) == ("out_of_memory", "i1")
    with pytest.raises(SpisonetError, match="reduce --cube_size or --filter_base") as error:
        memory.require(UNet(64), 128, 0)
    assert error.value.field == "cube_size"


def test_only_memory_that_is_known_is_required(monkeypatch):
    """The maps are loaded already; their size on a GPU, and free memory without Linux, are not known."""
    free_memory(monkeypatch, 13e9)
    cpu, gpu = Memory(torch.device("cpu")), Memory(torch.device("cuda", 0), 8e9)
    cpu.require(UNet(16), 32, 512)  # a run of 14.9 GB on a machine with 16 GB
    gpu.require(UNet(32), 64, 800)
    with pytest.raises(SpisonetError, match=r"8.0 GB can be used: reduce --cube_size"):
        gpu.require(UNet(64), 192, 512)
    monkeypatch.setattr(memory_module.sys, "platform", "darwin")
    cpu.require(UNet(16), 64, 4000)
