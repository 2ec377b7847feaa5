"""Metadata of a network that was trained on tomograms, stored in its safetensors file."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from spisonet.errors import SpisonetError
from spisonet.tomography.ctf_correction import CtfCorrection
from spisonet.tomography.training_method import DENOISED, FILLED, FILLED_HALVES, HALVES_METHODS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from spisonet.tomography.tomogram import Tomogram

MAX_VOXEL_SIZE_RATIO = 1.25  # of tomograms that one network may be used for without a warning


@dataclass(frozen=True)
class NetworkMetadata:
    """How a network was trained, as far as predictions depend on it.

    Attributes
    ----------
    method : str
        ``n2n`` (denoising), ``isonet2-n2n`` or ``isonet2``.
    ctf : CtfCorrection
        CTF correction of the training tomograms.
    cube_size : int
        Edge of training subvolumes in voxels.
    voxel_sizes_angstrom : tuple of float
        Smallest and largest voxel size of the training tomograms in Å.
    saw_other_structures : bool
        Whether the training started from a network that was trained on other structures.
    """

    method: str
    ctf: CtfCorrection
    cube_size: int
    voxel_sizes_angstrom: tuple[float, float]
    saw_other_structures: bool = False

    @property
    def uses_halves(self) -> bool:
        """Whether the network was trained on even and odd tomograms."""
        return self.method in HALVES_METHODS

    @property
    def fills_wedge(self) -> bool:
        """Whether the network fills the missing wedge."""
        return self.method != DENOISED

    def as_record(self) -> dict[str, Any]:
        """Return the JSON-serialisable form that the file of the network contains."""
        return asdict(self)

    @classmethod
    def from_record(cls, path: Path, record: dict[str, Any]) -> NetworkMetadata:
        """Return the metadata of a network file.

        Parameters
        ----------
        path : Path
            The file, for messages.
        record : dict
            See `as_record`.

        Raises
        ------
        SpisonetError
            If the network was not trained on tomograms, or the record is damaged.
        """
        if record.get("method") not in (DENOISED, FILLED_HALVES, FILLED):
            raise SpisonetError(f"{path} was not trained on tomograms.", field="model")
        try:
            smallest, largest = (float(size) for size in record["voxel_sizes_angstrom"])
            ctf, cube_size = CtfCorrection(**record["ctf"]), int(record["cube_size"])
        except (KeyError, TypeError, ValueError) as error:
            raise SpisonetError(f"{path} contains damaged metadata: train the network again.") from error
        if not (0 < smallest <= largest < math.inf):
            raise SpisonetError(f"{path} contains an invalid voxel size: train the network again.")
        saw_others = record.get("saw_other_structures") is True
        return cls(record["method"], ctf, cube_size, (smallest, largest), saw_others)


def voxel_size_range(tomograms: Iterable[Tomogram]) -> tuple[float, float]:
    """Return the smallest and the largest voxel size in Å."""
    sizes = [tomogram.voxel_size_angstrom for tomogram in tomograms]
    return min(sizes), max(sizes)
