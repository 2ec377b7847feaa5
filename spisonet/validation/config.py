"""Options of the commands that validate a finished run, and of the fit of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from spisonet.io.config import CommandConfig, CommandLine, Positional


class ValidateConfig(CommandConfig):
    """Held-out validation of a finished run: train without measured cones, compare predictions in them."""

    command: ClassVar[str] = "validate"
    examples: ClassVar[tuple[str, ...]] = (
        "spisonet.py validate isonet_maps",
        "spisonet.py validate isonet_maps --cones 4 --cone_angle 20 --epochs 10",
    )

    folder: Annotated[Path, Positional] = Field(description="Output folder of a reconstruct run.")
    cones: int = Field(3, ge=1, description="Number of held-out cones, each with a training of its own.")
    cone_angle: float | None = Field(
        None,
        gt=0,
        lt=90,
        description="Half-angle of the cones in degrees [default: that of the largest gap, 20 to 60].",
    )
    epochs: int | None = Field(
        None, ge=1, description="Training epochs for each cone [default: those of the run, divided by cones]."
    )
    turns: int = Field(
        4, ge=2, description="Number of rotated copies that each network predicts, for the uncertainty."
    )
    gpuID: str | None = Field(None, description="GPUs to use, as in 0 or 0,1.")  # noqa: N815
    device: str | None = Field(None, description="cpu, cuda, cuda:1 or mps [default: the best available].")
    memory_limit: float | None = Field(
        None, gt=0, description="Device memory to use in gigabytes [default: what is free]."
    )
    ncpus: int = Field(16, ge=1, description="Number of CPU threads (at most those of the machine are used).")
    resume: bool = Field(False, description="Continue from the last checkpoints of a validation.")


class NullTestConfig(CommandConfig):
    """Null tests for hallucinated signal: correct half maps that lack something, test whether it appears."""

    command: ClassVar[str] = "nulltest"
    examples: ClassVar[tuple[str, ...]] = (
        "spisonet.py nulltest isonet_maps",
        "spisonet.py nulltest isonet_maps --delete domain_mask.mrc --phase_res 8",
    )

    folder: Annotated[Path, Positional] = Field(description="Output folder of a reconstruct run.")
    delete: Path | None = Field(
        None, description="Domain to delete: its soft mask, or an atomic model of it (PDB, mmCIF)."
    )
    phase_res: float | None = Field(
        None,
        gt=0,
        description="Resolution in Å beyond which phases are randomised "
        "[default: 1.5 times the resolution limit of the run].",
    )
    epochs: int | None = Field(
        None, ge=1, description="Training epochs for each test [default: a third of those of the run]."
    )
    gpuID: str | None = Field(None, description="GPUs to use, as in 0 or 0,1.")  # noqa: N815
    device: str | None = Field(None, description="cpu, cuda, cuda:1 or mps [default: the best available].")
    memory_limit: float | None = Field(
        None, gt=0, description="Device memory to use in gigabytes [default: what is free]."
    )
    ncpus: int = Field(16, ge=1, description="Number of CPU threads (at most those of the machine are used).")
    resume: bool = Field(False, description="Continue from the last checkpoints of the tests.")


class ReferenceConfig(CommandConfig):
    """Make an initial reference from an atomic or predicted model, fitted into a map."""

    command: ClassVar[str] = "reference"
    examples: ClassVar[tuple[str, ...]] = (
        "spisonet.py reference model.cif --like half1.mrc --resolution 20",
        "spisonet.py reference model.cif --like half1.mrc --resolution 30 -o reference.mrc",
    )

    model: Annotated[Path, Positional] = Field(description="Atomic or predicted model (mmCIF, PDB).")
    like: Path = Field(
        description="Map of the particle, such as a half map, into which the model is fitted; box, voxel "
        "size and origin are those of this map."
    )
    resolution: float = Field(20.0, gt=0, description="Resolution in Å at which the reference is filtered.")
    sym: str = Field(
        "C1",
        description="Point group of the model, whose axes in the map are kept by the fit (RELION's names).",
    )
    o: Annotated[Path, CommandLine(aliases=("-o",))] = Field(Path("reference.mrc"), description="Output map.")
    apix: float | None = Field(None, gt=0, description="Voxel size in Å [default: from the header].")
