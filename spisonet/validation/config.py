"""Configurations of the commands that correct and judge corrections."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from spisonet.anisotropy.config import ReconstructConfig
from spisonet.io.config import CommandConfig, CommandLine

Positional = CommandLine(positional=True)


class ReportConfig(CommandConfig):
    """Sum up a finished reconstruct run in one HTML page and its numbers as JSON."""

    command: ClassVar[str] = "report"
    examples: ClassVar[tuple[str, ...]] = (
        "spisonet.py report isonet_maps",
        "spisonet.py report External/job004 -o External/job005/report.html",
    )

    folder: Annotated[Path, Positional] = Field(description="Output folder of a reconstruct run.")
    o: Annotated[Path | None, CommandLine(aliases=("-o",))] = Field(
        None,
        description="HTML page; the JSON and the figures take its name [default: report.html in the folder].",
    )
    model: Path | None = Field(
        None, description="Atomic model (PDB, mmCIF) in the frame of the maps [default: the run's, if any]."
    )
    ncpus: int = Field(16, ge=1, description="Number of CPU threads (at most those of the machine are used).")


class DiagnoseConfig(CommandConfig):
    """Tell how anisotropic two half maps are, why, and what to do about it."""

    command: ClassVar[str] = "diagnose"
    examples: ClassVar[tuple[str, ...]] = (
        "spisonet.py diagnose half1.mrc half2.mrc --mask mask.mrc",
        "spisonet.py diagnose run_half1_class001_unfil.mrc run_half2_class001_unfil.mrc --mask mask.mrc "
        "--star run_data.star --sym c3",
    )

    h: Annotated[Path, Positional] = Field(description="Half map 1.")
    h2: Annotated[Path, Positional] = Field(description="Half map 2.")
    mask: Annotated[Path | None, Positional] = Field(None, description="Soft solvent mask.")
    star: Path | None = Field(
        None,
        description="Particles of the refinement: a STAR file or optimisation set of RELION 3.0 to 5 or "
        "Warp, or a .cs file. Their angles tell misalignment from missing views.",
    )
    sym: str = Field("c1", description="Point group that the refinement imposed, in RELION's notation.")
    limit_res: float | None = Field(
        None, gt=0, description="Resolution limit in Å [default: where the global FSC falls to 0.143]."
    )
    output_dir: Path = Field(Path("diagnosis"), description="Output folder.")
    tomograms: Path | None = Field(
        None,
        description="Subtomograms: tomograms.star of RELION 4, RELION 5 or Warp "
        "[default: that of an optimisation set].",
    )
    tilt_min: float | None = Field(
        None, ge=-90, le=90, description="Subtomograms: smallest tilt about y in degrees, for all tomograms."
    )
    tilt_max: float | None = Field(None, ge=-90, le=90, description="Subtomograms: largest tilt.")
    tilt_step: float = Field(3.0, gt=0, description="Subtomograms: angle between these tilts.")
    number_subset: int = Field(
        10000, ge=1, description="Largest number of particles to use, drawn at random."
    )
    ncpus: int = Field(16, ge=1, description="Number of CPU threads (at most those of the machine are used).")
    apix: float | None = Field(None, gt=0, description="Voxel size in Å [default: from the header].")
    seed: int = Field(0, ge=0, description="Seed of the random subset.")

    @property
    def star_file(self) -> Path:
        """The particles, if there are any."""
        assert self.star is not None
        return self.star


class ValidateConfig(CommandConfig):
    """Tell how well a finished reconstruct run fills what was not measured, by hiding what was measured."""

    command: ClassVar[str] = "validate"
    examples: ClassVar[tuple[str, ...]] = (
        "spisonet.py validate isonet_maps",
        "spisonet.py validate isonet_maps --cones 4 --cone_angle 20 --epochs 10",
    )

    folder: Annotated[Path, Positional] = Field(description="Output folder of a reconstruct run.")
    cones: int = Field(3, ge=1, description="Number of cones that are hidden, one after the other.")
    cone_angle: float | None = Field(
        None,
        gt=0,
        lt=90,
        description="Half-angle of the cones in degrees [default: that of the largest gap, 20 to 60].",
    )
    epochs: int | None = Field(
        None, ge=1, description="Training epochs for each cone [default: those of the run, divided by cones]."
    )
    turns: int = Field(4, ge=2, description="Turned copies that every network is asked about.")
    gpuID: str | None = Field(None, description="GPUs to use, as in 0 or 0,1.")  # noqa: N815
    device: str | None = Field(None, description="cpu, cuda, cuda:1 or mps [default: the best there is].")
    memory_limit: float | None = Field(
        None, gt=0, description="Gigabytes of the device's memory to use [default: what is free]."
    )
    ncpus: int = Field(16, ge=1, description="Number of CPU threads (at most those of the machine are used).")
    resume: bool = Field(False, description="Continue from the last checkpoints of a validation.")


class NullTestConfig(CommandConfig):
    """Correct maps that lack something on purpose, as a finished run did, and look whether it appears."""

    command: ClassVar[str] = "nulltest"
    examples: ClassVar[tuple[str, ...]] = (
        "spisonet.py nulltest isonet_maps",
        "spisonet.py nulltest isonet_maps --delete domain_mask.mrc --phase_res 8",
    )

    folder: Annotated[Path, Positional] = Field(description="Output folder of a reconstruct run.")
    delete: Path | None = Field(
        None, description="Domain that is to be deleted: its soft mask, or a model of it (PDB, mmCIF)."
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
    device: str | None = Field(None, description="cpu, cuda, cuda:1 or mps [default: the best there is].")
    memory_limit: float | None = Field(
        None, gt=0, description="Gigabytes of the device's memory to use [default: what is free]."
    )
    ncpus: int = Field(16, ge=1, description="Number of CPU threads (at most those of the machine are used).")
    resume: bool = Field(False, description="Continue from the last checkpoints of the tests.")


COMMANDS: dict[type[CommandConfig], str] = {
    ReconstructConfig: "spisonet.validation.run:run_reconstruct",
    DiagnoseConfig: "spisonet.validation.diagnose:run_diagnose",
    ValidateConfig: "spisonet.validation.run:run_validate",
    NullTestConfig: "spisonet.validation.run:run_null_test",
    ReportConfig: "spisonet.validation.report:run_report",
}
