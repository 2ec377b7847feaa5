"""One page for each command, generated from its configuration model."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from spisonet.commands.help import SUBMISSION
from spisonet.commands.registry import COPICK, CRYOSPARC, ISONET, RELION, SPISONET, SUBMITTED
from spisonet.commands.submission_config import SubmissionConfig
from spisonet.io.config import command_line_shape, option_kind
from spisonet.io.option_groups import grouped_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo

    from spisonet.io.config import CommandConfig

# Folder of the pages, how the commands are called, and the configurations.
GROUPS = {
    "spisonet": ("spisonet.py", SPISONET),
    "relion": ("spisonet relion", RELION),
    "cryosparc": ("spisonet cryosparc", CRYOSPARC),
    "isonet": ("isonet.py", ISONET),
    "copick": ("isonet copick", COPICK),
}
TITLES = {
    "spisonet": "Maps: spisonet.py",
    "relion": "RELION: spisonet relion",
    "cryosparc": "cryoSPARC: spisonet cryosparc",
    "isonet": "Tomograms: isonet.py",
    "copick": "copick: isonet copick",
}
FOLDER = "commands"
# Pages that describe the use and the results of a command.
TOMOGRAM_GUIDE = ("Tomograms", "tomograms.md")
OUTPUT_FILES = ("Output files", "output_files.md")
GUIDES: dict[str, list[tuple[str, str]]] = {
    "diagnose": [("Diagnose first", "trust.md#diagnose-first"), OUTPUT_FILES],
    "fsc3d": [("Choose options", "howto/options.md"), OUTPUT_FILES],
    "reconstruct": [("Choose options", "howto/options.md"), OUTPUT_FILES, ("Theory", "method.md")],
    "validate": [("Held-out directions", "trust.md#held-out-directions")],
    "nulltest": [("Null tests", "trust.md#null-tests")],
    "report": [("The report", "trust.md#the-report")],
    "fsd3d": [("Subtomogram averages", "subtomograms.md"), ("cryoSPARC", "tutorials/cryosparc.md")],
    "reference": [("The initial reference", "relion.md#the-initial-reference-of-a-refinement")],
    "gui": [("Graphical interface", "gui.md")],
    "install-jobs": [("External jobs", "relion.md#after-a-refinement-external-jobs")],
    "install-schemes": [("Schemes", "relion.md#schemes")],
    "list-jobs": [("The jobs", "relion.md#the-jobs")],
    "rescue": [("Poses that have drifted", "relion.md#poses-that-have-drifted")],
    **{
        command: [TOMOGRAM_GUIDE]
        for command in ("prepare_star", "deconv", "make_mask", "correct", "refine", "denoise", "predict")
    },
}


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
    if guides := GUIDES.get(config.command):
        links = ", ".join(f"[{title}](../../{page})" for title, page in guides)
        parts.append(f"Guide: {links}.")
    parts.append(f"```sh\n{_usage(program, config)}\n```")
    if config.examples:
        parts.append("## Examples\n\n```sh\n" + "\n".join(config.examples) + "\n```")
    for group, names in grouped_options(config).items():
        parts.append(_table(group, {name: config.model_fields[name] for name in names}))
    if config in SUBMITTED:
        parts.append(_table(SUBMISSION, SubmissionConfig.model_fields))
        parts.append("Guide: [Schedulers](../../schedulers.md).")
    if config.obsolete:
        obsolete = ", ".join(f"`--{name}`" for name in sorted(config.obsolete))
        parts.append(f"## Accepted without effect\n\nOptions of published programs: {obsolete}.")
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
        if command_line_shape(info).positional:
            words.append(name.upper() if info.is_required() else f"[{name.upper()}]")
    return " ".join([*words, "[OPTIONS]"])


def _table(title: str, fields: Mapping[str, FieldInfo]) -> str:
    header = "| option | value | default | meaning |\n|---|---|---|---|"
    return f"## {title}\n\n" + "\n".join([header, *(_row(name, info) for name, info in fields.items())])


def _row(name: str, info: FieldInfo) -> str:
    spellings = [f"`--{name}`", *(f"`{alias}`" for alias in command_line_shape(info).aliases)]
    if info.annotation is bool:
        spellings.append(f"`--no-{name}`")
    cells = [", ".join(spellings), _values(info), _default(info), _cell(info.description or "")]
    return "| " + " | ".join(cells) + " |"


def _values(info: FieldInfo) -> str:
    """Return the values that an option takes."""
    kind, choices = option_kind(info)
    if kind == "choice":
        return ", ".join(f"`{choice}`" for choice in choices if choice)
    word = command_line_shape(info).word
    return "" if kind == "switch" else f"{kind} or `{word}`" if word else kind


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
