"""The ``reconstruct`` command: correct the anisotropy of half maps, and report on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spisonet.anisotropy.reconstruct import reconstruct
from spisonet.learning.session import run_on_devices
from spisonet.validation.config import ReportConfig
from spisonet.validation.report import run_report

if TYPE_CHECKING:
    from spisonet.anisotropy.config import ReconstructConfig
    from spisonet.learning.memory import Memory
    from spisonet.learning.processes import Processes


def run_reconstruct(config: ReconstructConfig) -> None:
    """Correct the anisotropy of one or two half maps.

    Writes corrected maps, weights, figures, the log, ``job.json`` and a report into ``config.output_dir``.

    Raises
    ------
    SpisonetError
        If an input or option is unusable (nothing is written then), or if training fails.
    """
    run_on_devices(run_reconstruct, config, _run)


def _run(config: ReconstructConfig, memory: Memory, processes: Processes) -> None:
    reconstruct(config, memory, processes)
    if config.report:
        run_report(ReportConfig(folder=config.output_dir, o=None, ncpus=config.ncpus))
