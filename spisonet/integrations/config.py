"""Options of the commands for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, create_model

from spisonet.anisotropy.config import ReconstructConfig
from spisonet.io.config import CommandConfig, CommandLine, Positional


class DepositConfig(CommandConfig):
    """Write the files of an EMDB deposition from a finished reconstruct run, the half maps uncorrected."""

    command: ClassVar[str] = "deposit"
    examples: ClassVar[tuple[str, ...]] = (
        "spisonet.py deposit corrected",
        "spisonet.py deposit External/job005 --postprocess PostProcess/job004",
    )

    folder: Annotated[Path, Positional] = Field(description="Output folder of a reconstruct run.")
    postprocess: Path | None = Field(
        None,
        description="RELION PostProcess job of the same half maps: its sharpened map becomes the primary "
        "map, and its mask is used [default: the average of the half maps, not sharpened].",
    )
    output_dir: Annotated[Path | None, CommandLine(aliases=("-o",))] = Field(
        None, description="Output folder [default: deposit in the folder of the run]."
    )


class CryosparcConfig(CommandConfig):
    """Options of all commands that talk to a cryoSPARC instance."""

    project: Annotated[str, Positional] = Field(
        pattern=r"^P\d+$", description="cryoSPARC project, such as P3."
    )
    url: str | None = Field(
        None, description="Address of the instance, such as http://host:39000 [default: CRYOSPARC_BASE_URL]."
    )
    email: str | None = Field(
        None,
        description="Account of the session that `python -m cryosparc.tools login` opened "
        "[default: CRYOSPARC_EMAIL; its password, if any, is read from CRYOSPARC_PASSWORD].",
    )


class PullConfig(CryosparcConfig):
    """Download half maps, mask and particles of a finished cryoSPARC refinement."""

    command: ClassVar[str] = "pull"
    examples: ClassVar[tuple[str, ...]] = ("spisonet.py cryosparc pull P3 J42 --output_dir J42",)

    job: Annotated[str, Positional] = Field(pattern=r"^J\d+$", description="Refinement job, such as J42.")
    output_dir: Path = Field(Path("cryosparc"), description="Output folder.")


class PushConfig(CryosparcConfig):
    """Upload the corrected maps of a finished run as an external result of a cryoSPARC workspace."""

    command: ClassVar[str] = "push"
    examples: ClassVar[tuple[str, ...]] = ("spisonet.py cryosparc push P3 W1 corrected",)

    workspace: Annotated[str, Positional] = Field(
        pattern=r"^W\d+$", description="Workspace for the new job, such as W1."
    )
    folder: Annotated[Path, Positional] = Field(description="Output folder of a reconstruct run.")


class CorrectRefinementConfig(CryosparcConfig):
    """Download a cryoSPARC refinement, correct its half maps, and upload the corrected maps; restartable."""

    command: ClassVar[str] = "run"
    examples: ClassVar[tuple[str, ...]] = (
        "spisonet.py cryosparc run P3 J42 W1 --output_dir J42 --limit_res 3.5",
    )

    job: Annotated[str, Positional] = Field(pattern=r"^J\d+$", description="Refinement job, such as J42.")
    workspace: Annotated[str, Positional] = Field(
        pattern=r"^W\d+$", description="Workspace for the new job, such as W1."
    )
    output_dir: Path = Field(
        Path("cryosparc"), description="Output folder; a run that was interrupted continues in it."
    )

    def reconstruct_options(self) -> dict[str, Any]:
        """Return the options of ``reconstruct`` that were given or have their default."""
        return {name: getattr(self, name) for name in RECONSTRUCT_OPTIONS}

    def check_options(self) -> None:
        """See `CommandConfig.check_options`."""
        halves = {"i1": self.output_dir, "i2": self.output_dir}
        ReconstructConfig.from_options(halves | self.reconstruct_options()).check_options()


# Options of `reconstruct` that do not follow from the refinement.
RECONSTRUCT_OPTIONS: dict[str, Any] = {
    name: (info.annotation, info)
    for name, info in ReconstructConfig.model_fields.items()
    if name not in {"i1", "i2", "aniso_file", "mask", "output_dir", "resume"}
}
RunConfig = create_model(
    "RunConfig",
    __base__=CorrectRefinementConfig,
    __doc__=CorrectRefinementConfig.__doc__,
    **RECONSTRUCT_OPTIONS,
)


# Commands of `spisonet cryosparc`, and the functions that run them.
CRYOSPARC_COMMANDS: dict[type[CommandConfig], str] = {
    PullConfig: "spisonet.integrations.cryosparc:run_pull",
    RunConfig: "spisonet.integrations.cryosparc_run:run_refinement_correction",
    PushConfig: "spisonet.integrations.cryosparc:run_push",
}
