"""Options of ``predict``; names and defaults are those of IsoNet and IsoNet2."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from spisonet.io.config import Positional
from spisonet.tomography.shared_config import OUTPUT_STAR, STAR_FILE, TomogramNetworkConfig


class PredictConfig(TomogramNetworkConfig):
    """Correct tomograms with a trained network."""

    command: ClassVar[str] = "predict"
    examples: ClassVar[tuple[str, ...]] = (
        "isonet.py predict tomograms.star isonet_maps/network.safetensors --gpuID 0,1",
    )
    free_on_resume: ClassVar[frozenset[str]] = frozenset(
        {"resume", "gpuID", "ncpus", "device", "memory_limit", "tomo_idx", "trust_table"}
    )
    obsolete: ClassVar[frozenset[str]] = frozenset(
        {
            "batch_size",
            "normalize_percentile",
            "log_level",
            "padding_factor",
            "model2",
            "output_prefix",
            "correct_CTF",
            "apply_mw_x1",
            "isCTFflipped",
        }
    )

    star_file: Annotated[Path, Positional] = Field(description=STAR_FILE)
    model: Annotated[Path, Positional] = Field(
        description="Trained network (network.safetensors of refine or denoise)."
    )
    output_star: Path | None = Field(None, description=OUTPUT_STAR)
    output_dir: Path = Field(Path("corrected_tomos"), description="Folder for the corrected tomograms.")
    cube_size: int | None = Field(
        None,
        ge=1,
        description="Stride of tiles in voxels: without --crop_size, tiles have 1.5 times this edge.",
    )
    crop_size: int | None = Field(
        None, ge=1, description="Edge of tiles in voxels [default: the largest that fits into memory]."
    )
