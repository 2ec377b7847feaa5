"""Configuration of the graphical interface."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from spisonet.io.config import CommandConfig, CommandLine, Positional

# Field types are evaluated at run time by pydantic and Typer.


class GuiConfig(CommandConfig):
    """Graphical interface: serve a project folder as a web page on this machine only."""

    command: ClassVar[str] = "gui"
    examples: ClassVar[tuple[str, ...]] = (
        "spisonet.py gui",
        "isonet.py gui ~/project --allowed_folders /data,/scratch --port 8700",
        "spisonet.py gui --keep_address",
    )

    project: Annotated[Path, Positional] = Field(Path(), description="Project folder; jobs run in it.")
    port: int | None = Field(
        None, ge=0, le=65535, description="Port on 127.0.0.1 [default: the first free port from 8642]."
    )
    allowed_folders: Annotated[str | None, CommandLine(aliases=("--roots",))] = Field(
        None,
        description="Additional folders to read from and write to, separated by commas, such as "
        "/data,/scratch [default: the project folder only].",
    )
    keep_address: bool = Field(
        False,
        description="Use the same address at every start in this project, so that open pages reconnect; the "
        "token is stored in a file that only you can read. Not for machines shared with people that you do "
        "not trust (SECURITY.md).",
    )
    slurm_template: Path | None = Field(
        None,
        description="Submission script that contains XXXcommandXXX [default: spisonet_jobs/slurm_gpu.sh if "
        "it exists].",
    )
