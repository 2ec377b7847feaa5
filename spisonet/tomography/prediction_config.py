"""Options of ``predict``; names and defaults are those of IsoNet and IsoNet2."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from spisonet.io.config import LARGEST_BOX, Positional
from spisonet.tomography.shared_config import OUTPUT_STAR, STAR_FILE, TableFile, TomogramNetworkConfig


class PredictConfig(TomogramNetworkConfig):
    """Correct tomograms with a trained network."""

    command: ClassVar[str] = "predict"
    examples: ClassVar[tuple[str, ...]] = (
        "isonet.py predict tomograms.star isonet_maps/network.safetensors --gpuID 0,1",
    )
    free_on_resume: ClassVar[frozenset[str]] = frozenset(
        {
            *("resume", "gpuID", "ncpus", "device", "memory_limit", "tomo_idx"),
            *("trust_table", "save_slices"),
        }
    )
    obsolete: ClassVar[frozenset[str]] = frozenset(
        {
            "batch_size",
            "normalize_percentile",
            "log_level",
            "model2",
            "correct_CTF",
            "apply_mw_x1",
            "isCTFflipped",
        }
    )

    star_file: Annotated[TableFile, Positional] = Field(description=STAR_FILE)
    model: Annotated[Path, Positional] = Field(
        description="Trained network (network.safetensors of refine or denoise)."
    )
    output_star: Path | None = Field(None, description=OUTPUT_STAR)
    output_dir: Path = Field(Path("corrected_tomos"), description="Folder for the corrected tomograms.")
    output_prefix: str = Field("", description="Prefix of the names of the corrected tomograms.")
    save_slices: bool = Field(
        True, description="Write a figure of slices and power spectra of each tomogram, before and after."
    )
    cube_size: int | None = Field(
        None,
        ge=1,
        le=LARGEST_BOX,
        description="Stride of tiles in voxels: without --crop_size, tiles are --padding_factor times as "
        "long, by default 1.5 times.",
    )
    padding_factor: float | None = Field(
        None,
        gt=1,
        le=4,
        description="Edge of tiles divided by their stride: larger values overlap more and take longer "
        "[default: an overlap of 32 voxels].",
    )
    crop_size: int | None = Field(
        None,
        ge=1,
        le=LARGEST_BOX,
        description="Edge of tiles in voxels [default: the largest that fits into memory].",
    )

    @field_validator("output_prefix")
    @classmethod
    def _file_name(cls, prefix: str) -> str:
        if "/" in prefix:
            raise ValueError(f"{prefix} contains a folder; give the folder as --output_dir")
        return prefix

    @property
    def name_beginning(self) -> str:
        """Beginning of the names of the corrected tomograms."""
        return f"{self.output_prefix}_corrected_" if self.output_prefix else "corrected_"
