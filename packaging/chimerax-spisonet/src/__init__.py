"""ChimeraX bundle: the command ``spisonet show``."""

from __future__ import annotations

from typing import Any

from chimerax.core.toolshed import BundleAPI

__version__ = "1.0"


class _Bundle(BundleAPI):
    """What ChimeraX calls to register the commands of the bundle."""

    api_version = 1

    @staticmethod
    def register_command(bundle_info: Any, command_info: Any, logger: Any) -> None:
        """Register the command when it is used for the first time."""
        from chimerax.core.commands import register  # noqa: PLC0415 - as ChimeraX recommends

        from . import cmd  # noqa: PLC0415, TID252 - the package has the name that ChimeraX gives it

        description = cmd.description()
        description.synopsis = command_info.synopsis
        register(command_info.name, description, cmd.show, logger=logger)


bundle_api = _Bundle()
