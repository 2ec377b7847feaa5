"""Forms: configuration models described for the web page, and validation of what the user entered."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from spisonet.commands.registry import PROGRAMS
from spisonet.errors import SpisonetError
from spisonet.gui.config import GuiConfig
from spisonet.gui.file_names import restore_bytes
from spisonet.gui.form_layout import group_of, label_of
from spisonet.io.config import (
    CommandConfig,
    ProfiledConfig,
    command_line_shape,
    command_words,
    field_faults,
    is_output,
    option_bounds,
    option_choices,
    option_kind,
)

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from spisonet.gui.allowed_folders import AllowedFolders

JOB_PLACEHOLDER = "{job}"  # stands for the job folder, which is created when the job starts
PROFILE = "profile"  # set by buttons
TARGET_FIELDS = ("gpuID", "device", "resume")  # set by the compute target and by Resume, not in the form


def config_model(program: str, command: str) -> type[CommandConfig]:
    """Return the configuration model of a command.

    Raises
    ------
    SpisonetError
        If the program has no such command.
    """
    for model in PROGRAMS.get(program, {}):
        if model.command == command and model is not GuiConfig:
            return model
    raise SpisonetError(f"{program} {command} is not a command.")


def list_forms() -> dict[str, list[dict[str, Any]]]:
    """Return the form of every command, by program."""
    return {
        program: [_form(model) for model in models if model is not GuiConfig]
        for program, models in PROGRAMS.items()
    }


def _form(model: type[CommandConfig]) -> dict[str, Any]:
    fields = []
    for name, info in model.model_fields.items():
        if name in TARGET_FIELDS:
            continue
        output = is_output(name, info)
        kind, choices = option_kind(info)
        fields.append(
            {
                "name": name,
                "kind": kind,
                "choices": choices,
                "help": info.description,
                "required": info.is_required(),
                "default": _default(model, name, info, output),
                "output": output,
                "label": label_of(model.command, name),
                "group": group_of(model, name),
                "bounds": option_bounds(info),
            }
        )
    return {
        "command": model.command,
        "summary": inspect.getdoc(model),
        "fields": fields,
        "profiles": {profile: profile_fields(model, profile) for profile in _profiles(model)},
        "uses_gpus": "gpuID" in model.model_fields,
    }


def _default(model: type[CommandConfig], name: str, info: FieldInfo, output: bool) -> Any:
    """Return the initial content of a field; outputs go into the job folder."""
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


def validate_form(
    program: str, command: str, values: dict[str, Any], allowed_folders: AllowedFolders
) -> tuple[CommandConfig | None, dict[str, str]]:
    """Build a configuration from the values of a form.

    Parameters
    ----------
    program, command : str
        Command that the form belongs to.
    values : dict
        Texts and switches by field; an empty text stands for the default.
    allowed_folders : AllowedFolders
        Where files may be.

    Returns
    -------
    CommandConfig or None
        The configuration, or None if a value is invalid; paths of outputs may start with ``{job}``.
    dict
        Error messages by field; empty if all values are valid.

    Raises
    ------
    SpisonetError
        If there is no such command.
    """
    model = config_model(program, command)
    given = {
        name: value.strip() if isinstance(value, str) else value
        for name, value in values.items()
        if value is not None and (not isinstance(value, str) or value.strip())
    }
    for name in given.keys() & model.model_fields.keys():
        info = model.model_fields[name]
        given[name] = option_choices(info).get(given[name], given[name])
        if option_kind(info)[0] == "path":
            given[name] = restore_bytes(given[name])
    errors = _path_errors(model, given, allowed_folders)
    try:
        config = model(**given)
        config.check_options()
    except ValidationError as error:
        return None, {**errors, **field_faults(error)}
    except SpisonetError as error:
        return None, {**errors, error.field or "": str(error)}
    return (None, errors) if errors else (config, {})


def _path_errors(
    model: type[CommandConfig], given: dict[str, Any], allowed_folders: AllowedFolders
) -> dict[str, str]:
    errors = {}
    for name, info in model.model_fields.items():
        if name not in given or option_kind(info)[0] != "path":
            continue
        text = str(given[name])
        output = is_output(name, info)
        try:
            path = allowed_folders.resolve(text.replace(JOB_PLACEHOLDER, "jobs", 1) if output else text)
        except SpisonetError as error:
            errors[name] = str(error)
            continue
        if not output and not path.exists():
            errors[name] = f"{text} does not exist."
    return errors


def require_allowed_paths(config: CommandConfig, allowed_folders: AllowedFolders) -> None:
    """Check the paths of a configuration that was read from a file instead of a form.

    Raises
    ------
    SpisonetError
        If a path is outside the allowed folders, or an input does not exist.
    """
    for name, message in _path_errors(
        type(config), config.model_dump(exclude_none=True), allowed_folders
    ).items():
        raise SpisonetError(f"--{name}: {message}", field=name)


def _profiles(model: type[CommandConfig]) -> tuple[str, ...]:
    """Return the names of the profiles of a command; none if it does not train."""
    return tuple(model.profiles) if issubclass(model, ProfiledConfig) else ()


def profile_fields(model: type[CommandConfig], profile: str) -> dict[str, Any]:
    """Return the content of all fields that the profiles of a command set: that of one, else the default."""
    assert issubclass(model, ProfiledConfig)
    fields = model.model_fields
    changed = {name for values in model.profiles.values() for name in values}
    values = {name: fields[name].default for name in changed} | dict(model.profiles[profile])
    shown = {name: value if isinstance(value, bool) else _text(value) for name, value in values.items()}
    return {PROFILE: profile} | shown


def forms_by_profile(program: str, command: str, values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the values of a form as they are with each profile of its command."""
    model = config_model(program, command)
    return {profile: values | profile_fields(model, profile) for profile in _profiles(model)}


def insert_job_folder(config: CommandConfig, folder: str) -> CommandConfig:
    """Replace the placeholder ``{job}`` in the paths of outputs by the job folder."""
    return config.model_copy(
        update={
            name: Path(str(value).replace(JOB_PLACEHOLDER, folder, 1))
            for name, value in config
            if isinstance(value, Path) and str(value).startswith(JOB_PLACEHOLDER)
        }
    )


def form_values(model: type[CommandConfig], config: dict[str, Any], folder: str) -> dict[str, Any]:
    """Return the values of a form that repeats a job, with ``{job}`` in place of the job's folder."""
    values: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        if name in TARGET_FIELDS or name not in config or config[name] is None:
            continue
        value = config[name]
        if is_output(name, info) and (value == folder or str(value).startswith(f"{folder}/")):
            value = f"{JOB_PLACEHOLDER}{str(value).removeprefix(folder)}"
        values[name] = value if isinstance(value, bool) else _text(value)
    return values


def command_line(program: str, config: CommandConfig) -> list[str]:
    """Return the words of the command line that stands for a configuration."""
    return [f"{program}.py", *command_words(config)]


def input_files(program: str, command: str, config: dict[str, Any]) -> list[str]:
    """Return the main input files of a configuration: those given without an option name."""
    try:
        fields = config_model(program, command).model_fields
    except SpisonetError:  # written by another version
        return []
    return [
        str(config[name])
        for name, info in fields.items()
        if (shape := command_line_shape(info)).positional
        and not shape.shown_by_name
        and option_kind(info)[0] == "path"
        and not is_output(name, info)
        and config.get(name) is not None
    ]
