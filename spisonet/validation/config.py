"""Configurations of the commands that correct and judge corrections."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - evaluated at run time by pydantic
from typing import Annotated, ClassVar

from pydantic import Field

from spisonet.anisotropy.config import ReconstructConfig
from spisonet.io.config import CommandConfig, CommandLine

Positional = CommandLine(positional=True)


class ReportConfig(CommandConfig):
    """Sum up a finished reconstruct run in one HTML page and its numbers as JSON."""

    command: ClassVar[str] = "report"
    examples: ClassVar[tuple[str, ...]] = (
        "spisonet.py report isonet_maps",
        "spisonet.py report External/job004 -o External/job005/report.html",
    )

    folder: Annotated[Path, Positional] = Field(description="Output folder of a reconstruct run.")
    o: Annotated[Path | None, CommandLine(aliases=("-o",))] = Field(
        None,
        description="HTML page; the JSON and the figures take its name [default: report.html in the folder].",
    )
    ncpus: int = Field(16, ge=1, description="Number of CPU threads (at most those of the machine are used).")


COMMANDS: dict[type[CommandConfig], str] = {
    ReconstructConfig: "spisonet.validation.run:run_reconstruct",
    ReportConfig: "spisonet.validation.report:run_report",
}
