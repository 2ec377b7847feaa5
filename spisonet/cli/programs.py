"""The programs and their commands: configuration models, and what runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spisonet.anisotropy.config import COMMANDS as MAP_COMMANDS
from spisonet.anisotropy.config import CheckConfig
from spisonet.gui.config import COMMANDS as GUI_COMMANDS
from spisonet.tomography.config import COMMANDS as TOMOGRAM_COMMANDS
from spisonet.validation.config import COMMANDS as VALIDATION_COMMANDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spisonet.io.config import CommandConfig

    Commands = Mapping[type[CommandConfig], str]

SPISONET: Commands = {**MAP_COMMANDS, **VALIDATION_COMMANDS, **GUI_COMMANDS}
ISONET: Commands = {**TOMOGRAM_COMMANDS, CheckConfig: MAP_COMMANDS[CheckConfig], **GUI_COMMANDS}
PROGRAMS: dict[str, Commands] = {"spisonet": SPISONET, "isonet": ISONET}
