"""The job classes that the Pipeliner finds by the entry points of `spisonet_plugins`.

There is one class for each External job; all are made by `pipeliner_class`.
"""

from __future__ import annotations

import inspect
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipeliner.job_options import JobOptionValidationResult
from pipeliner.pipeliner_job import ExternalProgram, PipelinerCommand, PipelinerJob, Ref
from pydantic import ValidationError

from relion_external.jobs.arguments import read_call
from relion_external.jobs.definitions import JOBS
from spisonet import __version__
from spisonet.integrations.external_jobs import CATEGORIES, class_name, program_name, program_path
from spisonet.integrations.pipeliner.nodes import SWITCHES, finished_outputs, planned_outputs
from spisonet.integrations.pipeliner.options import (
    given_parameters,
    pipeliner_joboptions,
    pipeliner_parameters,
)
from spisonet.integrations.pipeliner.results import result_numbers, results_display
from spisonet.io.hosts import PIPELINER
from spisonet.io.paths import real_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relion_external.jobs.job import Job
    from spisonet.io.config import CommandConfig

PIPELINER.require()  # names a version that was not tested
CHECKPOINTS = "checkpoint*.safetensors"
OUTSIDE_PROJECT = "half2"  # copies of half map 1 alone lose the name of the other
REFERENCES = {
    "spisonet": {
        "authors": ["Liu YT", "Fan H", "Hu JJ", "Zhou ZH"],
        "title": "Overcoming the preferred-orientation problem in cryo-EM with self-supervised deep learning",
        "journal": "Nat. Methods",
        "year": "2025",
        "volume": "22",
        "pages": "113-123",
        "doi": "10.1038/s41592-024-02505-1",
    },
    "isonet": {
        "authors": ["Liu YT", "Zhang H", "Wang H", "Tao CL", "Bi GQ", "Zhou ZH"],
        "title": "Isotropic reconstruction for electron tomography with deep learning",
        "journal": "Nat. Commun.",
        "year": "2022",
        "volume": "13",
        "pages": "6482",
        "doi": "10.1038/s41467-022-33957-8",
    },
}


class SpisonetJob(PipelinerJob):
    """A Pipeliner job that runs an External job of RELION in the same folder."""

    external: ClassVar[Job]

    output_nodes: list[Any]

    def __init__(self) -> None:
        super().__init__()
        job = self.external
        program = program_name(job)
        executable = program_path(job)
        info = self.jobinfo
        info.display_name = CATEGORIES[job.name][1]
        info.short_desc = (inspect.getdoc(job.config) or "").splitlines()[0].rstrip(".")
        info.long_desc = inspect.getdoc(job.config) or ""
        info.version = __version__
        info.job_author = "The spisonet developers"
        info.documentation = f"{job.executable} --help; docs/integrations_doppio.md"
        info.programs = [
            ExternalProgram(command=executable, name=job.executable, vers_com=[executable, "--version"])
        ]
        info.references = [Ref(**REFERENCES[program])]
        self.can_continue = job.trains
        self.is_tomo = program == "isonet"
        self.joboptions = pipeliner_joboptions(job)
        self.get_runtab_options(threads=True, addtl_args=True)

    def create_output_nodes(self) -> None:
        """List the outputs that are known before the job runs."""
        options = self.joboptions
        switches = {name: bool(options[name].value) for name, _ in SWITCHES.values() if name in options}
        for node in planned_outputs(self.external, switches):
            self.add_output_node(node.name, node.type, list(node.keywords))

    def create_post_run_output_nodes(self) -> None:
        """List the outputs of the run, with the types that depend on it."""
        outputs = finished_outputs(self.external, Path(self.output_dir))
        known = {str(Path(self.output_dir) / node.name) for node in outputs}
        self.output_nodes = [node for node in self.output_nodes if node.name not in known]
        for node in outputs:
            self.add_output_node(node.name, node.type, list(node.keywords))

    def get_current_output_nodes(self) -> list[Any]:
        """Return the outputs that exist, of a job that failed or was aborted."""
        self.output_nodes = []
        self.create_output_nodes()
        return [node for node in self.output_nodes if Path(node.name).is_file()]

    def get_commands(self) -> list[PipelinerCommand]:
        """Return the commands: the version for the log, and the External job."""
        command = PipelinerCommand([program_path(self.external), *self._words()])
        return [*self.get_program_version_commands(), command]

    def additional_joboption_validation(self) -> list[JobOptionValidationResult]:
        """Check the values as the command will, without the inputs, which may not exist yet."""
        job = self.external
        names = {job.aliases.get(name, name): name for name in pipeliner_parameters(job)}
        given = {job.aliases.get(n, n): v for n, v in given_parameters(job, self.joboptions).items()}
        found = [
            JobOptionValidationResult("error", [self.joboptions[names[field]]], message)
            for field, message in invalid_values(job.config, given).items()
            if field in names
        ]
        half1, half2 = self.joboptions.get("in_3dref"), self.joboptions.get(OUTSIDE_PROJECT)
        if half1 is None or half2 is None or not half1.value or half2.value:
            return found
        if real_path(Path(half1.value)).is_relative_to(Path.cwd()):
            return found
        message = f"{half1.value} is outside the project and will be copied: give half map 2 too"
        return [*found, JobOptionValidationResult("error", [half2], message)]

    def prepare_clean_up_lists(self, do_harsh: bool = False) -> tuple[list[str], list[str]]:
        """Return the checkpoints, without which a finished job cannot be continued."""
        return [str(path) for path in sorted(Path(self.output_dir).glob(CHECKPOINTS))], []

    def gather_metadata(self) -> dict[str, Any]:
        """Return the numbers of the finished job."""
        return dict(result_numbers(self._config()))

    def create_results_display(self) -> list[Any]:
        """Return the display objects of the finished job."""
        return results_display(self.external, Path(self.output_dir), self._config())

    def _config(self) -> CommandConfig:
        return self.external.configure(read_call(self._words(), self.external.inputs))

    def _words(self) -> list[str]:
        """Return the arguments of the External job."""
        job, options = self.external, self.joboptions
        inputs = {name: str(options[name].value) for name in job.inputs if options[name].value}
        words = ["--o", self.output_dir]
        for name, value in {**inputs, **given_parameters(job, options)}.items():
            words += [f"--{name}", value]
        other = options["other_args"].value
        return [*words, "--j", str(self.get_nr_threads()), *shlex.split(other or "")]


def invalid_values(config: type[CommandConfig], given: Mapping[str, str]) -> dict[str, str]:
    """Return the messages about invalid values by option; absent options are not errors here."""
    try:
        config.model_validate(given)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        return {
            str(fault["loc"][0]): fault["msg"]
            for fault in faults
            if fault["loc"] and fault["input"] in given.values()
        }
    return {}


def process_name(job: Job) -> str:
    """Return the type of a job in the Pipeliner, such as ``spisonet.map_analysis.fsc3d``."""
    return f"{program_name(job)}.{CATEGORIES[job.name][0]}.{job.name.replace('-', '_')}"


def pipeliner_class(job: Job) -> type[SpisonetJob]:
    """Return the Pipeliner's class for an External job."""
    names = {"PROCESS_NAME": process_name(job), "OUT_DIR": class_name(job), "external": job}
    return type(class_name(job), (SpisonetJob,), names | {"__module__": __name__})


globals().update({class_name(job): pipeliner_class(job) for job in JOBS.values()})
