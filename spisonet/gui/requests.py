"""What the page may ask: the fields of its requests."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from spisonet.gui.jobs import Place  # noqa: TC001 - evaluated by pydantic


class RequestModel(BaseModel):
    """Base of all: nothing else is understood."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Named(RequestModel):
    """Something of the project: a job, a file, a table, a folder."""

    name: str = ""


class LogPage(Named):
    """A part of a job's log."""

    offset: int = -1


class Download(Named):
    """A file, to be shown or kept; ``version`` as in `Plane`."""

    keep: bool = False
    version: str = ""


class Form(RequestModel):
    """Answers of a form."""

    program: str
    command: str
    values: dict[str, str | bool | None]


class Start(Form):
    """A job to start."""

    place: Place
    key: str = Field(min_length=8, max_length=64)


class Cell(Named):
    """A value of a table of tomograms."""

    row: int
    column: str
    value: str
    version: str


class Rows(Named):
    """Rows of a table of tomograms."""

    rows: list[int]
    version: str


class Copy(Named):
    """A table and the name of its copy."""

    target: str


class Addition(Named):
    """Tomograms to add to a table."""

    folder: str
    files: list[str] = []
    options: dict[str, str | bool | None] = {}


class DroppedFolder(Named):
    """What a browser tells of a folder that was dropped on the page: names and sizes of its files."""

    files: dict[str, int]


class Boundary(Named):
    """Contours that were drawn on a tomogram."""

    volume: str
    contours: list[list[tuple[float, float, float]]]


class Plane(Named):
    """A plane of a volume; ``version`` keeps the browser from showing what was there before."""

    axis: Literal["z", "y", "x"]
    index: int = Field(ge=0)
    thickness: int = Field(1, ge=1, le=64)
    version: str = ""


class Slice(Plane):
    """A plane, and the densities that become black and white."""

    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)


class Subject(RequestModel):
    """A job folder of RELION, or a refine command."""

    subject: str = ""
