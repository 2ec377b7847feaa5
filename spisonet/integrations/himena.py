"""The External jobs of RELION as jobs of himena-relion, a RELION window that takes plugins."""

from __future__ import annotations

import inspect
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from relion_external.jobs.definitions import JOBS
from spisonet.integrations.external_jobs import CATEGORIES, class_name, program_name, program_path
from spisonet.io.config import option_kind
from spisonet.io.hosts import HIMENA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relion_external.jobs.job import Job

HIMENA.require()  # names a version that was not tested
from himena_relion.consts import MenuId  # noqa: E402 - after the sentence about a missing package
from himena_relion.external import RelionExternalJob  # noqa: E402

MODULE = "spisonet_plugins.himena"  # under which RELION's job.star names the classes
ABORT_FILE = "RELION_JOB_ABORT_NOW"
POLL_SECONDS = 0.5
GIVEN_AS_INPUT = {"tomograms"}  # parameters that an input of the form replaces
YES = {True: "Yes", False: "No"}


class _SpisonetJob(RelionExternalJob):  # himena-relion does not list classes of this form of name
    """A job that runs an External job of RELION in the same folder."""

    external: ClassVar[Job]

    @classmethod
    def import_path(cls) -> str:
        """Return the name by which `himena-relion` finds the class."""
        return f"{MODULE}:{cls.__name__}"

    @classmethod
    def job_title(cls) -> str:
        """Return the title in the menu."""
        return CATEGORIES[cls.external.name][1]

    @classmethod
    def menu_id(cls) -> str:
        """Return the menu."""
        menu: str = MenuId.RELION_TOMO_RECON_JOB if cls.job_is_tomo() else MenuId.RELION_POSTPROCESS_JOB
        return menu

    @classmethod
    def job_is_tomo(cls) -> bool:
        """Whether the job is one of tomograms."""
        return program_name(cls.external) == "isonet"

    def output_nodes(self) -> list[tuple[str, str]]:
        """Return nothing: the External job lists its outputs when they exist, and RELION reads them."""
        return []

    def run(self, **values: Any) -> Iterator[None]:
        """Run the External job; it ends by itself if RELION asks it to abort.

        Raises
        ------
        RuntimeError
            If it fails; the reason is in ``run.err``.
        """
        folder = Path(self.output_job_dir.path)
        command = [program_path(self.external), "--o", f"{folder}/", *_words(self.external, values)]
        abort, is_aborted = folder / ABORT_FILE, False
        with subprocess.Popen(command) as process:
            while process.poll() is None:
                time.sleep(POLL_SECONDS)
                is_aborted = is_aborted or abort.exists()
                if not is_aborted:  # himena-relion would leave the process behind
                    yield
        if is_aborted:
            abort.touch()
            yield  # himena-relion marks the job as aborted
        if process.returncode:
            raise RuntimeError(f"{self.external.executable} failed; the reason is in {folder / 'run.err'}.")


def himena_class(job: Job) -> type[RelionExternalJob]:
    """Return himena-relion's class for an External job."""

    def run(self: _SpisonetJob, **values: Any) -> Iterator[None]:
        yield from _SpisonetJob.run(self, **values)  # himena-relion looks for a generator function

    run.__signature__ = _signature(job)  # type: ignore[attr-defined]
    content = {"external": job, "run": run, "__module__": MODULE, "__doc__": inspect.getdoc(job.config)}
    return type(class_name(job), (_SpisonetJob,), content)


def _signature(job: Job) -> inspect.Signature:
    """Return inputs, parameters and threads as the form of a job; RELION has room for ten parameters."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    found = [inspect.Parameter("self", kind)]
    # Inputs without an annotation have that of himena-relion, which limits the files by their kind.
    found += [inspect.Parameter(name, kind, default="") for name in job.inputs]
    for name in _parameters(job):
        info = job.config.model_fields[job.aliases.get(name, name)]
        form, choices = option_kind(info)
        is_automatic = name in job.automatic_parameters or info.is_required()
        options: dict[str, Any] = {"label": name, "tooltip": info.description, "group": "Parameters"}
        if form == "switch" and not is_automatic:
            found.append(
                inspect.Parameter(name, kind, default=bool(info.default), annotation=Annotated[bool, options])
            )
            continue
        if form == "choice":
            options["choices"] = list(dict.fromkeys(["", *choices]))
        found.append(inspect.Parameter(name, kind, default="", annotation=Annotated[str, options]))
    found.append(inspect.Parameter("j", kind, default=1))
    return inspect.Signature(found)


def _parameters(job: Job) -> list[str]:
    return [name for name in job.shown_parameters if name not in GIVEN_AS_INPUT]


def _words(job: Job, values: dict[str, Any]) -> list[str]:
    """Return the arguments of an External job; an empty value is that of the command."""
    words: list[str] = []
    for name, value in values.items():
        option = job.config.model_fields.get(job.aliases.get(name, name))
        if value in (None, "") or (option is not None and value == option.default):
            continue
        words += [f"--{name}", YES[value] if isinstance(value, bool) else str(value)]
    return words


globals().update({class_name(job): himena_class(job) for job in JOBS.values()})
