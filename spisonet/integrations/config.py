"""Options of the commands for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, create_model

from spisonet.anisotropy.config import ReconstructConfig
from spisonet.io.config import CommandConfig, CommandLine, Positional, invalid_option


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
        """Return the options of ``reconstruct`` that were given; a profile sets the others."""
        return {name: getattr(self, name) for name in RECONSTRUCT_OPTIONS if name in self.model_fields_set}

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


class CopickConfig(CommandConfig):
    """Options of all commands that read or write a copick project."""

    project: Annotated[Path, Positional] = Field(description="JSON file of the copick project.")


class CopickPullConfig(CopickConfig):
    """Write the tomograms of a copick project as MRC files, which prepare_star lists."""

    command: ClassVar[str] = "pull"
    examples: ClassVar[tuple[str, ...]] = (
        "isonet.py copick pull project.json --tomo_type wbp --voxel_size 10 --output_dir tomograms",
        "isonet.py copick pull project.json --even_type even --odd_type odd --output_dir tomograms",
    )

    tomo_type: str | None = Field(None, description="Type of the tomograms from all tilts, such as wbp.")
    even_type: str | None = Field(None, description="Type of the tomograms from even tilts or frames.")
    odd_type: str | None = Field(None, description="Type of the tomograms from odd tilts or frames.")
    voxel_size: float | None = Field(
        None, gt=0, description="Voxel spacing in Å [default: the only one with tomograms of the type]."
    )
    runs: str | None = Field(None, description="Runs, such as TS_1,TS_2 [default: all].")
    output_dir: Path = Field(Path("copick"), description="Output folder.")
    dry_run: bool = Field(False, description="Print what would be written, and write nothing.")

    def check_options(self) -> None:
        """See `CommandConfig.check_options`."""
        if (self.even_type is None) != (self.odd_type is None):
            raise invalid_option("even_type", "Give both --even_type and --odd_type, or neither.")
        if self.tomo_type is None and self.even_type is None:
            raise invalid_option("tomo_type", "Give --tomo_type, or --even_type and --odd_type.")


class CopickPushConfig(CopickConfig):
    """Add the corrected tomograms of a table to a copick project as a new tomogram type."""

    command: ClassVar[str] = "push"
    examples: ClassVar[tuple[str, ...]] = (
        "isonet.py copick push project.json tomograms.star --tomo_type isonet",
    )

    star_file: Annotated[Path, Positional] = Field(description="STAR file that lists corrected tomograms.")
    tomo_type: str = Field(
        "isonet",
        pattern=r"^[A-Za-z0-9.\-]+$",
        description="New tomogram type; copick allows neither spaces nor underscores.",
    )
    column: str = Field("rlnCorrectedTomoName", description="Column of the corrected tomograms.")


# Commands of `isonet copick`, and the functions that run them.
COPICK_COMMANDS: dict[type[CommandConfig], str] = {
    CopickPullConfig: "spisonet.integrations.copick:run_pull",
    CopickPushConfig: "spisonet.integrations.copick:run_push",
}
# Commands of `spisonet cryosparc`, and the functions that run them.
CRYOSPARC_COMMANDS: dict[type[CommandConfig], str] = {
    PullConfig: "spisonet.integrations.cryosparc:run_pull",
    RunConfig: "spisonet.integrations.cryosparc_run:run_refinement_correction",
    PushConfig: "spisonet.integrations.cryosparc:run_push",
}
