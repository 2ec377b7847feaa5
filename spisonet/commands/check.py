"""The ``check`` command: versions, devices, and a training step on each device."""

from __future__ import annotations

import logging
import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from spisonet import __version__
from spisonet.errors import SpisonetError
from spisonet.learning.devices import available_devices, computes_in_bfloat16, describe_device
from spisonet.learning.measurement import Measurement
from spisonet.learning.objectives import SelfTrainingObjective
from spisonet.learning.trainer import Trainer, TrainingOptions
from spisonet.learning.unet import UNet

if TYPE_CHECKING:
    from spisonet.io.config import CommandConfig

log = logging.getLogger("spisonet")

LIBRARIES = ("torch", "numpy", "scipy", "mrcfile", "starfile", "safetensors", "pydantic", "typer")
BOX = 32
CUBE_SIZE = 16
FILTER_BASE = 8
SEED = 0
LARGEST_BFLOAT16_ERROR = 0.1


def run_check(config: CommandConfig) -> None:
    """Log versions and devices, and run a short training on each device.

    Raises
    ------
    SpisonetError
        If training fails on an available device.
    """
    log.info("spisonet %s, Python %s, %s", __version__, platform.python_version(), platform.platform())
    log.info("%s", ", ".join(f"{library} {version(library)}" for library in LIBRARIES))
    failed = []
    for device in available_devices():
        try:
            seconds = _training_step_seconds(device)
            log.info("%s: training works (%.0f ms)", describe_device(device), 1000 * seconds)
            if computes_in_bfloat16(device):
                _compare_bfloat16(device)
        except (RuntimeError, SpisonetError) as error:
            log.error("%s: training fails: %s", device, error)
            failed.append(str(device))
    if failed:
        raise SpisonetError(f"Training does not work on {', '.join(failed)}.")


def _compare_bfloat16(device: torch.device) -> None:
    """Compare prediction and gradients in bf16 with float32; some releases of cuDNN give wrong results.

    Raises
    ------
    SpisonetError
        If they differ by more than 10 %.
    """
    torch.manual_seed(SEED)
    network = UNet(FILTER_BASE).to(device)
    torch.nn.init.normal_(network.last.weight)  # the last layer of an untrained network is zero
    volumes = torch.randn(2, 1, BOX, BOX, BOX, device=device)
    results = []
    for mixed in (False, True):
        network.zero_grad()
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=mixed):
            change = network(volumes) - volumes
        change.square().mean().backward()
        gradients = torch.cat([p.grad.reshape(-1) for p in network.parameters() if p.grad is not None])
        results.append((change.detach(), gradients))
    for name, full, half in zip(("prediction", "gradients"), *results, strict=True):
        error = float((full - half).norm() / full.norm())
        log.info("%s: %s in bf16 differ from float32 by %.1f %%", device, name, 100 * error)
        if not error < LARGEST_BFLOAT16_ERROR:
            raise SpisonetError(f"{name} in bf16 differ from float32 by {100 * error:.0f} %; update PyTorch.")


def _training_step_seconds(device: torch.device) -> float:
    rng = np.random.default_rng(SEED)
    shape = (BOX, BOX, BOX // 2 + 1)
    measurement = Measurement(
        data=torch.from_numpy(rng.normal(size=(2, BOX, BOX, BOX))).float().to(device),
        fsc_weight_rfft=torch.full(shape, 0.5, device=device),
        view_weight_rfft=None,
        noise_fraction_in_mask=1.0,
        band_rfft=torch.ones(shape, device=device),
        band_fraction=1.0,
        subvolume_centres=torch.full((1, 3), BOX / 2, device=device),
        support=None,
        positivity=False,
    )
    options = TrainingOptions(
        1, subvolumes_per_epoch=4, batch_size=4, n_splits=1, learning_rate=1e-3, seed=SEED
    )
    trainer = Trainer(
        UNet(FILTER_BASE), SelfTrainingObjective(measurement, CUBE_SIZE), options, device, 4 * CUBE_SIZE
    )
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        trainer.train(f"Training on {device}", Path(folder) / "checkpoint.safetensors", resume=False)
    return time.perf_counter() - start
