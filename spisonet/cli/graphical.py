"""The ``gui`` command."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError

if TYPE_CHECKING:
    from spisonet.tomography.config import GuiConfig

INTERFACE = "spisonet.gui"


def run_gui(_config: GuiConfig) -> None:
    """Open the graphical interface, if it is installed.

    Raises
    ------
    SpisonetError
        If it is not.
    """
    if find_spec(INTERFACE) is None:
        raise SpisonetError(
            "The graphical interface is not part of this version: use the command line (isonet.py --help) or "
            "RELION's (spisonet relion install-jobs)."
        )
    import_module(INTERFACE).run()
