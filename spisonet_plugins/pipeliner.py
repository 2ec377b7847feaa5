"""Job classes for the CCP-EM Pipeliner; see `spisonet.integrations.pipeliner.jobs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spisonet.integrations.pipeliner import jobs

if TYPE_CHECKING:
    from spisonet.integrations.pipeliner.jobs import SpisonetJob


def __getattr__(name: str) -> type[SpisonetJob]:
    found: type[SpisonetJob] = getattr(jobs, name)
    return found
