"""Run configurations: one pydantic model per command.

Command line and graphical forms are generated from these models, so a default or
a help text stands in one place. Modules that define them import nothing heavy.
"""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from spisonet import __version__
from spisonet.errors import SpisonetError
from spisonet.io.atomic import atomic_path

if TYPE_CHECKING:
    from typing import Self

    from pydantic.fields import FieldInfo

JOB_FILE = "job.json"
LIBRARIES = ("torch", "numpy")  # whose versions a record tells


@dataclass(frozen=True)
class CommandLine:
    """How a field appears on the command line; put it into the field's ``Annotated``.

    Attributes
    ----------
    positional : bool
        The field may be given without its name, in the order of the model's fields.
    aliases : tuple of str
        Further spellings, such as ``-o``.
    """

    positional: bool = False
    aliases: tuple[str, ...] = ()


Positional = CommandLine(positional=True)


class CommandConfig(BaseModel):
    """Base of every command's configuration: immutable and strict about unknown fields.

    Class attributes ``command`` and ``examples`` name the command and show it in its help;
    ``free_on_resume`` names the options that may be others when a run is resumed; ``obsolete`` those of
    published programs that are accepted, with any value, and mean nothing here.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: ClassVar[str]
    examples: ClassVar[tuple[str, ...]] = ()
    free_on_resume: ClassVar[frozenset[str]] = frozenset()
    obsolete: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> Self:
        """Build the configuration, turning a validation failure into one sentence.

        Raises
        ------
        SpisonetError
            Naming the first option at fault.
        """
        try:
            return cls(**options)
        except ValidationError as error:
            field, message = next(iter(field_faults(error).items()))
            raise SpisonetError(f"--{field}: {message}" if field else _capitalised(message)) from error


def field_faults(error: ValidationError) -> dict[str, str]:
    """Return what is wrong by field, in sentences without their beginning; "" stands for the whole."""
    faults: dict[str, str] = {}
    for fault in error.errors():
        message = fault["msg"].removeprefix("Value error, ").rstrip(".")
        faults.setdefault(".".join(map(str, fault["loc"])), f"{message[0].lower()}{message[1:]}.")
    return faults


def _capitalised(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def is_output(name: str, info: FieldInfo) -> bool:
    """Tell whether a field names what a command writes: ``o``, ``output_...``, or a path with a default."""
    return name == "o" or name.startswith("out") or isinstance(info.default, Path)


def command_words(config: CommandConfig) -> list[str]:
    """Write a configuration as the words of its command line, leaving out what is the default anyway."""
    positional: list[str] = []
    options: list[str] = []
    in_order = True
    for name, info in type(config).model_fields.items():
        value = getattr(config, name)
        shape = next((m for m in info.metadata if isinstance(m, CommandLine)), CommandLine())
        if value == info.default:
            in_order = in_order and not shape.positional
        elif shape.positional and in_order:
            positional.append(str(value))
        elif cast("Any", info.annotation) is bool:
            options.append(f"--{name}" if value else f"--no-{name}")
        else:
            options += [f"--{name}", str(value)]
    return [config.command, *positional, *options]


def write_job_record(folder: Path, config: CommandConfig, **outcome: object) -> None:
    """Write ``job.json``: the command, its whole configuration, the version and what came of it.

    Parameters
    ----------
    folder : Path
        The run's output folder.
    config : CommandConfig
        What was asked for.
    **outcome
        JSON-serialisable facts about the run.
    """
    record = {
        "program": "spisonet",
        "version": __version__,
        "libraries": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
        "command": config.command,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": config.model_dump(mode="json"),
        **outcome,
    }
    write_json(folder / JOB_FILE, record)


def read_job_record(folder: Path) -> dict[str, Any]:
    """Read ``job.json``.

    Raises
    ------
    SpisonetError
        If it is missing or unreadable.
    """
    path = folder / JOB_FILE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return dict(record, config=dict(record["config"]))
    except FileNotFoundError as error:
        raise SpisonetError(f"{folder} holds no {JOB_FILE}: it is no output folder of a run.") from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SpisonetError(f"{path} is not a readable record of a run.") from error


def changed_option(config: CommandConfig, record: dict[str, Any]) -> str | None:
    """Name an option whose value differs between a run and an earlier run's record, if it matters.

    See `CommandConfig.free_on_resume` for those that do not.
    """
    for name, value in config.model_dump(mode="json").items():
        # What a record of an older version does not know was the default then.
        before = record["config"].get(name, type(config).model_fields[name].default)
        if name not in config.free_on_resume and before != value:
            return name
    return None


def write_json(path: Path, content: object) -> None:
    """Write a JSON file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
