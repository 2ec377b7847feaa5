"""The ``check`` command: versions, devices, and a training step on each device."""

from __future__ import annotations

import logging
import platform
from importlib.metadata import version
from typing import TYPE_CHECKING

from spisonet import __version__
from spisonet.errors import SpisonetError
from spisonet.learning.device_check import check_device
from spisonet.learning.devices import available_devices, describe_device

if TYPE_CHECKING:
    from spisonet.io.config import CommandConfig

log = logging.getLogger("spisonet")

LIBRARIES = ("torch", "numpy", "scipy", "mrcfile", "starfile", "safetensors", "pydantic", "typer")


def run_check(config: CommandConfig) -> None:
    """Log versions and devices, and the checks of each device.

    Raises
    ------
    SpisonetError
        If training fails on an available device, or bf16 gives wrong results there.
    """
    log.info("spisonet %s, Python %s, %s", __version__, platform.python_version(), platform.platform())
    log.info("%s", ", ".join(f"{library} {version(library)}" for library in LIBRARIES))
    failed = []
    for device in available_devices():
        try:
            result = check_device(device)
        except (RuntimeError, SpisonetError) as error:
            log.error("%s: training fails: %s", device, error)
            failed.append(str(device))
            continue
        log.info("%s: training works (%.0f ms)", describe_device(device), 1000 * result.training_seconds)
        if errors := result.bfloat16:
            log.info(
                "%s: differences between bf16 and float32: prediction %.1f %%, gradients %.1f %%",
                device,
                100 * errors.prediction,
                100 * errors.gradients,
            )
            if not errors.is_acceptable:
                log.error("%s: results in bf16 are wrong: update PyTorch.", device)
                failed.append(str(device))
    if failed:
        raise SpisonetError(f"Training does not work on {', '.join(failed)}.")
