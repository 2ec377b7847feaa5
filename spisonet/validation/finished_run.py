"""A finished run, as the report and the checks read it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from spisonet.analysis.half_maps import HalfMaps, read_half_maps
from spisonet.anisotropy.config import ReconstructConfig
from spisonet.anisotropy.run_inputs import KEPT_STEM, with_reference
from spisonet.errors import SpisonetError
from spisonet.io.run_record import read_job_record

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self


@dataclass(frozen=True)
class FinishedRun:
    """A finished run of ``reconstruct``.

    Attributes
    ----------
    folder : Path
        Its output folder, wherever that is now.
    config : ReconstructConfig
        What was asked for.
    outcome : dict
        Its record, as in ``job.json``.
    workers : int
        CPU threads that may be used to judge it.
    """

    folder: Path
    config: ReconstructConfig
    outcome: dict[str, Any]
    workers: int = 1

    @classmethod
    def read(cls, folder: Path, ncpus: int = 1) -> Self:
        """Read the record of a run.

        Raises
        ------
        SpisonetError
            If the folder holds no finished run.
        """
        outcome = read_job_record(folder)
        if outcome.get("command") != ReconstructConfig.command or outcome.get("status") != "finished":
            raise SpisonetError(f"{folder} holds no finished run of {ReconstructConfig.command}.")
        workers = min(ncpus, os.cpu_count() or 1)
        return cls(folder, ReconstructConfig.from_options(outcome["config"]), outcome, workers)

    @property
    def limit_angstrom(self) -> float:
        """Resolution up to which the maps were corrected, in Å."""
        return float(self.outcome["limit_resolution_angstrom"])

    @property
    def coupled(self) -> bool:
        """Whether there are two corrected halves that are not independent."""
        if self.config.i2 is None:
            return False
        return self.before.coupled or not self.outcome["halves_independent"]

    @cached_property
    def before(self) -> HalfMaps:
        """The half maps that were corrected (with the low resolutions of a reference), and the mask."""
        return with_reference(self.config, self.measured)[0]

    @cached_property
    def measured(self) -> HalfMaps:
        """The half maps as they were given, and the mask."""
        config = self.config
        return read_half_maps(config.i1, config.i2, config.mask, config.apix)

    @property
    def data_weight(self) -> Path | None:
        """Share of each coefficient of the first map that was kept; None from a version that did not tell."""
        own = self.outcome["corrected_maps"][0].replace("corrected", KEPT_STEM, 1)
        paths = (self.folder / name for name in (f"{KEPT_STEM}.mrc", own))
        return next((path for path in paths if path.is_file()), None)

    @cached_property
    def after(self) -> HalfMaps:
        """The corrected half maps, and the mask."""
        paths = [self.folder / name for name in self.outcome["corrected_maps"]]
        return read_half_maps(paths[0], dict(enumerate(paths)).get(1), self.config.mask, self.config.apix)
