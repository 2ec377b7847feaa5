"""Options that submit a command to a scheduler instead of running it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from spisonet.io.config import CommandConfig, invalid_option
from spisonet.io.shards import LARGEST_COUNT, Shard

NAME_AND_VALUE = re.compile(r"\s*(\w+)=([^,]*)")
MERGE = "merge"


class SubmissionConfig(CommandConfig):
    """Submission to a scheduler.

    These options are no part of a run's configuration: its record does not contain them.
    """

    command: ClassVar[str] = "submit"

    submit: Literal["slurm", "sge", "lsf"] | None = Field(
        None,
        description="Write submission scripts and submit them to Slurm, Grid Engine or LSF, instead of "
        "running the command.",
    )
    submit_template: Path | None = Field(
        None, description="Submission script that contains XXXcommandXXX [default: one for the scheduler]."
    )
    submit_options: str | None = Field(
        None,
        description="Values of fields of the template, such as queue=gpu,time=04:00:00,memory=32G,gpus=1.",
    )
    shards: int | None = Field(
        None,
        ge=1,
        le=LARGEST_COUNT,
        description="With --submit: number of tasks of the job array that corrects the tomograms of a table "
        "[default: one for each tomogram, at most 20].",
    )
    shard: str | None = Field(
        None,
        description="predict: correct only a part of the tomograms, such as 3/20, without changing the "
        "table; merge/20 then enters the results of all 20 parts into the table.",
    )
    dry_run: bool = Field(
        False, description="With --submit: print the scripts, and write and submit nothing."
    )

    @field_validator("submit_options")
    @classmethod
    def _names_and_values(cls, text: str | None) -> str | None:
        if text is not None and not all(NAME_AND_VALUE.fullmatch(part) for part in text.split(",")):
            raise ValueError(f"{text} is not a list such as queue=gpu,time=04:00:00")
        return text

    @field_validator("shard")
    @classmethod
    def _part(cls, text: str | None) -> str | None:
        if text is not None:
            Shard.parse(text.replace(MERGE, "1", 1))
        return text

    @property
    def values(self) -> dict[str, str]:
        """Values of the fields of the template."""
        found = (NAME_AND_VALUE.fullmatch(part) for part in (self.submit_options or "").split(","))
        return {match[1]: match[2].strip() for match in found if match is not None}

    def check_options(self) -> None:
        """See `CommandConfig.check_options`."""
        if self.submit is not None and self.shard is not None:
            raise invalid_option("shard", "--shard is what the submitted jobs do; give --shards to --submit.")
        alone = ("submit_template", "submit_options", "shards", "dry_run")
        for name in alone if self.submit is None else ():
            if getattr(self, name):
                raise invalid_option(name, f"--{name} needs --submit slurm, sge or lsf.")
