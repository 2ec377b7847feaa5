"""Options of ``prepare_star``; names and defaults are those of IsoNet and IsoNet2."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from spisonet.io.config import CommandConfig, CommandLine, Positional


class PrepareStarConfig(CommandConfig):
    """List the tomograms of a folder, or of folders of even and odd halves, in a STAR file."""

    command: ClassVar[str] = "prepare_star"
    examples: ClassVar[tuple[str, ...]] = (
        "isonet.py prepare_star tomograms --output_star tomograms.star --pixel_size 10",
        "isonet.py prepare_star --even even --odd odd --tilt_min -50 --tilt_max 66",
        "isonet.py prepare_star tomograms --dry_run",
    )

    folder_name: Annotated[Path | None, Positional] = Field(
        None, description="Folder of tomograms, or of even and odd ones together."
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
        description="Folder of files with subvolume centres, named after the tomograms: text or .mod files "
        "of IMOD, or STAR files.",
    )
    tilt_folder: Path | None = Field(
        None,
        description="Folder of .tlt, .rawtlt, .aln, _TLT.txt, .mdoc or tilt-series STAR files "
        "[default: beside the tomograms].",
    )
    pixel_size: str = Field("auto", description="Voxel size in Å, or auto to read it from the headers.")
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
