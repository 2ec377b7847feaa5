"""Options that several tomogram commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from spisonet.io.config import CommandConfig, CommandLine
from spisonet.io.numbers import SIZE, number_or_nan

TOMO_IDX = "Process only these tomograms, such as 1,2,4 or 5-10,15 [default: all]."
STAR_FILE = "STAR file of tomograms, or the folder of a Reconstruct tomograms job of RELION 5."
OUTPUT_STAR = "STAR file to write [default: STAR_FILE is updated]."
TRUST_TABLE = "Use the tilt ranges of the table although the power spectra show another tilt axis or range."
AS_RECONSTRUCTED = (
    "RELION 5: also write a table in which the corrected tomograms are listed as the reconstructed ones, "
    "which Extract subtomos reads with --real_subtomo. Averages of them are inferred in part."
)
VOXEL_SIZE = "Voxel size in Å, or auto to read it from the headers."
PIXEL_SIZE_OPTION = "give the voxel size with --pixel_size"
USE_DECONVOLVED = "Use the deconvolved tomograms where the table lists them."
RELION5_TABLE = "tomograms.star"  # in the folders of RELION's jobs


def _table_of(path: Path | None) -> Path | None:
    return path / RELION5_TABLE if path is not None and path.is_dir() else path


TableFile = Annotated[Path, AfterValidator(_table_of)]
OptionalTableFile = Annotated[Path | None, AfterValidator(_table_of)]


def parse_voxel_size(text: str) -> float | None:
    """Return the value of ``--pixel_size`` in Å; None for ``auto``.

    Raises
    ------
    ValueError
        If it is neither a voxel size nor ``auto``.
    """
    if text == "auto":
        return None
    value = number_or_nan(text)
    if not SIZE.holds(value):
        raise ValueError(f"{text} is neither a voxel size in Å nor auto")
    return value


def _voxel_size_or_auto(text: str) -> str:
    parse_voxel_size(text)
    return text


VoxelSizeOption = Annotated[str, AfterValidator(_voxel_size_or_auto)]


class TomogramNetworkConfig(CommandConfig):
    """Options that training and prediction of tomograms share."""

    gpuID: str | None = Field(  # noqa: N815 - the published name
        None, description="GPUs to use, such as 0 or 0,1 [default: the first, or the CPU if there is none]."
    )
    ncpus: Annotated[int, CommandLine(aliases=("--preprocessing_ncpus",))] = Field(
        16, ge=1, description="Number of CPU threads, at most those of the machine."
    )
    device: str | None = Field(None, description="cpu, cuda, cuda:1 or mps [default: a GPU if there is one].")
    memory_limit: float | None = Field(
        None, gt=0, description="Device memory to use, in gigabytes [default: all free memory]."
    )
    input_column: str | None = Field(
        None,
        description="Column of the input tomograms where even and odd ones are not used "
        "[default: the deconvolved or else the full ones].",
    )
    use_deconv_tomo: bool = Field(True, description=USE_DECONVOLVED)
    tomo_idx: str | None = Field(None, description=TOMO_IDX)
    pad: bool = Field(
        False,
        description="Mirror tomograms that are thinner than --cube_size at their borders instead of "
        "stopping.",
    )
    turns: int = Field(
        0,
        ge=0,
        le=16,
        description="Rotated copies to average predictions over (test-time augmentation): one more "
        "application of the network that fills wedges for each.",
    )
    half_turns: bool = Field(
        True,
        description="Average predictions over half turns (rotations by 180 degrees) that map the missing "
        "wedge onto itself: 4 applications of the network that fills wedges, or 2 if lowest and highest tilt "
        "differ by more than 5 degrees in size.",
    )
    trust_table: bool = Field(False, description=TRUST_TABLE)
    as_reconstructed: bool = Field(False, description=AS_RECONSTRUCTED)
    resume: bool = Field(False, description="Continue the run in the output folder.")
