"""Options of the command that checks devices."""

from __future__ import annotations

from typing import ClassVar

from spisonet.io.config import CommandConfig


class CheckConfig(CommandConfig):
    """Report devices, versions and memory, and run a tiny training step on each device."""

    command: ClassVar[str] = "check"
