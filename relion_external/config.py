"""Options of the commands ``spisonet relion ...``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from spisonet.io.config import CommandConfig, CommandLine

# Field types are evaluated at run time by pydantic and Typer.
Positional = CommandLine(positional=True)


PARTICLES_FILE, REFERENCE_FILE = "particles.star", "reference.mrc"
HALF_MAP_FILE = "run_half{half}_class001_unfil.mrc"  # a name that RELION's PostProcess accepts


class InstallJobsConfig(CommandConfig):
    """Install job templates (job.star) of the External jobs, and a SLURM script, in a RELION project."""

    command: ClassVar[str] = "install-jobs"
    examples: ClassVar[tuple[str, ...]] = (
        "spisonet relion install-jobs",
        "spisonet relion install-jobs ~/project --relion31 anisotropy",
    )

    project: Annotated[Path, Positional] = Field(Path(), description="RELION project folder.")
    relion31: str | None = Field(
        None, description="Job that RELION 3.1 loads with 'Load job settings' on its External tab."
    )


class InstallSchemesConfig(CommandConfig):
    """Install two example Schemes for relion_schemer of RELION 5 in a RELION project."""

    command: ClassVar[str] = "install-schemes"
    examples: ClassVar[tuple[str, ...]] = ("spisonet relion install-schemes",)

    project: Annotated[Path, Positional] = Field(Path(), description="RELION project folder.")


class ListJobsConfig(CommandConfig):
    """List the External jobs with their inputs and parameters."""

    command: ClassVar[str] = "list-jobs"
    examples: ClassVar[tuple[str, ...]] = ("spisonet relion list-jobs",)


class CheckRefinementConfig(CommandConfig):
    """Check machine, settings and command of a refinement with --external_reconstruct before iteration 1."""

    command: ClassVar[str] = "check"
    examples: ClassVar[tuple[str, ...]] = (
        "spisonet relion check",
        "spisonet relion check Refine3D/job012",
        'spisonet relion check "mpirun -n 3 relion_refine_mpi --o Refine3D/run --external_reconstruct"',
    )

    refinement: Annotated[str, Positional] = Field(
        "",
        description="Folder of a refinement, also of one that is only scheduled, or a refine command in "
        "quotation marks [default: only the machine and the settings are checked].",
    )
    as_json: bool = Field(False, description="Print a list of objects with level, code and message.")


class RescueConfig(CommandConfig):
    """Measure whether the poses of a finished refinement have drifted; correct them from its particles."""

    command: ClassVar[str] = "rescue"
    examples: ClassVar[tuple[str, ...]] = (
        "spisonet relion rescue Refine3D/job012",
        "spisonet relion rescue Refine3D/job012 --o rescue_job012 --mask mask.mrc --resolution 12",
    )

    job: Annotated[Path, Positional] = Field(description="Folder of a Refine3D job.")
    o: Annotated[Path, CommandLine(aliases=("-o",))] = Field(
        Path("rescue"), description="Output folder; a new one for each run."
    )
    mask: Path | None = Field(None, description="Soft solvent mask [default: that of the refinement].")
    widen_mask: float = Field(
        8.0,
        ge=0,
        description="Distance in Å by which the mask is widened while poses are corrected. Masks made from "
        "a drifted map are too tight for this.",
    )
    sym: str | None = Field(None, description="Point group [default: that of the refinement].")
    resolution: float | None = Field(
        None,
        gt=0,
        description="Finest resolution in Å of the likelihood [default: where the FSC of the half maps falls "
        "to 0.5, but not finer than 10 Å].",
    )
    rounds: int = Field(
        8, ge=1, description="Largest number of rounds of a collective motion and local refinement."
    )
    device: str | None = Field(None, description="cpu, cuda, cuda:1 or mps [default: a GPU if there is one].")
    seed: int = Field(0, ge=0, description="Seed of the random number generators.")
    ncpus: int = Field(16, ge=1, description="Number of CPU threads, limited to the cores of the machine.")


COMMANDS: dict[type[CommandConfig], str] = {
    InstallJobsConfig: "relion_external.jobs.install:run_install_jobs",
    InstallSchemesConfig: "relion_external.jobs.schemes:run_install_schemes",
    ListJobsConfig: "relion_external.jobs.install:run_list_jobs",
    CheckRefinementConfig: "relion_external.preflight:run_check_command",
    RescueConfig: "relion_external.rescue:run_rescue",
}
