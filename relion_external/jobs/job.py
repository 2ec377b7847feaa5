"""An External job: the command that it runs, its inputs, parameters and outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from relion_external.jobs.arguments import NONE_WORD, JobCall, as_options
from spisonet.commands.options import boolean_names, optional_names
from spisonet.errors import SpisonetError
from spisonet.io.run_record import JOB_FILE, changed_option, read_job_record

if TYPE_CHECKING:
    from pathlib import Path

    from relion_external.jobs.folder import Node
    from spisonet.io.config import CommandConfig

EXECUTABLE_PREFIX, TOMOGRAM_PREFIX = "spisonet-job-", "isonet-job-"

FindOptions = Callable[[JobCall, Mapping[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class Job:
    """One kind of External job, which runs one command.

    Attributes
    ----------
    name : str
        Name of the job; the console script is `prefix` + `name`.
    config : type
        Configuration of the command.
    inputs : dict
        Description of each input node that the job takes.
    shown_parameters : tuple of str
        Parameters in the ``job.star`` template; RELION has room for ten.
    fixed_options : tuple of str
        Options of the command that are set by the job and are not parameters.
    find_options : callable
        Returns options from the call, given the options that the user set; None where unknown.
    nodes : callable
        Returns the outputs in the job folder besides the logfile, the most important first.
    aliases : dict
        Options by their alternative parameter names.
    automatic_parameters : tuple of str
        Shown parameters that are taken from the inputs although the command has a default for them.
    trains : bool
        Whether the job trains a network, and can be continued.
    after_refinement : bool
        Whether the input map is usually half map 1 of a refinement.
    prefix : str
        Prefix of the console script.
    """

    name: str
    config: type[CommandConfig]
    inputs: Mapping[str, str]
    shown_parameters: tuple[str, ...]
    fixed_options: tuple[str, ...]
    find_options: FindOptions
    nodes: Callable[[Path], list[Node]]
    aliases: Mapping[str, str] = field(default_factory=dict)
    automatic_parameters: tuple[str, ...] = ()
    trains: bool = False
    after_refinement: bool = False
    prefix: str = EXECUTABLE_PREFIX

    @property
    def executable(self) -> str:
        """Name of the console script."""
        return self.prefix + self.name

    @property
    def parameters(self) -> dict[str, str]:
        """Descriptions of the parameters by name."""
        names = {option: alias for alias, option in self.aliases.items()}
        return {
            names.get(option, option): info.description or ""
            for option, info in self.config.model_fields.items()
            if option not in self.fixed_options
        }

    def configure(self, call: JobCall) -> CommandConfig:
        """Build the configuration of the command from the arguments and the metadata of the inputs.

        A job that RELION runs again in its folder resumes its training.

        Raises
        ------
        SpisonetError
            If an input is missing, if a parameter is unknown or its value not allowed, or if the job was
            started with other options.
        """
        fields = self.config.model_fields
        names = [name for name in fields if name not in self.fixed_options]
        given: dict[str, Any] = {
            **as_options(call.parameters, names, boolean_names([self.config]), self.aliases)
        }
        if "profile" in given:  # RELION passes all parameters that its form shows
            given = {name: value for name, value in given.items() if value != str(fields[name].default)}
        optional = optional_names([self.config])
        for name, value in given.items():
            if value is None and name not in optional and not fields[name].is_required():
                given[name] = NONE_WORD  # a value of its own, as of --prior
        if given.get("gpuID"):
            given["gpuID"] = given["gpuID"].replace(":", ",")  # RELION separates GPUs by colons
        if "ncpus" in fields:
            given.setdefault("ncpus", call.threads)
        found = {name: value for name, value in self.find_options(call, given).items() if value is not None}
        for name in names:
            if fields[name].is_required() and name not in found | given:
                raise SpisonetError(
                    f"The job needs the parameter {name}: {fields[name].description}", field=name
                )
        config = self.config.from_options(found | given)
        return self._resumed(config, call.folder) if self.trains else config

    def _resumed(self, config: CommandConfig, folder: Path) -> CommandConfig:
        if not (folder / JOB_FILE).is_file():
            return config
        has_trained = any(folder.glob("checkpoint*.safetensors"))
        try:
            record = read_job_record(folder)
        except SpisonetError:
            if has_trained:
                raise
            return config
        name = changed_option(config, record)
        if name is not None and not has_trained:
            return config
        if name is not None:
            raise SpisonetError(
                f"{name} was {record['config'].get(name)} when this job started and is now "
                f"{getattr(config, name)}; start a new job to change it.",
                field=name,
            )
        return config.model_copy(update={"resume": True})
