"""A finished run of ``reconstruct``, as validation and report read it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from spisonet.analysis.half_maps import HalfMaps, read_half_maps
from spisonet.anisotropy.config import ReconstructConfig
from spisonet.anisotropy.independence import HalvesIndependence
from spisonet.anisotropy.run_inputs import DATA_WEIGHT_STEM, FILTERED_SUFFIX, FULL_MAP, with_reference
from spisonet.errors import SpisonetError
from spisonet.fourier.grids import half_from_centred
from spisonet.io.json_files import DAMAGED
from spisonet.io.mrc import Volume, read_volume
from spisonet.io.processors import limited_threads
from spisonet.io.run_record import JOB_FILE, located_config, read_job_record, require_results

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from numpy.typing import NDArray

INPUT_MAPS = ("i1", "i2", "mask", "reference")  # options whose files are read again


@dataclass(frozen=True)
class FinishedRun:
    """A finished run of ``reconstruct``; maps are read when they are first used.

    Attributes
    ----------
    folder : Path
        Its output folder.
    config : ReconstructConfig
        Its options.
    record : dict
        Content of its ``job.json``.
    workers : int
        CPU threads to use for its validation.
    """

    folder: Path
    config: ReconstructConfig
    record: dict[str, Any]
    workers: int = 1

    @classmethod
    def read(cls, folder: Path, ncpus: int = 1) -> Self:
        """Read the record of a run.

        Raises
        ------
        SpisonetError
            If the folder does not contain a finished run.
        """
        record = read_job_record(folder)
        if record.get("command") != ReconstructConfig.command or record.get("status") != "finished":
            raise SpisonetError(f"{folder} does not contain a finished {ReconstructConfig.command} run.")
        if "halves" not in record:
            raise SpisonetError(
                f"{folder} was written by an older version: repeat {ReconstructConfig.command}."
            )
        require_results(
            record,
            folder,
            *("limit_resolution_angstrom", "unmeasured_fraction", "corrected_maps", "figures"),
            *("epoch_losses", "device", "written"),
        )
        workers = limited_threads(ncpus)
        try:
            config = ReconstructConfig.from_options(record["config"])
        except SpisonetError as error:
            raise SpisonetError(f"{folder / JOB_FILE} is damaged: {error}", code=DAMAGED) from error
        if len(record["corrected_maps"]) != (1 if config.i2 is None else 2):
            raise SpisonetError(
                f"{folder / JOB_FILE} is damaged: corrected_maps does not list a map for each half map.",
                code=DAMAGED,
            )
        located = located_config(config, record, folder, INPUT_MAPS)
        return cls(folder, located.model_copy(update={"output_dir": folder}), record, workers)

    @property
    def epochs(self) -> int:
        """Number of epochs that were trained; of a training of variable length, those of the longest one."""
        lengths = [end["epochs"] for end in self.record.get("training_ends", {}).values()]
        return max(lengths, default=self.config.max_epochs)

    @property
    def limit_angstrom(self) -> float:
        """Resolution to which the maps were corrected, in Å."""
        return float(self.record["limit_resolution_angstrom"])

    @property
    def limit_is_measured(self) -> bool:
        """Whether the limit follows from the FSC; FSC curves are then also shown beyond it."""
        return self.config.limit_res is None

    @property
    def halves_coupled(self) -> bool:
        """Whether there are two corrected halves that are not independent."""
        return HalvesIndependence.from_record(self.record["halves"]).independent is False

    @cached_property
    def half_maps(self) -> HalfMaps:
        """The half maps as they were given, and the mask."""
        config = self.config
        return read_half_maps(config.i1, config.i2, config.mask, config.apix)

    @cached_property
    def input_maps(self) -> HalfMaps:
        """The half maps that were corrected (with the low resolutions of a reference), and the mask."""
        return with_reference(self.config, self.half_maps)[0]

    @cached_property
    def corrected_maps(self) -> HalfMaps:
        """The corrected half maps, and the mask."""
        paths = [self.folder / name for name in self.record["corrected_maps"]]
        second = paths[1] if len(paths) > 1 else None
        return read_half_maps(paths[0], second, self.config.mask, self.config.apix)

    @cached_property
    def average_map(self) -> Volume | None:
        """Mean of the two half maps that were corrected; None for a single map."""
        half1, half2 = self.input_maps.half1, self.input_maps.half2
        return None if half2 is None else half1.with_data((half1.data + half2.data) / np.float32(2))

    @cached_property
    def full_map(self) -> Volume | None:
        """The corrected average of both half maps; None if the run did not write it."""
        name = (self.record.get("full_map") or {}).get("corrected")
        if name is None or not (self.folder / name).is_file():
            return None
        return read_volume(self.folder / name, self.config.apix)

    @property
    def mask(self) -> NDArray[np.float32] | None:
        """Mask values ``(n, n, n)`` in 0..1; None without a mask."""
        mask = self.half_maps.mask
        return None if mask is None else mask.data

    @cached_property
    def deconvolved_map(self) -> Volume | None:
        """Half map 1 corrected without a network; None if the run did not write it."""
        names = self.record.get("classical_maps", [])
        if not names or not (self.folder / names[0]).is_file():
            return None
        return read_volume(self.folder / names[0], self.config.apix)

    @property
    def data_weight_path(self) -> Path | None:
        """Data weight of the first map; None if the run did not write it."""
        own = self.record["corrected_maps"][0].replace("corrected", DATA_WEIGHT_STEM, 1)
        paths = (self.folder / name for name in (f"{DATA_WEIGHT_STEM}.mrc", own))
        return next((path for path in paths if path.is_file()), None)

    @cached_property
    def data_weight_rfft(self) -> NDArray[np.float32] | None:
        """Data weight ``(n, n, n // 2 + 1)`` in 0..1 of the first map; None if the run did not write it."""
        path = self.data_weight_path
        return None if path is None else self._read_weight_rfft(path)

    @property
    def full_data_weight_rfft(self) -> NDArray[np.float32] | None:
        """Data weight ``(n, n, n // 2 + 1)`` in 0..1 of the full map; None if the run did not write it."""
        path = self.folder / f"{DATA_WEIGHT_STEM}_{FULL_MAP}.mrc"
        return self._read_weight_rfft(path) if path.is_file() else None

    def _read_weight_rfft(self, path: Path) -> NDArray[np.float32]:
        return half_from_centred(read_volume(path, self.half_maps.half1.voxel_size_angstrom).data)

    def filtered_path(self, corrected: str) -> Path:
        """Return the path of a corrected map that is filtered to the resolution limit."""
        return self.folder / corrected.replace(".mrc", f"{FILTERED_SUFFIX}.mrc")
