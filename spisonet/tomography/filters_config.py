"""Options of ``deconv``, ``make_mask`` and ``resize``; names and defaults are those of IsoNet and IsoNet2."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from spisonet.io.config import LARGEST_BOX, CommandConfig, CommandLine, Positional
from spisonet.tomography.shared_config import OUTPUT_STAR, STAR_FILE, TOMO_IDX, USE_DECONVOLVED, TableFile


class DeconvConfig(CommandConfig):
    """Deconvolve the CTF of tomograms with a Wiener filter, which enhances low-resolution contrast."""

    command: ClassVar[str] = "deconv"
    examples: ClassVar[tuple[str, ...]] = (
        "isonet.py deconv tomograms.star --snrfalloff 0.7 --deconvstrength 1",
    )

    star_file: Annotated[TableFile, Positional] = Field(description=STAR_FILE)
    output_star: Path | None = Field(None, description=OUTPUT_STAR)
    deconv_folder: Annotated[Path, CommandLine(aliases=("--output_dir",))] = Field(
        Path("deconv"), description="Folder for the deconvolved tomograms."
    )
    input_column: str | None = Field(
        None,
        description="Column of the tomograms to deconvolve [default: the full ones, or the sum of the "
        "halves].",
    )
    voltage: float | None = Field(
        None, ge=1, le=10_000, description="Acceleration voltage in kV [default: from the table, or 300]."
    )
    cs: float | None = Field(
        None, ge=0, le=1000, description="Spherical aberration in mm [default: from the table, or 2.7]."
    )
    snrfalloff: float | None = Field(
        None,
        ge=0,
        le=1000,
        description="Falloff of the assumed signal-to-noise ratio with frequency [default: from the "
        "table, or 1].",
    )
    deconvstrength: float | None = Field(
        None, ge=-1000, le=1000, description="Strength of the deconvolution [default: from the table, or 1]."
    )
    highpassnyquist: float = Field(
        0.02, gt=0, le=1, description="Cut-off of the high-pass filter as a fraction of Nyquist."
    )
    phaseflipped: bool = Field(False, description="The tilt images are already phase flipped.")
    chunk_size: int | None = Field(
        None,
        ge=16,
        le=LARGEST_BOX,
        description="Edge in voxels of the chunks to filter [default: the whole tomogram, or 384 if it is "
        "large].",
    )
    overlap_rate: float = Field(
        0.25, ge=0, le=1, description="Overlap of chunks as a fraction of their edge."
    )
    ncpu: Annotated[int, CommandLine(aliases=("--ncpus",))] = Field(
        4, ge=1, description="Number of CPU threads."
    )
    tomo_idx: str | None = Field(None, description=TOMO_IDX)


class MakeMaskConfig(CommandConfig):
    """Mask the specimen in tomograms, so that training subvolumes are not drawn from empty regions."""

    command: ClassVar[str] = "make_mask"
    examples: ClassVar[tuple[str, ...]] = (
        "isonet.py make_mask tomograms.star --density_percentage 50 --std_percentage 50 --z_crop 0.1",
    )

    star_file: Annotated[TableFile, Positional] = Field(description=STAR_FILE)
    output_star: Path | None = Field(None, description=OUTPUT_STAR)
    mask_folder: Annotated[Path, CommandLine(aliases=("--output_dir",))] = Field(
        Path("mask"), description="Folder for the masks."
    )
    patch_size: int = Field(
        4,
        ge=1,
        le=LARGEST_BOX,
        description="Radius of the maximum and variance filters, in voxels of the tomogram binned by 2.",
    )
    density_percentage: float | None = Field(
        None,
        gt=0,
        le=100,
        description="Percentage of voxels to keep by density [default: from the table, or 50].",
    )
    std_percentage: float | None = Field(
        None,
        gt=0,
        le=100,
        description="Percentage of voxels to keep by local variance [default: from the table, or 50].",
    )
    use_deconv_tomo: bool = Field(True, description=USE_DECONVOLVED)
    input_column: str | None = Field(
        None,
        description="Column of the input tomograms [default: the deconvolved or else the full ones, or the "
        "sum of the halves].",
    )
    mask_boundary: Path | None = Field(
        None, description="IMOD model whose contours enclose the specimen [default: from the table]."
    )
    z_crop: float | None = Field(
        None, ge=0, lt=0.5, description="Fraction of the thickness to exclude at the top, and at the bottom."
    )
    tilt_edges: bool = Field(
        False, description="Exclude edges that are outside the field of view at some tilts."
    )
    gold_sigma: float | None = Field(
        None,
        gt=0,
        description="Exclude regions around voxels darker than this many standard deviations (gold beads).",
    )
    tomo_idx: str | None = Field(None, description=TOMO_IDX)


class PsfConfig(CommandConfig):
    """Write which Fourier coefficients a tilt series measures (its missing wedge), as a volume of 0 and 1."""

    command: ClassVar[str] = "psf"
    examples: ClassVar[tuple[str, ...]] = ("isonet.py psf --size 128 --tilt_file TS_01.tlt",)
    obsolete: ClassVar[frozenset[str]] = frozenset({"w", "between_tilts"})

    size: int = Field(
        128,
        ge=8,
        le=LARGEST_BOX,
        description="Edge of the volume in voxels; zero frequency is in the centre.",
    )
    tilt_file: Path | None = Field(
        None, description="Tilt file: .tlt, .rawtlt, .aln, .mdoc or STAR [default: -60 to 60 degrees]."
    )
    output: Annotated[Path, CommandLine(aliases=("-o",))] = Field(
        Path("wedge.mrc"), description="Volume to write; it can be used as --aniso_file of spisonet.py."
    )
    apix: float = Field(1.0, gt=0, description="Voxel size in Å of the header.")


class ResizeConfig(CommandConfig):
    """Resample tomograms and masks to another voxel size."""

    command: ClassVar[str] = "resize"
    examples: ClassVar[tuple[str, ...]] = ("isonet.py resize tomograms.star --apix 15",)

    star_file: Annotated[TableFile, Positional] = Field(description=STAR_FILE)
    apix: float = Field(15.0, gt=0, description="New voxel size in Å.")
    out_folder: Path = Field(
        Path("tomograms_resized"), description="Folder for the tomograms; their STAR file is named after it."
    )
