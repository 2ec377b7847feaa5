"""One page for each command, generated from its configuration model."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from spisonet.commands.registry import ISONET, RELION, SPISONET
from spisonet.io.config import CommandLine, is_output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

    from spisonet.io.config import CommandConfig

# Folder of the pages, how the commands are called, and the configurations.
GROUPS = {
    "spisonet": ("spisonet.py", SPISONET),
    "relion": ("spisonet relion", RELION),
    "isonet": ("isonet.py", ISONET),
}
TITLES = {
    "spisonet": "Maps: spisonet.py",
    "relion": "RELION: spisonet relion",
    "isonet": "Tomograms: isonet.py",
}
FOLDER = "commands"


def command_pages() -> dict[str, str]:
    """Return the Markdown of all pages by path below ``docs``, in the order of the programs' help."""
    pages = {f"{FOLDER}/index.md": _overview()}
    for folder, (program, configs) in GROUPS.items():
        for config in configs:
            pages[f"{FOLDER}/{folder}/{config.command}.md"] = command_page(program, config)
    return pages


def command_navigation() -> list[dict[str, Any]]:
    """Return the entries of the navigation for `command_pages`."""
    entries: list[dict[str, Any]] = [{"Overview": f"{FOLDER}/index.md"}]
    for folder, (_, configs) in GROUPS.items():
        pages = [{config.command: f"{FOLDER}/{folder}/{config.command}.md"} for config in configs]
        entries.append({TITLES[folder]: pages})
    return entries


def command_page(program: str, config: type[CommandConfig]) -> str:
    """Return the page of a command: purpose, usage, examples, options in groups."""
    parts = [f"# {program} {config.command}", inspect.getdoc(config) or ""]
    parts.append(f"```sh\n{_usage(program, config)}\n```")
    if config.examples:
        parts.append("## Examples\n\n```sh\n" + "\n".join(config.examples) + "\n```")
    for title, fields in _option_groups(config):
        rows = [_row(name, info) for name, info in fields]
        header = "| option | value | default | meaning |\n|---|---|---|---|"
        parts.append(f"## {title}\n\n" + "\n".join([header, *rows]))
    if config.obsolete:
        names = ", ".join(f"`--{name}`" for name in sorted(config.obsolete))
        parts.append(f"## Accepted without effect\n\nOptions of published programs: {names}.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _overview() -> str:
    parts = [
        "# Commands",
        "Every option can be written with underscores, as published, or with hyphens. `--help` prints the "
        "same text. `--option auto` and `--option None` stand for the default of options that have none.",
    ]
    for folder, (program, configs) in GROUPS.items():
        rows = [
            f"| [`{program} {config.command}`]({folder}/{config.command}.md) | {_summary(config)} |"
            for config in configs
        ]
        parts.append(f"## {TITLES[folder]}\n\n" + "\n".join(["| command | purpose |\n|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def _summary(config: type[CommandConfig]) -> str:
    return _cell((inspect.getdoc(config) or "").split("\n\n", maxsplit=1)[0])


def _usage(program: str, config: type[CommandConfig]) -> str:
    words = [f"{program} {config.command}"]
    for name, info in config.model_fields.items():
        if _shape(info).positional:
            words.append(name.upper() if info.is_required() else f"[{name.upper()}]")
    return " ".join([*words, "[OPTIONS]"])


def _option_groups(
    config: type[CommandConfig],
) -> Iterator[tuple[str, list[tuple[str, FieldInfo]]]]:
    groups: dict[str, list[tuple[str, FieldInfo]]] = {"Input": [], "Output": [], "Options": []}
    for name, info in config.model_fields.items():
        is_path = Path in (info.annotation, *get_args(info.annotation))
        title = "Output" if is_output(name, info) else "Input" if is_path else "Options"
        groups[title].append((name, info))
    yield from ((title, fields) for title, fields in groups.items() if fields)


def _shape(info: FieldInfo) -> CommandLine:
    return next((m for m in info.metadata if isinstance(m, CommandLine)), CommandLine())


def _row(name: str, info: FieldInfo) -> str:
    spellings = [f"`--{name}`", *(f"`{alias}`" for alias in _shape(info).aliases)]
    if info.annotation is bool:
        spellings.append(f"`--no-{name}`")
    cells = [", ".join(spellings), _values(info.annotation), _default(info), _cell(info.description or "")]
    return "| " + " | ".join(cells) + " |"


def _values(annotation: Any) -> str:
    """Return the values that an option takes, in words."""
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    members = [member for member in get_args(annotation) if member is not type(None)]
    if members:
        return " or ".join(dict.fromkeys(_values(member) for member in members))
    names = {bool: "", int: "integer", float: "number", str: "text", Path: "path"}
    return names.get(annotation, "text")


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    default = info.default
    if default is None or default in ((), ""):
        return ""
    if isinstance(default, bool):
        return "yes" if default else "no"
    return f"`{default}`"


def _cell(text: str) -> str:
    """Return text for a cell of a table: one line, without characters of Markdown."""
    for character in "|<*_":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())
