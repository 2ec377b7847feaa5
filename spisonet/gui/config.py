"""Configuration of the graphical interface."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from spisonet.io.config import CommandConfig, Positional

# Field types are evaluated at run time by pydantic and Typer.


class GuiConfig(CommandConfig):
    """Serve the graphical interface of a project folder as a web page of this machine."""

    command: ClassVar[str] = "gui"
    examples: ClassVar[tuple[str, ...]] = (
        "spisonet.py gui",
        "isonet.py gui ~/project --allowed_folders /data,/scratch --port 8700",
    )

    project: Annotated[Path, Positional] = Field(Path(), description="Project folder; jobs are run in it.")
    port: int | None = Field(
        None, ge=0, le=65535, description="Port of 127.0.0.1 [default: the first free one from 8642 on]."
    )
    allowed_folders: str | None = Field(
        None,
        description="Further folders to read from and write to, as in /data,/scratch [default: the project].",
    )
    slurm_template: Path | None = Field(
        None,
        description="Submission script with XXXcommandXXX in it [default: spisonet_jobs/slurm_gpu.sh if "
        "there is one].",
    )
