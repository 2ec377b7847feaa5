"""Options of ``isonet.py check``."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from spisonet.io.config import CommandConfig, Positional
from spisonet.tomography.shared_config import TOMO_IDX, OptionalTableFile


class TomogramCheckConfig(CommandConfig):
    """Check the devices, or the tilt axes and ranges of a table against the power spectra."""

    command: ClassVar[str] = "check"
    examples: ClassVar[tuple[str, ...]] = ("isonet.py check", "isonet.py check tomograms.star")

    star_file: Annotated[OptionalTableFile, Positional] = Field(
        None,
        description="STAR file of tomograms whose missing wedges are measured, or the folder of a "
        "Reconstruct tomograms job of RELION 5 [default: check devices].",
    )
    tomo_idx: str | None = Field(None, description=TOMO_IDX)
