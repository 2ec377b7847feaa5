"""Options of the commands for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from spisonet.io.config import CommandConfig, CommandLine, Positional


class DepositConfig(CommandConfig):
    """Write the files of an EMDB deposition from a finished reconstruct run, the half maps uncorrected."""

    command: ClassVar[str] = "deposit"
    examples: ClassVar[tuple[str, ...]] = (
        "spisonet.py deposit corrected",
        "spisonet.py deposit External/job005 --postprocess PostProcess/job004",
    )

    folder: Annotated[Path, Positional] = Field(description="Output folder of a reconstruct run.")
    postprocess: Path | None = Field(
        None,
        description="RELION PostProcess job of the same half maps: its sharpened map becomes the primary "
        "map, and its mask is used [default: the average of the half maps, not sharpened].",
    )
    output_dir: Annotated[Path | None, CommandLine(aliases=("-o",))] = Field(
        None, description="Output folder [default: deposit in the folder of the run]."
    )
