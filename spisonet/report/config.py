"""Options of the command that writes the report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from spisonet.io.config import CommandConfig, CommandLine, Positional


class ReportConfig(CommandConfig):
    """Write the report of a finished reconstruct run: one HTML page, and its numbers as JSON."""

    command: ClassVar[str] = "report"
    examples: ClassVar[tuple[str, ...]] = (
        "spisonet.py report isonet_maps",
        "spisonet.py report External/job004 -o External/job005/report.html",
    )

    folder: Annotated[Path, Positional] = Field(description="Output folder of a reconstruct run.")
    o: Annotated[Path | None, CommandLine(aliases=("-o",))] = Field(
        None,
        description="HTML page; the JSON file and the figures are named after it "
        "[default: report.html in the folder].",
    )
    model: Path | None = Field(
        None, description="Atomic model (PDB, mmCIF) in the frame of the maps [default: the run's, if any]."
    )
    ncpus: int = Field(16, ge=1, description="Number of CPU threads (at most those of the machine are used).")
