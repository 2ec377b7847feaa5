"""The ``check`` command: can this machine train."""

from __future__ import annotations

import logging
import platform
import time
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
import torch

from spisonet import __version__
from spisonet.errors import SpisonetError
from spisonet.learning.devices import available_devices, describe_device
from spisonet.learning.measurement import Measurement
from spisonet.learning.objectives import ReplayObjective
from spisonet.learning.unet import UNet

if TYPE_CHECKING:
    from spisonet.io.config import CommandConfig

log = logging.getLogger("spisonet")

LIBRARIES = ("torch", "numpy", "scipy", "mrcfile", "starfile", "safetensors", "pydantic", "typer")
BOX = 32
CUBE_SIZE = 16
FILTER_BASE = 8
SEED = 0


def run_check(config: CommandConfig) -> None:
    """Log versions and devices, and train one step on each device.

    Raises
    ------
    SpisonetError
        If a device that is there cannot train.
    """
    log.info("spisonet %s, Python %s, %s", __version__, platform.python_version(), platform.platform())
    log.info("%s", ", ".join(f"{library} {version(library)}" for library in LIBRARIES))
    failed = []
    for device in available_devices():
        try:
            seconds = _training_step_seconds(device)
            log.info("%s: a training step works (%.0f ms)", describe_device(device), 1000 * seconds)
        except (RuntimeError, FloatingPointError) as error:
            log.error("%s: a training step fails: %s", device, error)
            failed.append(str(device))
    if failed:
        raise SpisonetError(f"Training does not work on {', '.join(failed)}.")


def _training_step_seconds(device: torch.device) -> float:
    rng = np.random.default_rng(SEED)
    shape = (BOX, BOX, BOX // 2 + 1)
    measurement = Measurement(
        data=torch.from_numpy(rng.normal(size=(2, BOX, BOX, BOX))).float().to(device),
        weight_rfft=torch.full(shape, 0.5, device=device),
        band_rfft=torch.ones(shape, device=device),
        band_fraction=1.0,
        crop_centres=torch.full((1, 3), BOX / 2, device=device),
        support=None,
        positivity=False,
    )
    network = UNet(FILTER_BASE).to(device)
    objective = ReplayObjective(measurement, CUBE_SIZE)
    start = time.perf_counter()
    loss = objective.loss(lambda crops: network(crops[:, None])[:, 0], 2, rng)
    loss.backward()  # type: ignore[no-untyped-call]
    if not np.isfinite(loss.item()):
        raise FloatingPointError("the loss is not finite")
    return time.perf_counter() - start
