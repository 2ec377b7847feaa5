"""Checks of a device: a short training, and bf16 against float32."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from spisonet.learning.devices import computes_in_bfloat16
from spisonet.learning.measurement import Measurement
from spisonet.learning.objectives import SelfTrainingObjective
from spisonet.learning.trainer import Trainer, TrainingOptions
from spisonet.learning.unet import UNet

BOX = 32
CUBE_SIZE = 16
FILTER_BASE = 8
SEED = 0
MAX_BFLOAT16_ERROR = 0.1


@dataclass(frozen=True)
class Bfloat16Errors:
    """Differences between bf16 and float32.

    Attributes
    ----------
    prediction, gradients : float
        Norm of the difference, relative to the norm in float32.
    """

    prediction: float
    gradients: float

    @property
    def is_acceptable(self) -> bool:
        """Whether the differences can be explained by rounding."""
        return self.prediction < MAX_BFLOAT16_ERROR and self.gradients < MAX_BFLOAT16_ERROR


@dataclass(frozen=True)
class DeviceCheck:
    """Result of the checks of a device.

    Attributes
    ----------
    training_seconds : float
        Time of a training of one update, start included.
    bfloat16 : Bfloat16Errors or None
        None if networks run in float32 on the device.
    """

    training_seconds: float
    bfloat16: Bfloat16Errors | None


def check_device(device: torch.device) -> DeviceCheck:
    """Train for one update on a device, and compare bf16 with float32 if networks run in bf16 there.

    Raises
    ------
    RuntimeError, SpisonetError
        If the training fails.
    """
    seconds = measure_training_seconds(device)
    errors = measure_bfloat16_errors(device) if computes_in_bfloat16(device) else None
    return DeviceCheck(seconds, errors)


def measure_bfloat16_errors(device: torch.device) -> Bfloat16Errors:
    """Compare prediction and gradients in bf16 with those in float32; some releases of cuDNN differ."""
    torch.manual_seed(SEED)
    network = UNet(FILTER_BASE).to(device)
    torch.nn.init.normal_(network.last.weight)  # an untrained network would return its input
    volumes = torch.randn(2, 1, BOX, BOX, BOX, device=device)
    results = []
    for mixed in (False, True):
        network.zero_grad()
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=mixed):
            change = network(volumes) - volumes
        change.square().mean().backward()
        gradients = torch.cat([p.grad.reshape(-1) for p in network.parameters() if p.grad is not None])
        results.append((change.detach(), gradients))
    return Bfloat16Errors(*(float((b - a).norm() / a.norm()) for a, b in zip(*results, strict=True)))


def measure_training_seconds(device: torch.device) -> float:
    """Return the time of a training of one update on synthetic half maps."""
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
    objective = SelfTrainingObjective(measurement, CUBE_SIZE)
    trainer = Trainer(UNet(FILTER_BASE), objective, options, device, 4 * CUBE_SIZE)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        trainer.train(f"Training on {device}", Path(folder) / "checkpoint.safetensors", resume=False)
    return time.perf_counter() - start
