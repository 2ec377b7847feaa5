"""Options of the commands that filter maps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from spisonet.io.config import CommandConfig, CommandLine, Positional


class WhiteningConfig(CommandConfig):
    """Equalise the Fourier amplitudes of all shells between two resolutions; this sharpens the map."""

    command: ClassVar[str] = "whitening"
    examples: ClassVar[tuple[str, ...]] = (
        "spisonet.py whitening map.mrc -o whitened.mrc --mask mask.mrc --high_res 3 --low_res 10",
    )

    h1: Annotated[Path, Positional] = Field(description="Map to whiten.")
    o: Annotated[Path, CommandLine(aliases=("-o",))] = Field(Path("whitening.mrc"), description="Output map.")
    mask: Path | None = Field(None, description="Solvent mask, applied before the amplitudes are measured.")
    high_res: float = Field(
        3.0, gt=0, description="High-resolution limit in Å, usually where the FSC is 0.143."
    )
    low_res: float = Field(10.0, gt=0, description="Low-resolution limit in Å.")
    apix: float | None = Field(None, gt=0, description="Voxel size in Å [default: from the header].")


class AngularWhitenConfig(CommandConfig):
    """Equalise the Fourier power of a map over directions, shell by shell."""

    command: ClassVar[str] = "angular_whiten"
    examples: ClassVar[tuple[str, ...]] = ("spisonet.py angular_whiten in.mrc out.mrc 10 3.5",)

    in_name: Annotated[Path, Positional] = Field(description="Map to whiten.")
    out_name: Annotated[Path, Positional] = Field(description="Output map.")
    low_res: Annotated[float, Positional] = Field(gt=0, description="Low-resolution limit in Å.")
    high_res: Annotated[float, Positional] = Field(gt=0, description="High-resolution limit in Å.")
    apix: float | None = Field(None, gt=0, description="Voxel size in Å [default: from the header].")


class CombineMapConfig(CommandConfig):
    """Combine the low resolutions of one map with the high resolutions of another."""

    command: ClassVar[str] = "combine_map"
    examples: ClassVar[tuple[str, ...]] = (
        "spisonet.py combine_map low.mrc high.mrc combined.mrc 10 --mask_file mask.mrc",
    )

    low_map: Annotated[Path, Positional] = Field(description="Map used below the threshold resolution.")
    high_map: Annotated[Path, Positional] = Field(
        description="Map used beyond the threshold resolution; it also sets the grey scale."
    )
    out_map: Annotated[Path, Positional] = Field(description="Output map.")
    threshold_res: Annotated[float, Positional] = Field(gt=0, description="Threshold resolution in Å.")
    mask_file: Path | None = Field(None, description="Mask, applied before the amplitudes are matched.")
    apix: float | None = Field(None, gt=0, description="Voxel size in Å [default: from the header].")
