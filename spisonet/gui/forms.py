"""Forms: the configuration models in words that a page can draw, and its answers checked."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic import ValidationError

from spisonet.commands.registry import PROGRAMS
from spisonet.errors import SpisonetError
from spisonet.gui.config import GuiConfig
from spisonet.io.config import CommandConfig, CommandLine, command_words, field_faults, is_output

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from spisonet.gui.allowed_folders import AllowedFolders

JOB_PLACEHOLDER = "{job}"
PLACE_FIELDS = ("gpuID", "device", "resume")  # said by where a job runs, and by how it was started
KINDS: dict[Any, str] = {bool: "switch", int: "integer", float: "number", Path: "path", str: "text"}
BOUNDS = ("ge", "gt", "le", "lt")
CHANGED_FIRST = ("epochs", "n_subvolume", "cube_size", "filter_base", "method")  # beside what examples show


def model_of(program: str, command: str) -> type[CommandConfig]:
    """Return the configuration model of a command.

    Raises
    ------
    SpisonetError
        If there is none.
    """
    for model in PROGRAMS.get(program, {}):
        if model.command == command and model is not GuiConfig:
            return model
    raise SpisonetError(f"{program} {command} is no command.")


def describe_programs() -> dict[str, list[dict[str, Any]]]:
    """Describe the forms of all commands."""
    return {
        program: [_describe(model) for model in models if model is not GuiConfig]
        for program, models in PROGRAMS.items()
    }


def _describe(model: type[CommandConfig]) -> dict[str, Any]:
    named = set(re.findall(r"--?(\w+)", " ".join(model.examples)))
    fields = []
    for name, info in model.model_fields.items():
        if name in PLACE_FIELDS:
            continue
        output = is_output(name, info)
        kind, choices = _kind(info)
        usual = (
            info.is_required() or _shape(info).positional or output or name in named or name in CHANGED_FIRST
        )
        fields.append(
            {
                "name": name,
                "kind": kind,
                "choices": choices,
                "help": info.description,
                "required": info.is_required(),
                "default": _default(model, name, info, output),
                "output": output,
                "usual": usual and not (output and info.default is None),
                "bounds": {
                    bound: value
                    for constraint in info.metadata
                    for bound in BOUNDS
                    if (value := getattr(constraint, bound, None)) is not None
                },
            }
        )
    return {
        "command": model.command,
        "summary": inspect.getdoc(model),
        "fields": fields,
        "devices": "gpuID" in model.model_fields,
    }


def _kind(info: FieldInfo) -> tuple[str, list[str]]:
    """Return the kind of a field, and the texts to choose from; an empty one leaves it at its default."""
    members = [member for member in get_args(info.annotation) if member is not NoneType]
    if choices := _choices(info):
        return "choice", [*([""] if NoneType in get_args(info.annotation) else []), *choices]
    return KINDS[members[0] if members else info.annotation], []


def _choices(info: FieldInfo) -> dict[str, Any]:
    """Return the values that a field may have, by their texts; none if it is free."""
    for annotation in (info.annotation, *get_args(info.annotation)):
        if get_origin(annotation) is Literal:
            return {str(value): value for value in get_args(annotation)}
    return {}


def _default(model: type[CommandConfig], name: str, info: FieldInfo, output: bool) -> Any:
    """Return what stands in an empty form: outputs go into the job's folder."""
    if not output:
        default = None if info.is_required() else info.get_default()
        return default if isinstance(default, bool) else _text(default)
    if name == "output_dir" or (isinstance(info.default, Path) and not info.default.suffix):
        return JOB_PLACEHOLDER
    if info.is_required():
        return f"{JOB_PLACEHOLDER}/{model.command}.mrc"
    return None if info.default is None else f"{JOB_PLACEHOLDER}/{info.default}"


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def read_form(
    program: str, command: str, values: dict[str, Any], allowed_folders: AllowedFolders
) -> tuple[CommandConfig | None, dict[str, str]]:
    """Check the answers of a form.

    Parameters
    ----------
    program, command : str
        What it is of.
    values : dict
        Texts and switches by field; an empty text leaves a field at its default.
    allowed_folders : AllowedFolders
        Where files may be.

    Returns
    -------
    CommandConfig or None
        The configuration if all is well; outputs may begin with ``{job}``.
    dict
        What is wrong, by field.

    Raises
    ------
    SpisonetError
        If there is no such command.
    """
    model = model_of(program, command)
    given = {
        name: value.strip() if isinstance(value, str) else value
        for name, value in values.items()
        if value is not None and (not isinstance(value, str) or value.strip())
    }
    for name in given.keys() & model.model_fields.keys():
        given[name] = _choices(model.model_fields[name]).get(given[name], given[name])
    try:
        config = model(**given)
    except ValidationError as error:
        return None, {**_path_faults(model, given, allowed_folders), **field_faults(error)}
    faults = _path_faults(model, given, allowed_folders)
    return (None, faults) if faults else (config, {})


def _path_faults(
    model: type[CommandConfig], given: dict[str, Any], allowed_folders: AllowedFolders
) -> dict[str, str]:
    faults = {}
    for name, info in model.model_fields.items():
        if name not in given or _kind(info)[0] != "path":
            continue
        text = str(given[name])
        output = is_output(name, info)
        try:
            path = allowed_folders.inside(text.replace(JOB_PLACEHOLDER, "jobs", 1) if output else text)
        except SpisonetError as error:
            faults[name] = str(error)
            continue
        if not output and not path.exists():
            faults[name] = f"{text} does not exist."
    return faults


def require_inside(config: CommandConfig, allowed_folders: AllowedFolders) -> None:
    """Check the files of a configuration that comes from no form.

    Raises
    ------
    SpisonetError
        If one is outside of the folders, or not there.
    """
    for name, sentence in _path_faults(
        type(config), config.model_dump(exclude_none=True), allowed_folders
    ).items():
        raise SpisonetError(f"{name}: {sentence}")


def place_outputs(config: CommandConfig, folder: str) -> CommandConfig:
    """Put a job's folder where a form left its place."""
    return config.model_copy(
        update={
            name: Path(str(value).replace(JOB_PLACEHOLDER, folder, 1))
            for name, value in config
            if isinstance(value, Path) and str(value).startswith(JOB_PLACEHOLDER)
        }
    )


def form_values(model: type[CommandConfig], config: dict[str, Any], folder: str) -> dict[str, Any]:
    """Return the answers that a job was started with, ready for another job of the same kind."""
    values: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        if name in PLACE_FIELDS or name not in config or config[name] is None:
            continue
        value = config[name]
        if is_output(name, info) and (value == folder or str(value).startswith(f"{folder}/")):
            value = f"{JOB_PLACEHOLDER}{str(value).removeprefix(folder)}"
        values[name] = value if isinstance(value, bool) else _text(value)
    return values


def command_line(program: str, config: CommandConfig) -> list[str]:
    """Return the words of a configuration's command line."""
    return [f"{program}.py", *command_words(config)]


def input_names(program: str, command: str, config: dict[str, Any]) -> list[str]:
    """Return the files that a configuration begins with: those that need no name on the command line."""
    try:
        fields = model_of(program, command).model_fields
    except SpisonetError:  # of another version
        return []
    return [
        str(config[name])
        for name, info in fields.items()
        if _shape(info).positional
        and _kind(info)[0] == "path"
        and not is_output(name, info)
        and config.get(name) is not None
    ]


def _shape(info: FieldInfo) -> CommandLine:
    return next((m for m in info.metadata if isinstance(m, CommandLine)), CommandLine())
