"""The record of a run: ``job.json`` in its output folder."""

from __future__ import annotations

import logging
import os
import platform
import time
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from spisonet import __version__
from spisonet.errors import SpisonetError, known_error
from spisonet.io.atomic import write_json
from spisonet.io.config import is_output
from spisonet.io.events import PROGRESS_FILE, progress_to_folder
from spisonet.io.json_files import DAMAGED, plain_name, read_json_object, validated
from spisonet.io.logs import log_to_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from spisonet.io.config import CommandConfig

log = logging.getLogger("spisonet")

JOB_FILE = "job.json"
LIBRARIES = ("torch", "numpy")  # whose versions are recorded
QUEUED, RUNNING, FINISHED = "queued", "running", "finished"  # values of ``status``
FAILED, INTERRUPTED = "failed", "interrupted"
INTERNAL_ERROR = "internal_error"  # code of an exception that is not a fault of the input

C = TypeVar("C", bound="CommandConfig")
FileName = Annotated[str, AfterValidator(plain_name)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class HalvesEntry(BaseModel):
    """Independence of the halves, see `spisonet.anisotropy.independence`."""

    independent: bool | None
    shared: list[str]


class FullMapEntry(BaseModel):
    """The corrected average of both halves."""

    corrected: FileName
    classical: FileName | None
    sharpened: FileName | None
    b_factor_square_angstrom: float | None
    unmeasured_fraction: Fraction


class TrainingEndEntry(BaseModel):
    """Why a training of variable length ended."""

    reason: str
    epochs: Annotated[int, Field(ge=1)]
    max_epochs: Annotated[int, Field(ge=1)]
    scores: list[float]


class RunRecord(BaseModel):
    """Types of the fields of ``job.json``; other fields may have any value."""

    model_config = ConfigDict(extra="allow", strict=True)

    config: dict[str, Any]
    program: str = ""
    version: str = ""
    libraries: dict[str, str] = {}
    command: str = ""
    written: str = ""
    working_directory: str = ""
    status: str = ""
    seconds: float = 0
    device: str = ""
    processes: int = 1
    network: str = ""
    label: str = ""
    # Of ``reconstruct``.
    halves: HalvesEntry | None = None
    limit_resolution_angstrom: Annotated[float, Field(gt=0, le=10_000)] = 1
    unmeasured_fraction: Fraction = 0
    corrected_by_shell: list[Any] | dict[str, Any] | None = None
    epoch_losses: dict[str, list[float | None]] | list[float | None] = []
    prediction_shares: dict[str, dict[str, float]] = {}
    loss_reductions: dict[str, float | None] = {}
    training_ends: dict[str, TrainingEndEntry] = {}
    corrected_maps: Annotated[list[FileName], Field(min_length=1)] = ["none"]
    classical_maps: list[FileName] = []
    figures: list[FileName] = []
    full_map: FullMapEntry | None = None
    # Of commands for tomograms.
    method: str = ""
    tomograms: list[str] = []
    epochs: int = 0
    training_end: TrainingEndEntry | None = None
    subvolumes_per_epoch: int = 0
    cube_size: int = 0
    previews: list[FileName] = []
    corrected: dict[str, str] = {}


def write_job_record(folder: Path, config: CommandConfig, **result: object) -> None:
    """Write ``job.json``: command, configuration, working directory, versions, and the result.

    Parameters
    ----------
    folder : Path
        Output folder of the run.
    config : CommandConfig
        Configuration of the command.
    **result
        JSON-serialisable values to add, such as ``status``.
    """
    record = {
        "program": "spisonet",
        "version": __version__,
        "libraries": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
        "command": config.command,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "working_directory": str(Path.cwd()),
        "config": config.model_dump(mode="json"),
        **result,
    }
    write_json(folder / JOB_FILE, record)


def read_job_record(folder: Path) -> dict[str, Any]:
    """Read ``job.json``.

    Raises
    ------
    SpisonetError
        If it is missing, or a field is damaged, which is named.
    """
    path = folder / JOB_FILE
    if not path.exists():
        raise SpisonetError(
            f"{folder} is not the output folder of a run: it contains no {JOB_FILE}.", code="not_a_run"
        )
    return validated(RunRecord, read_json_object(path), path)


def require_results(record: dict[str, Any], folder: Path, *fields: str) -> None:
    """Check that the record of a finished run contains results.

    Raises
    ------
    SpisonetError
        Naming the field that is missing.
    """
    missing = next((field for field in fields if record.get(field) is None), None)
    if missing is not None:
        raise SpisonetError(f"{folder / JOB_FILE} is damaged: {missing} is missing.", code=DAMAGED)


@contextmanager
def recorded(
    config: CommandConfig,
    folder: Path,
    translate: Callable[[Exception], Exception] | None = None,
    remove_old: Callable[[], None] = lambda: None,
    **fields: object,
) -> Iterator[dict[str, Any]]:
    """Keep ``job.json``, ``run.log`` and ``progress.jsonl`` of a run in its output folder.

    Nothing in the folder changes if another run is writing into it.

    Parameters
    ----------
    config : CommandConfig
        Configuration of the command.
    folder : Path
        Output folder, which exists.
    translate : callable, optional
        Returns the exception to raise for one that ends the run, such as a `SpisonetError` for lack of
        memory.
    remove_old : callable
        Removes the results of an earlier run in the folder; not called if the run is resumed.
    **fields
        Values that are recorded from the beginning.

    Yields
    ------
    dict
        The result, to be added to; it is recorded when the run has ended. A run that fails is recorded with
        its ``error`` as well: ``message``, ``code`` and ``field``.

    Raises
    ------
    SpisonetError
        If another run is writing into the folder.
    """
    started = time.monotonic()
    result: dict[str, Any] = dict(fields)
    with log_to_folder(folder), ExitStack() as stack:
        if not getattr(config, "resume", False):
            (folder / PROGRESS_FILE).unlink(missing_ok=True)
            remove_old()
        stack.enter_context(progress_to_folder(folder))
        write_job_record(folder, config, status=RUNNING, **fields)
        try:
            with _failure_recorded(
                config, lambda **failure: write_job_record(folder, config, **result, **failure), translate
            ):
                yield result
        except KeyboardInterrupt:
            log.info("Interrupted: repeat the command with --resume to continue.")
            raise
        result["seconds"] = round(time.monotonic() - started, 1)
        write_job_record(folder, config, status=FINISHED, **result)


@contextmanager
def continued(
    config: CommandConfig,
    folder: Path,
    translate: Callable[[Exception], Exception] | None = None,
    *,
    stays_finished: bool = False,
) -> Iterator[None]:
    """Keep ``job.json`` and ``run.log`` of a finished run while the same command continues in its folder.

    The recorded results are kept. An error that ends the block is added to them.

    Parameters
    ----------
    config : CommandConfig
        Configuration of the command.
    folder : Path
        Output folder of the run.
    translate : callable, optional
        See `recorded`.
    stays_finished : bool
        Leave the status ``finished`` whatever happens, because later commands need the finished part only.
    """

    def update(**changes: object) -> None:
        status = {"status": FINISHED} if stays_finished else {}
        write_json(folder / JOB_FILE, read_job_record(folder) | changes | status)

    with log_to_folder(folder):
        update(status=RUNNING)
        with _failure_recorded(config, update, translate):
            yield
        update(status=FINISHED)


@contextmanager
def _failure_recorded(
    config: CommandConfig,
    write: Callable[..., None],
    translate: Callable[[Exception], Exception] | None,
) -> Iterator[None]:
    """Call `write` with the status, and the error, of an exception that ends the block."""
    try:
        yield
    except KeyboardInterrupt:
        write(status=INTERRUPTED)
        raise
    except Exception as error:
        translated = error if translate is None else translate(error)
        with suppress(
            SpisonetError
        ):  # where the disk is full, the error that ended the run is the one to say
            write(status=FAILED, error=_error_record(translated, config))
        if translated is error:
            raise
        raise translated from error


def record_failure(config: CommandConfig, error: SpisonetError) -> None:
    """Record a failure before the run began, if its output folder has a queued record.

    Programs that start commands write such a record; without one nothing is written.
    """
    outputs = (
        v for name, v in config if isinstance(v, Path) and is_output(name, type(config).model_fields[name])
    )
    for folder in (place for output in outputs for place in (output, output.parent)):
        with suppress(SpisonetError, OSError):
            if not (folder / JOB_FILE).is_file():
                continue
            record = read_job_record(folder)
            if record.get("status") == QUEUED and record.get("command") == config.command:
                failed = {"status": FAILED, "error": _error_record(error, config)}
                write_json(folder / JOB_FILE, record | failed)


def _error_record(error: Exception, config: CommandConfig) -> dict[str, str | None]:
    if (known := known_error(error)) is not None:
        return known.locate(config).as_record()
    message = str(error) or type(error).__name__
    return SpisonetError(message, code=INTERNAL_ERROR).as_record()


def require_same_run(config: CommandConfig, folder: Path) -> None:
    """Check that the run in a folder can be resumed with this configuration.

    Raises
    ------
    SpisonetError
        If the folder contains no run, or an option differs.
    """
    if not (folder / JOB_FILE).is_file():
        raise SpisonetError(
            f"There is no run to resume in {folder}: it contains no {JOB_FILE}.",
            code="not_a_run",
            field="resume",
        )
    record = read_job_record(folder)
    if name := changed_option(config, record):
        raise SpisonetError(
            f"--{name} was {record['config'].get(name)} in the run in {folder} and is "
            f"{getattr(config, name)} now; repeat the same command line to resume it.",
            code="changed_option",
            field=name,
        )


def changed_option(config: CommandConfig, record: dict[str, Any]) -> str | None:
    """Return the name of an option that differs between a run and a record, or None.

    Options in `CommandConfig.free_on_resume` are ignored.
    """
    working_directory = Path(record.get("working_directory") or Path.cwd())
    defaults = {name: info.default for name, info in type(config).model_fields.items()}
    # Records of older versions lack newer options, which then had their default.
    recorded = config.model_construct(**defaults | record["config"])
    recorded_output, output = _output_path(recorded, working_directory), _output_path(config, Path.cwd())

    def is_same_file(before: str, now: Path) -> bool:
        """Compare two places: the same one, or the same one beside a run that was moved or copied."""
        old, new = os.path.normpath(working_directory / before), os.path.normpath(now.absolute())
        if old == new or os.path.realpath(old) == os.path.realpath(new):
            return True
        if recorded_output is None or output is None:
            return False
        return os.path.relpath(old, recorded_output) == os.path.relpath(new, output)

    for name, value in config.model_dump(mode="json").items():
        before, now = getattr(recorded, name), getattr(config, name)
        if name in config.free_on_resume:
            continue
        if isinstance(now, Path) and before is not None:
            if not is_same_file(str(before), now):
                return name
        elif (str(before) if isinstance(before, Path) else before) != value:
            return name
    return None


def _output_path(config: CommandConfig, folder: Path) -> Path | None:
    """Return the place of the output of a configuration whose paths are relative to a folder."""
    for name, info in type(config).model_fields.items():
        value = getattr(config, name)
        if is_output(name, info) and value is not None:
            return Path(os.path.normpath(folder / str(value)))
    return None


def located_config(config: C, record: dict[str, Any], folder: Path, required: Collection[str]) -> C:
    """Return a recorded configuration whose input paths can be read from the current folder.

    A path is looked for where the run found it: relative to its working directory. If it is not there, it is
    looked for at the same place relative to the output folder, in case both were moved together.

    Parameters
    ----------
    config : CommandConfig
        The configuration in the record.
    record : dict
        See `read_job_record`.
    folder : Path
        Output folder of the run, where it is now.
    required : collection of str
        Fields whose files have to exist.

    Raises
    ------
    SpisonetError
        If a required file is in neither place.
    """
    working_directory = Path(record.get("working_directory") or Path.cwd())
    recorded_output = _output_path(config, working_directory)
    found: dict[str, Path] = {}
    for name, value in config:
        if not isinstance(value, Path) or is_output(name, type(config).model_fields[name]):
            continue
        places = [working_directory / value]
        if recorded_output is not None:
            places.append(Path(os.path.normpath(folder / os.path.relpath(places[0], recorded_output))))
        existing = next((place for place in places if place.exists()), None)
        if existing is None and name in required:
            raise SpisonetError(
                f"{value}, an input of the run in {folder}, is neither at "
                f"{' nor at '.join(str(place) for place in dict.fromkeys(places))}.",
                code="file_not_found",
                field=name,
            )
        found[name] = existing or places[0]
    return config.model_copy(update=found)
