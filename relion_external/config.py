"""Options of the commands ``spisonet relion ...``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from spisonet.io.config import CommandConfig, CommandLine

# Field types are evaluated at run time by pydantic and Typer.
Positional = CommandLine(positional=True)


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


class ListJobsConfig(CommandConfig):
    """List the External jobs with their inputs and parameters."""

    command: ClassVar[str] = "list-jobs"
    examples: ClassVar[tuple[str, ...]] = ("spisonet relion list-jobs",)


COMMANDS: dict[type[CommandConfig], str] = {
    InstallJobsConfig: "relion_external.jobs.install:run_install_jobs",
    ListJobsConfig: "relion_external.jobs.install:run_list_jobs",
}
