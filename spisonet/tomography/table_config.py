"""Options of ``prepare_star``; names and defaults are those of IsoNet and IsoNet2."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from spisonet.io.config import CommandConfig, CommandLine, Positional, invalid_option
from spisonet.io.numbers import RANGES, require_defocus_in_angstrom
from spisonet.io.paths import real_path
from spisonet.tomography.shared_config import VOXEL_SIZE, VoxelSizeOption


class PrepareStarConfig(CommandConfig):
    """List the tomograms of a folder, or of folders of even and odd halves, in a STAR file."""

    command: ClassVar[str] = "prepare_star"
    examples: ClassVar[tuple[str, ...]] = (
        "isonet.py prepare_star tomograms --output_star tomograms.star --pixel_size 10",
        "isonet.py prepare_star --even even --odd odd --tilt_min -50 --tilt_max 66",
        "isonet.py prepare_star tomograms --dry_run",
    )

    folder_name: Annotated[Path | None, Positional] = Field(
        None,
        description="Folder of tomograms, or of even and odd ones together; folder of a Warp project; or a "
        ".vll or .tbl file of Dynamo.",
    )
    output_star: Annotated[Path, CommandLine(aliases=("--star_name",))] = Field(
        Path("tomograms.star"), description="STAR file to write."
    )
    full: Annotated[Path | None, CommandLine(aliases=("-f",))] = Field(
        None, description="Folder of the tomograms from all tilts."
    )
    even: Annotated[Path | None, CommandLine(aliases=("-e",))] = Field(
        None, description="Folder of the tomograms from even tilts or frames."
    )
    odd: Annotated[Path | None, CommandLine(aliases=("-o",))] = Field(
        None, description="Folder of the tomograms from odd tilts or frames."
    )
    mask_folder: Path | None = Field(None, description="Folder of masks named after the tomograms.")
    coordinate_folder: Path | None = Field(
        None,
        description="Folder of files with subvolume centres, or one file: text or .mod files of IMOD, named "
        "after the tomograms; STAR files or tables of Dynamo, which may name them.",
    )
    tilt_folder: Path | None = Field(
        None,
        description="Folder of .tlt, .rawtlt, .aln, _TLT.txt, .mdoc or tilt-series STAR files "
        "[default: beside the tomograms].",
    )
    pixel_size: VoxelSizeOption = Field("auto", description=VOXEL_SIZE)
    defocus: str = Field(
        "0", description="Defocus in Å: one value, or one for each tomogram such as 30000,35000; 0: no CTF."
    )
    voltage: float = Field(300.0, ge=1, le=10_000, description="Acceleration voltage in kV.")
    cs: float = Field(2.7, ge=0, le=1000, description="Spherical aberration in mm.")
    ac: float = Field(0.1, ge=0, le=1, description="Amplitude contrast.")
    tilt_min: float | None = Field(
        None,
        ge=-90,
        le=90,
        description="Minimum tilt in degrees [default: from tilt files, or assumed to be -60].",
    )
    tilt_max: float | None = Field(
        None,
        ge=-90,
        le=90,
        description="Maximum tilt in degrees [default: from tilt files, or assumed to be 60].",
    )
    tilt_step: float = Field(3.0, gt=0, description="Tilt increment in degrees.")
    create_average: bool = Field(False, description="Also write the sums of even and odd tomograms.")
    number_subtomos: str = Field(
        "100", description="Number of subtomograms to extract from each tomogram, or auto."
    )
    dry_run: bool = Field(False, description="Print what was found, assumed and left out, and write nothing.")

    @field_validator("defocus")
    @classmethod
    def _defocus_in_angstrom(cls, text: str) -> str:
        for value in parse_defocus(text):
            require_defocus_in_angstrom(value)
        return text

    def check_options(self) -> None:
        """See `CommandConfig.check_options`."""
        if self.tilt_min is not None and self.tilt_max is not None and self.tilt_min >= self.tilt_max:
            raise invalid_option(
                "tilt_min", f"--tilt_min {self.tilt_min:g} is not below --tilt_max {self.tilt_max:g}."
            )
        if (self.even is None) != (self.odd is None):
            raise invalid_option("even", "Give both --even and --odd, or neither.")
        if self.even is not None and self.odd is not None and real_path(self.even) == real_path(self.odd):
            same = f", {self.even}" if self.even == self.odd else f": {self.odd} is {self.even}"
            raise invalid_option(
                "odd", f"--even and --odd are the same folder{same}; give the folders of both halves."
            )
        if self.folder_name is not None and self.full is not None:
            raise invalid_option(
                "full", "The folder of tomograms is given twice, as FOLDER_NAME and as --full."
            )
        if not (self.folder_name or self.full or self.even):
            raise invalid_option(
                "folder_name", "prepare_star needs a folder of tomograms, or --even and --odd."
            )


def parse_defocus(text: str) -> list[float]:
    """Return the values of ``--defocus`` in Å.

    Raises
    ------
    ValueError
        If one is not a number, or negative.
    """
    try:
        values = [float(word) for word in text.strip("[]() ").split(",")]
    except ValueError:
        values = [math.nan]
    if not all(RANGES["rlnDefocus"].holds(value) for value in values):
        raise ValueError(f"{text} is neither one defocus in Å nor a list such as 30000,35000")
    return values
