"""Metadata of a network that was trained on tomograms, stored in its safetensors file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from spisonet.errors import SpisonetError
from spisonet.io.config import LARGEST
from spisonet.io.json_files import validated
from spisonet.learning.checkpoint import damaged
from spisonet.tomography.ctf_correction import CtfCorrection
from spisonet.tomography.training_method import DENOISED, FILLED, FILLED_HALVES, HALVES_METHODS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from spisonet.tomography.tomogram import Tomogram

MAX_VOXEL_SIZE_RATIO = 1.25  # of tomograms that one network may be used for without a warning


class CtfRecord(BaseModel):
    """Types of the fields of a `CtfCorrection`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    mode: Literal["None", "phase_only", "wiener", "network"] = "None"
    phase_flipped: bool = False
    keep_low: bool = True
    b_factor: Annotated[float, Field(ge=0, le=LARGEST)] = 0
    snr_falloff: Annotated[float, Field(ge=0, le=LARGEST)] | None = None
    strength: Annotated[float, Field(ge=-LARGEST, le=LARGEST)] | None = None
    highpass: Annotated[float, Field(gt=0, le=1)] = 0.02


class NetworkRecord(BaseModel):
    """Types of the metadata in the file of a network."""

    model_config = ConfigDict(extra="allow", strict=True)

    ctf: CtfRecord
    cube_size: Annotated[int, Field(ge=8, le=4096)]
    saw_other_structures: bool = False
    voxel_sizes_angstrom: Annotated[
        list[Annotated[float, Field(gt=0, le=10_000)]], Field(min_length=2, max_length=2)
    ]


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
        validated(NetworkRecord, record, path)
        smallest, largest = record["voxel_sizes_angstrom"]
        if smallest > largest:
            raise damaged(path, "its voxel sizes are not in order")
        ctf, saw_others = CtfCorrection(**record["ctf"]), record.get("saw_other_structures", False)
        return cls(record["method"], ctf, record["cube_size"], (smallest, largest), saw_others)


def voxel_size_range(tomograms: Iterable[Tomogram]) -> tuple[float, float]:
    """Return the smallest and the largest voxel size in Å."""
    sizes = [tomogram.voxel_size_angstrom for tomogram in tomograms]
    return min(sizes), max(sizes)
