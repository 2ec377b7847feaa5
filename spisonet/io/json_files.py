"""JSON files of unknown origin, read within bounds."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from spisonet.errors import SpisonetError

if TYPE_CHECKING:
    from pathlib import Path

ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
ESCAPED_ZERO = "\\u0000"
MAX_JSON_BYTES = 2**26
DAMAGED = "damaged"  # code of the error


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that contains an object.

    Raises
    ------
    SpisonetError
        If the file is missing (code ``file_not_found``), or is not a regular file, too large, nested too
        deeply, or anything but an object (code ``damaged``).
    """
    if not path.exists():
        raise SpisonetError(f"{path} does not exist.", code="file_not_found")
    if not path.is_file():
        raise _damaged(path, "it is not a regular file")
    if path.stat().st_size > MAX_JSON_BYTES:
        raise _damaged(path, f"it is larger than {MAX_JSON_BYTES // 2**20} MiB")
    try:
        with path.open("rb") as file:
            content = parse_json(file.read(MAX_JSON_BYTES + 1))
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(content, dict):
        raise _damaged(path, "it does not contain an object")
    return content


def parse_json(content: bytes | str) -> Any:
    """Parse JSON; numbers that are not finite, which JSON does not have, become None.

    Raises
    ------
    ValueError
        If it is invalid, not UTF-8, or nested too deeply.
    """
    try:
        text = content if isinstance(content, str) else content.decode("utf-8")
        parsed = json.loads(text, parse_constant=_finite, parse_float=_finite)
        if ESCAPED_SURROGATE.search(text):  # of bytes of a file name, or else of nothing
            json.dumps(parsed, ensure_ascii=False).encode("utf-8", errors="surrogateescape")
    except UnicodeError as error:
        raise ValueError("it is not UTF-8 text") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not valid JSON (line {error.lineno})") from error
    if ESCAPED_ZERO in text:
        raise ValueError("it contains a zero character")
    return parsed


def validated(model: type[BaseModel], content: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return a record whose fields have the types of a model.

    Parameters
    ----------
    model : type of BaseModel
        Types of the fields.
    content : dict
        The record.
    path : Path
        Its file, for the message.

    Raises
    ------
    SpisonetError
        Naming the first field at fault (code ``damaged``).
    """
    try:
        model.model_validate(content, strict=True)
    except ValidationError as error:
        fault = error.errors()[0]
        field = ".".join(map(str, fault["loc"])) or "its content"
        raise _damaged(path, f"{field}: {fault['msg'][0].lower()}{fault['msg'][1:]}") from error
    return content


def plain_name(name: str) -> str:
    """Return the name of a file in a folder.

    Raises
    ------
    ValueError
        If it is empty or leads to another folder.
    """
    if not name or "/" in name or name in (".", ".."):
        raise ValueError("not the name of a file")
    return name


def _finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _damaged(path: Path, reason: str) -> SpisonetError:
    return SpisonetError(f"{path} is damaged: {reason}.", code=DAMAGED, path=path)
