"""Fields of the requests that the web page sends."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from spisonet.gui.submission import ComputeTarget


class RequestModel(BaseModel):
    """Base of all requests; unknown fields are rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NamedRequest(RequestModel):
    """Name of a job, file, table or folder of the project."""

    name: str = ""


class InterfaceSettings(RequestModel):
    """What the page remembers of a project: the chosen maps and the folder that was browsed last."""

    half1: str | None = None
    half2: str | None = None
    mask: str | None = None
    aniso: str | None = None
    folder: str | None = None


class JobNotes(NamedRequest):
    """Title and notes that a user gives a job; ``version`` is that of the notes that the page shows."""

    title: str = Field("", max_length=200)
    text: str = Field("", max_length=20_000)
    version: str


class LogRequest(NamedRequest):
    """Page of a job's log that starts at a byte offset; -1: the last page."""

    offset: int = -1


class FileRequest(NamedRequest):
    """File to show, or to download; ``version`` as in `PlaneRequest`."""

    download: bool = False
    version: str = ""


class FormRequest(RequestModel):
    """Values of a form."""

    program: str
    command: str
    values: dict[str, str | bool | None]


class PreviewRequest(FormRequest):
    """Form whose command line is shown."""

    target: ComputeTarget = Field(default_factory=lambda: ComputeTarget(gpus=()))


class StartRequest(FormRequest):
    """Job to start; ``key`` identifies the form."""

    target: ComputeTarget
    key: str = Field(min_length=8, max_length=64)


class CellEdit(NamedRequest):
    """New value in a tomogram table; ``version`` is that of the table that the page shows."""

    row: int
    column: str
    value: str
    version: str


class EntryRemoval(NamedRequest):
    """File to remove from a row of a tomogram table; ``kind`` as in ``mask``."""

    row: int
    kind: str
    version: str


class RowRemoval(NamedRequest):
    """Rows to remove from a tomogram table."""

    rows: list[int]
    version: str


class TableCopy(NamedRequest):
    """Tomogram table and the name of its copy."""

    target: str


class TomogramAddition(NamedRequest):
    """Tomograms to add to a table."""

    folder: str
    files: list[str] = []
    options: dict[str, str | bool | None] = {}


class DroppedFolder(NamedRequest):
    """Name of a folder that was dropped on the page, with the names and sizes in bytes of its files."""

    files: dict[str, int]


class DrawnBoundary(NamedRequest):
    """Model to show on a tomogram."""

    volume: str


class BoundaryRequest(NamedRequest):
    """Contours drawn on a tomogram, as points (x, y, z) in voxels; ``replaced``: the file that was open."""

    volume: str
    contours: list[list[tuple[float, float, float]]]
    replaced: str = ""


class VolumeRequest(NamedRequest):
    """Volume, or the mean of two half maps: ``name`` and ``averaged_with``."""

    averaged_with: str = ""


class VoxelRequest(VolumeRequest):
    """Voxel of a volume."""

    x: int = Field(ge=0)
    y: int = Field(ge=0)
    z: int = Field(ge=0)


class PlaneRequest(VolumeRequest):
    """Plane of a volume; ``version`` keeps the browser from showing an earlier content of the file."""

    axis: Literal["z", "y", "x"]
    index: int = Field(ge=0)
    thickness: int = Field(1, ge=1, le=64)
    version: str = ""


class SliceRequest(PlaneRequest):
    """Plane of a volume and the densities that are drawn black and white."""

    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)


class RefinementCheck(RequestModel):
    """RELION job folder or refine command to check."""

    refinement: str = ""
