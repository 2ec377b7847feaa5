"""Choosing a device."""

from __future__ import annotations

import pytest
import torch

from spisonet.errors import SpisonetError
from spisonet.learning.devices import choose_devices, describe_device, free_memory_bytes, use_cpu_threads


@pytest.mark.parametrize("ids", ["0,1,2,97", "97"])
def test_missing_gpus_are_named(ids):
    with pytest.raises(SpisonetError, match=r"GPU .*97 of --gpuID .* does not exist: this machine has"):
        choose_devices(None, ids)


@pytest.mark.parametrize("ids", ["B2,B3", "None", "", "-1"])
def test_gpu_numbers_that_are_not_numbers_are_refused(ids):
    with pytest.raises(SpisonetError, match="not a list of GPU numbers"):
        choose_devices(None, ids)


def test_unknown_devices_are_refused():
    with pytest.raises(SpisonetError, match="unknown"):
        choose_devices("quantum")
    with pytest.raises(SpisonetError, match="not both"):
        choose_devices("cpu", "0")
    with pytest.raises(SpisonetError, match="does not exist"):
        choose_devices("cuda:97")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_the_cpu_is_used():
    assert choose_devices() == [torch.device("cpu")]
    assert choose_devices("cpu", n_local_processes=2) == [torch.device("cpu")] * 2


def test_the_cpu_describes_itself():
    assert use_cpu_threads(1) == 1
    assert "1 thread" in describe_device(torch.device("cpu"))
    assert use_cpu_threads(10_000) >= 1
    assert free_memory_bytes(torch.device("cpu")) > 2**20


@pytest.mark.gpu
def test_cuda_training_agrees_with_the_cpu(measurement_factory):
    from dataclasses import replace

    import numpy as np

    from spisonet.learning.objectives import SelfTrainingObjective

    measurement = measurement_factory()
    on_gpu = replace(
        measurement,
        **{
            name: getattr(measurement, name).cuda()
            for name in ("data", "fsc_weight_rfft", "band_rfft", "subvolume_centres", "support")
        },
    )
    losses = [
        SelfTrainingObjective(m, 16)
        .draw(4, np.random.default_rng(0))
        .loss(lambda volumes: volumes, slice(0, 4))
        .item()
        for m in (measurement, on_gpu)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
