"""The programs that the integrations work with: the extra that installs each, and the tested versions."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import Any

from spisonet.errors import SpisonetError

log = logging.getLogger("spisonet")


@dataclass(frozen=True)
class Host:
    """A Python package of another program.

    Attributes
    ----------
    extra : str
        Extra of spisonet that installs it.
    distribution : str
        Name on the package index.
    module : str
        Name by which it is imported.
    tested : tuple of str
        Beginnings of the version numbers that the tests pass with.
    """

    extra: str
    distribution: str
    module: str
    tested: tuple[str, ...]

    def require(self, submodule: str = "") -> Any:
        """Import the package, or a module in it.

        A version that was not tested is named in the log and used.

        Parameters
        ----------
        submodule : str
            Module in the package; "" for the package itself.

        Raises
        ------
        SpisonetError
            If the package is not installed; the message is the command that installs it.
        """
        try:
            module = import_module(f"{self.module}.{submodule}" if submodule else self.module)
        except ImportError as error:
            raise SpisonetError(
                f"{self.distribution} is not installed; run: pip install 'spisonet[{self.extra}]'",
                code="missing_extra",
            ) from error
        version = metadata.version(self.distribution)
        if not self.is_tested(version):
            log.warning(
                "%s %s was not tested with this version of spisonet (tested: %s).",
                self.distribution,
                version,
                ", ".join(self.tested),
            )
        return module

    def is_tested(self, version: str) -> bool:
        """Whether the tests pass with a version."""
        return any(version == start or version.startswith(f"{start}.") for start in self.tested)


PIPELINER = Host("doppio", "ccpem-pipeliner", "pipeliner", ("1.6",))
CRYOSPARC = Host("cryosparc", "cryosparc-tools", "cryosparc", ("5.0",))
COPICK = Host("copick", "copick", "copick", ("1.31",))
HIMENA = Host("himena", "himena-relion", "himena_relion", ("0.0.13",))
NAPARI = Host("napari", "napari", "napari", ("0.9",))
