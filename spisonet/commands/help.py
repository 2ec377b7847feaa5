"""The text of ``--help``: options in groups, whole sentences, and no line broken within a word."""

from __future__ import annotations

import inspect
import shlex
import textwrap
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand, TyperGroup

from spisonet.commands.submission_config import SubmissionConfig
from spisonet.io.config import command_line_shape, option_kind
from spisonet.io.option_groups import grouped_options

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic.fields import FieldInfo

    from spisonet.io.config import CommandConfig

INDENT = "  "
NAME_COLUMN = 26  # characters; longer names have a line of their own
VALUE_NAMES = {"integer": "<integer>", "number": "<number>", "path": "<path>", "text": "<text>"}
SUBMISSION = "Submission to a cluster"
SPELLINGS = "Options are also accepted with hyphens, such as --output-dir."


class CommandHelp(TyperCommand):
    """A command whose help shows its options in groups."""

    model: type[CommandConfig]
    is_submitted: bool

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        formatter.write(command_help(self.model, ctx.command_path, formatter.width, self.is_submitted))


class ProgramHelp(TyperGroup):
    """A program, or a group of commands, whose help describes its commands in whole sentences.

    Commands are known in any case of letters.
    """

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command by its name; None if there is none."""
        same = (name for name in self.list_commands(ctx) if name.lower() == cmd_name.lower())
        return super().get_command(ctx, next(same, cmd_name))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        width = formatter.width
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        options = [record for p in self.get_params(ctx) if (record := p.get_help_record(ctx)) is not None]
        parts = [
            f"Usage: {ctx.command_path} COMMAND [OPTIONS]",
            _filled(self.help or "", width, INDENT),
            _section("Commands", [(name, _first_paragraph(c.help)) for name, c in commands if c], width),
            _section("Options", options, width),
            _filled(f"Help of a command: {ctx.command_path} COMMAND --help", width),
        ]
        formatter.write("\n\n".join(parts) + "\n")


def command_help(model: type[CommandConfig], program: str, width: int, is_submitted: bool = False) -> str:
    """Return the help of a command.

    Parameters
    ----------
    model : type
        Configuration model of the command.
    program : str
        Words that start the command, such as ``spisonet.py fsc3d``.
    width : int
        Characters in a line; single words may be longer.
    is_submitted : bool
        Whether the command has the options of `SubmissionConfig`.
    """
    positional = [
        f"{name.upper()}" if info.is_required() else f"[{name.upper()}]"
        for name, info in model.model_fields.items()
        if command_line_shape(info).positional
    ]
    parts = [
        _filled(" ".join(["Usage:", program, *positional, "[OPTIONS]"]), width, hanging="       "),
        *(_filled(paragraph, width, INDENT) for paragraph in (inspect.getdoc(model) or "").split("\n\n")),
    ]
    if model.examples:
        lines = [_example(line, width) for line in model.examples]
        parts.append("\n".join(["Examples:", *lines]))
    for group, names in grouped_options(model).items():
        rows = [_row(name, model.model_fields[name]) for name in names]
        parts.append(_section(group.value, rows, width))
    if is_submitted:
        rows = [_row(name, info) for name, info in SubmissionConfig.model_fields.items()]
        parts.append(_section(SUBMISSION, rows, width))
    parts.append(_filled(SPELLINGS if model.model_fields else "No options.", width))
    return "\n\n".join(parts) + "\n"


def _row(name: str, info: FieldInfo) -> tuple[str, str]:
    """Return the spellings of an option with its value, and its description with the default."""
    shape, (kind, choices) = command_line_shape(info), option_kind(info)
    spellings = [f"--{name}", *shape.aliases]
    if kind == "switch":
        spellings = [f"{spelling} / --no-{spelling.lstrip('-')}" for spelling in spellings]
        value = ""
    else:
        value = VALUE_NAMES.get(kind, "|".join(choice for choice in choices if choice))
        value += f"|{shape.word}" if shape.word else ""
    if shape.positional:
        spellings.insert(0, name.upper())
    text = info.description or ""
    if info.is_required():
        text = f"{text} Required."
    elif info.default is not None and "[default" not in text:
        shown = {True: "yes", False: "no"}.get(info.default) if kind == "switch" else info.default
        text = f"{text} [default: {shown}]" if str(shown) else text
    return f"{', '.join(spellings)} {value}".strip(), text


def _section(title: str, rows: Iterable[tuple[str, str]], width: int) -> str:
    lines = [f"{title}:"]
    for name, text in rows:
        label = INDENT + name
        filled = _filled(text, width, " " * NAME_COLUMN)
        if len(label) <= NAME_COLUMN - 2:
            lines.append(label.ljust(NAME_COLUMN) + filled.lstrip())
        else:
            lines += [label, filled]
    return "\n".join(lines)


def _example(line: str, width: int) -> str:
    """Return a command line for a shell, continued before options where it is too long."""
    words = shlex.split(line)
    units: list[str] = []  # an option with its values stays together
    for word in words:
        if units and not word.startswith("-") and units[-1].startswith("--") and len(units) > 1:
            units[-1] += f" {shlex.quote(word)}"
        else:
            units.append(word if word.startswith("-") else shlex.quote(word))
    lines = [INDENT + units[0]]
    for unit in units[1:]:
        if len(lines[-1]) + len(unit) + 3 > width:
            lines[-1] += " \\"
            lines.append(INDENT * 3 + unit)
        else:
            lines[-1] += f" {unit}"
    return "\n".join(lines)


def _first_paragraph(text: str | None) -> str:
    return " ".join((text or "").split("\n\n", 1)[0].split())


def _filled(text: str, width: int, indent: str = "", hanging: str = "") -> str:
    return textwrap.fill(
        " ".join(text.split()),
        width,
        initial_indent=indent,
        subsequent_indent=indent + hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )
