"""Job classes for himena-relion; see `spisonet.integrations.himena`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spisonet.integrations import himena

if TYPE_CHECKING:
    from himena_relion.external import RelionExternalJob


def __getattr__(name: str) -> type[RelionExternalJob] | Any:
    return getattr(himena, name)
