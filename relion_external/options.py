"""Read the user's settings from the environment and from ``spisonet.toml``."""

from __future__ import annotations

import difflib
import logging
import tomllib
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from spisonet.errors import SpisonetError
from spisonet.io.config import field_faults
from spisonet.misalignment.settings import MisalignmentSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

log = logging.getLogger("spisonet")

PREFIX = "ISONET_"
MIN_SIMILARITY = 0.6  # of an unknown name to an option, to be reported as a misspelling
SUGGESTION_SIMILARITY = 0.4
SETTINGS_FILE = "spisonet.toml"
# Variables that spIsoNet's tutorials set, and that have no effect here.
OBSOLETE_VARIABLES = {
    "CONDA_ENV": "the program runs in the environment it is installed in",
    "ISONET_START_EPOCHS": "ISONET_EPOCHS applies to every iteration",
    "ISONET_COMBINE": "halves are corrected separately unless ISONET_JOINT=True",
}


def option_names() -> dict[str, str]:
    """Return the field names by the lower-case names that users write."""
    return {field.alias or name: name for name, field in MisalignmentSettings.model_fields.items()}


def obsolete_variables(environment: Mapping[str, str]) -> list[str]:
    """Return a sentence for each variable of spIsoNet that is set and has no effect."""
    return [
        f"{variable} has no effect: {reason}."
        for variable, reason in OBSOLETE_VARIABLES.items()
        if environment.get(variable, "").strip()
    ]


def read_settings(environment: Mapping[str, str], folders: Iterable[Path]) -> MisalignmentSettings:
    """Merge the settings files of some folders and the environment; later ones override earlier ones.

    Raises
    ------
    SpisonetError
        If a name is misspelt or a value is not allowed (code ``invalid_option``).
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for folder in folders:
        path = folder / SETTINGS_FILE
        if path.exists():
            for name, value in _read_toml(path).items():
                values[_field_name(name.lower(), f"{path}: {name}")] = value
                sources[_field_name(name.lower(), "")] = f"{name} in {path}"
    for variable, text in environment.items():
        if variable.startswith(PREFIX) and variable not in OBSOLETE_VARIABLES:
            name = variable.removeprefix(PREFIX).lower()
            if not difflib.get_close_matches(name, option_names(), n=1, cutoff=MIN_SIMILARITY):
                log.warning("%s is not an option of this program and is ignored.", variable)
                continue
            field = _field_name(name, variable)
            if text.strip() in ("", "None"):
                continue
            values[field] = text.strip()
            sources[field] = variable
    try:
        return MisalignmentSettings.model_validate(values)
    except ValidationError as error:
        field, message = next(iter(field_faults(error).items()))
        where = sources.get(option_names().get(field, field), field)
        raise SpisonetError(f"{where}: {message}", code="invalid_option") from error


def with_variable(error: SpisonetError) -> str:
    """Return an error's message; for an option, add the environment variable that sets it in RELION."""
    variables = {field: f"{PREFIX}{name.upper()}" for name, field in option_names().items()}
    if error.field not in variables:
        return str(error)
    return f"{error} Inside RELION, --{error.field} is set by {variables[error.field]}."


def is_strict(environment: Mapping[str, str], folders: Iterable[Path]) -> bool:
    """Return whether a failure stops the refinement, even if other settings cannot be read."""
    strict: object = environment.get(f"{PREFIX}STRICT") or None
    for folder in () if strict is not None else folders:
        path = folder / SETTINGS_FILE
        try:
            strict = _read_toml(path).get("strict", strict) if path.exists() else strict
        except SpisonetError:
            continue
    try:
        return strict is not None and TypeAdapter(bool).validate_python(strict)
    except ValidationError:
        return False


def _read_toml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise SpisonetError(f"{path} is not a regular file; remove or rename it.")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise SpisonetError(f"{path} is not a readable TOML file: {str(error).rstrip('.')}.") from error


def _field_name(name: str, where: str) -> str:
    names = option_names()
    if name in names:
        return names[name]
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=SUGGESTION_SIMILARITY)
    suggestion = f"; did you mean {nearest[0].upper()}?" if nearest else "."
    raise SpisonetError(f"{where} is not a known option{suggestion}", code="invalid_option")
