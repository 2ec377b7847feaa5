"""Options of ``extract`` and ``prepare_subtomo_star``; names and defaults are those of IsoNet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from spisonet.io.config import LARGEST_BOX, CommandConfig, Positional
from spisonet.tomography.shared_config import (
    STAR_FILE,
    TOMO_IDX,
    TRUST_TABLE,
    USE_DECONVOLVED,
    VOXEL_SIZE,
    TableFile,
    VoxelSizeOption,
)


class ExtractConfig(CommandConfig):
    """Extract subtomograms for training; refine can also use the tomograms directly."""

    command: ClassVar[str] = "extract"
    examples: ClassVar[tuple[str, ...]] = ("isonet.py extract tomograms.star --cube_size 64",)
    obsolete: ClassVar[frozenset[str]] = frozenset({"log_level"})

    star_file: Annotated[TableFile, Positional] = Field(description=STAR_FILE)
    input_column: str | None = Field(
        None, description="Column of the input tomograms [default: the deconvolved or else the full ones]."
    )
    use_deconv_tomo: bool = Field(True, description=USE_DECONVOLVED)
    subtomo_folder: Path = Field(Path("subtomo"), description="Folder for the subtomograms.")
    subtomo_star: Path = Field(Path("subtomo.star"), description="STAR file of subtomograms to write.")
    cube_size: int = Field(
        64,
        ge=16,
        le=LARGEST_BOX,
        description="Edge of training subvolumes in voxels; that of subtomograms is 1.5 times as long.",
    )
    crop_size: int | None = Field(None, ge=16, le=LARGEST_BOX, description="Edge of subtomograms in voxels.")
    tomo_idx: str | None = Field(None, description=TOMO_IDX)
    trust_table: bool = Field(False, description=TRUST_TABLE)
    seed: int = Field(0, ge=0, description="Seed of the random positions.")


class SubtomogramStarConfig(CommandConfig):
    """List the subtomograms of a folder in a STAR file for training."""

    command: ClassVar[str] = "prepare_subtomo_star"
    examples: ClassVar[tuple[str, ...]] = ("isonet.py prepare_subtomo_star subtomo --pixel_size 10",)

    folder_name: Annotated[Path, Positional] = Field(description="Folder of subtomograms.")
    output_star: Path = Field(Path("subtomo.star"), description="STAR file to write.")
    pixel_size: VoxelSizeOption = Field("auto", description=VOXEL_SIZE)
    cube_size: int | None = Field(
        None,
        ge=16,
        le=LARGEST_BOX,
        description="Edge of training subvolumes in voxels [default: two thirds of that of the "
        "subtomograms].",
    )
