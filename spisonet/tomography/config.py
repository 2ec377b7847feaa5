"""Configurations of the tomogram commands: names and defaults of IsoNet and IsoNet2."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from spisonet.io.config import CommandConfig, CommandLine

# Field types are evaluated at run time by pydantic and Typer.
Positional = CommandLine(positional=True)
TOMO_IDX = "Process only these tomograms, as in 1,2,4 or 5-10,15 [default: all]."


class PrepareStarConfig(CommandConfig):
    """List the tomograms of a folder, or of folders of even and odd halves, in a STAR file."""

    command: ClassVar[str] = "prepare_star"
    examples: ClassVar[tuple[str, ...]] = (
        "isonet.py prepare_star tomograms --output_star tomograms.star --pixel_size 10",
        "isonet.py prepare_star --even even --odd odd --tilt_min -50 --tilt_max 66",
    )

    folder_name: Annotated[Path | None, Positional] = Field(None, description="Folder of tomograms.")
    output_star: Annotated[Path, CommandLine(aliases=("--star_name",))] = Field(
        Path("tomograms.star"), description="STAR file to write."
    )
    full: Path | None = Field(None, description="Folder of the tomograms of all tilts.")
    even: Annotated[Path | None, CommandLine(aliases=("-e",))] = Field(
        None, description="Folder of the tomograms of even tilts or frames."
    )
    odd: Annotated[Path | None, CommandLine(aliases=("-o",))] = Field(
        None, description="Folder of the tomograms of odd tilts or frames."
    )
    mask_folder: Path | None = Field(None, description="Folder of masks with the tomograms' names.")
    coordinate_folder: Path | None = Field(None, description="Folder of files of particle coordinates.")
    tilt_folder: Path | None = Field(
        None, description="Folder of .tlt, .rawtlt, .mdoc or tilt-series STAR files [default: beside]."
    )
    pixel_size: str = Field("auto", description="Voxel size in Å, or auto: from the headers.")
    defocus: str = Field(
        "0", description="Defocus in Å, one value or one for each tomogram as in 30000,35000; 0: no CTF."
    )
    voltage: float = Field(300.0, gt=0, description="Acceleration voltage in kV.")
    cs: float = Field(2.7, ge=0, description="Spherical aberration in mm.")
    ac: float = Field(0.1, ge=0, le=1, description="Amplitude contrast.")
    tilt_min: float | None = Field(
        None, ge=-90, le=90, description="Smallest tilt in degrees [default: from tilt files, or -60]."
    )
    tilt_max: float | None = Field(
        None, ge=-90, le=90, description="Largest tilt in degrees [default: from tilt files, or 60]."
    )
    tilt_step: float = Field(3.0, gt=0, description="Angle between tilts in degrees.")
    create_average: bool = Field(False, description="Write the sums of even and odd tomograms, too.")
    number_subtomos: str = Field("100", description="Subtomograms to take from each tomogram, or auto.")


class DeconvConfig(CommandConfig):
    """Deconvolve tomograms by their CTF; this enhances the contrast at low resolution."""

    command: ClassVar[str] = "deconv"
    examples: ClassVar[tuple[str, ...]] = (
        "isonet.py deconv tomograms.star --snrfalloff 0.7 --deconvstrength 1",
    )

    star_file: Annotated[Path, Positional] = Field(description="STAR file of tomograms.")
    deconv_folder: Annotated[Path, CommandLine(aliases=("--output_dir",))] = Field(
        Path("deconv"), description="Folder for the deconvolved tomograms."
    )
    input_column: str | None = Field(
        None, description="Column of the files to deconvolve [default: the full ones]."
    )
    voltage: float | None = Field(
        None, gt=0, description="Acceleration voltage in kV [default: the table's, or 300]."
    )
    cs: float | None = Field(
        None, ge=0, description="Spherical aberration in mm [default: the table's, or 2.7]."
    )
    snrfalloff: float | None = Field(
        None, ge=0, description="How fast the signal falls with frequency [default: the table's, or 1]."
    )
    deconvstrength: float | None = Field(
        None, description="Strength of the deconvolution [default: the table's, or 1]."
    )
    highpassnyquist: float = Field(
        0.02, gt=0, le=1, description="End of the high-pass, as a fraction of Nyquist."
    )
    phaseflipped: bool = Field(False, description="The phases of the tilt images were flipped already.")
    chunk_size: int | None = Field(
        None, ge=16, description="Edge of the blocks to work in, in voxels [default: what the memory allows]."
    )
    overlap_rate: float = Field(
        0.25, ge=0, le=1, description="Overlap of blocks as a fraction of their edge."
    )
    ncpu: Annotated[int, CommandLine(aliases=("--ncpus",))] = Field(
        4, ge=1, description="Number of CPU threads."
    )
    tomo_idx: str | None = Field(None, description=TOMO_IDX)


class MakeMaskConfig(CommandConfig):
    """Mask the specimen: leave out what is empty, so that training and prediction spend no time there."""

    command: ClassVar[str] = "make_mask"
    examples: ClassVar[tuple[str, ...]] = (
        "isonet.py make_mask tomograms.star --density_percentage 50 --std_percentage 50 --z_crop 0.1",
    )

    star_file: Annotated[Path, Positional] = Field(description="STAR file of tomograms.")
    mask_folder: Annotated[Path, CommandLine(aliases=("--output_dir",))] = Field(
        Path("mask"), description="Folder for the masks."
    )
    patch_size: int = Field(
        4, ge=1, description="Size of the neighbourhoods of the filters, in binned voxels."
    )
    density_percentage: float | None = Field(
        None, gt=0, le=100, description="Share of voxels to keep by density [default: the table's, or 50]."
    )
    std_percentage: float | None = Field(
        None, gt=0, le=100, description="Share of voxels to keep by variation [default: the table's, or 50]."
    )
    use_deconv_tomo: bool = Field(True, description="Take the deconvolved tomograms where there are some.")
    input_column: str | None = Field(None, description="Column of the files to look at.")
    mask_boundary: Path | None = Field(
        None, description="IMOD model whose contours surround the specimen [default: the table's]."
    )
    z_crop: float | None = Field(
        None, ge=0, lt=0.5, description="Share of the tomogram to leave out at the top, and at the bottom."
    )
    tilt_edges: bool = Field(
        False, description="Leave out edges that are outside the field of view of some tilts."
    )
    gold_sigma: float | None = Field(
        None, gt=0, description="Leave out surroundings of voxels darker than this many deviations (gold)."
    )
    tomo_idx: str | None = Field(None, description=TOMO_IDX)


COMMANDS: dict[type[CommandConfig], str] = {
    PrepareStarConfig: "spisonet.tomography.prepare:run_prepare_star",
    DeconvConfig: "spisonet.tomography.deconvolution:run_deconv",
    MakeMaskConfig: "spisonet.tomography.masking:run_make_mask",
}
