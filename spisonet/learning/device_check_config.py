"""Options of the ``check`` command."""

from __future__ import annotations

from typing import ClassVar

from spisonet.io.config import CommandConfig


class CheckConfig(CommandConfig):
    """Report devices, versions and memory, and run a short training step on each device."""

    command: ClassVar[str] = "check"
