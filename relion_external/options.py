"""Read the user's choices from the environment and from ``spisonet.toml``."""

from __future__ import annotations

import difflib
import tomllib
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from spisonet.errors import SpisonetError
from spisonet.misalignment.settings import MisalignmentSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

PREFIX = "ISONET_"
SETTINGS_FILE = "spisonet.toml"
# Of older versions of spIsoNet, and of the systems that users set up for it; they change nothing here.
WITHOUT_MEANING = {"ISONET_START_EPOCHS", "ISONET_COMBINE"}


def option_names() -> dict[str, str]:
    """Field names by the lower-case names that users write."""
    return {field.alias or name: name for name, field in MisalignmentSettings.model_fields.items()}


def read_settings(environment: Mapping[str, str], folders: Iterable[Path]) -> MisalignmentSettings:
    """Merge the settings files of some folders, later ones first in rank, and the environment above all.

    Raises
    ------
    SpisonetError
        If a name is misspelt or a value is not allowed.
    """
    chosen: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for folder in folders:
        path = folder / SETTINGS_FILE
        if path.is_file():
            for name, value in _read_toml(path).items():
                chosen[_field(name.lower(), f"{path}: {name}")] = value
                sources[_field(name.lower(), "")] = f"{name} in {path}"
    for variable, text in environment.items():
        if variable.startswith(PREFIX) and variable not in WITHOUT_MEANING:
            field = _field(variable.removeprefix(PREFIX).lower(), variable)
            if text.strip() in ("", "None"):
                continue
            chosen[field] = text.strip()
            sources[field] = variable
    try:
        return MisalignmentSettings.model_validate(chosen)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        where = sources.get(option_names().get(name, name), name)
        raise SpisonetError(f"{where}: {first['msg'].lower()} (it is {first['input']!r}).") from error


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SpisonetError(f"{path} is not a readable TOML file: {str(error).rstrip('.')}.") from error


def _field(name: str, where: str) -> str:
    names = option_names()
    if name in names:
        return names[name]
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    meant = f"; did you mean {nearest[0].upper()}?" if nearest else "."
    raise SpisonetError(f"{where} is not a known option{meant}")
