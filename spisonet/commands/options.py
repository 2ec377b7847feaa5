"""Command-line options, generated from configuration models."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from pydantic_core import PydanticUndefined

from spisonet.commands.help import CommandHelp
from spisonet.commands.submission_config import SubmissionConfig
from spisonet.errors import SpisonetError
from spisonet.io.config import command_line_shape

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic.fields import FieldInfo

    from spisonet.io.config import CommandConfig

POSITIONAL_SUFFIX = "_positional"
NOT_GIVEN = ("None", "auto")
BOOLEAN_WORDS = ("true", "false")


def add_command(
    app: typer.Typer,
    model: type[CommandConfig],
    run: Callable[..., None],
    is_submitted: bool = False,
) -> None:
    """Add the command of `model` to `app`; it builds the configuration and calls `run`.

    Each field becomes an option, spelt with underscores (as published) and with hyphens. A positional field
    is accepted as an argument and as an option.

    Parameters
    ----------
    app : typer.Typer
        The program.
    model : type
        Configuration model of the command.
    run : callable
        Called with the configuration, and with that of the submission if `is_submitted`.
    is_submitted : bool
        Whether the command has the options of `SubmissionConfig`.
    """

    def command(context: typer.Context, **values: Any) -> None:
        given = {name: value for name, value in values.items() if _is_given(context, name)}
        config = model.from_options(_merge_positional(model, given))
        config.check_options()
        if not is_submitted:
            run(config)
            return
        submission = SubmissionConfig.from_options(_merge_positional(SubmissionConfig, given))
        submission.check_options()
        run(config, submission)

    fields = [*model.model_fields.items(), *(SubmissionConfig.model_fields.items() if is_submitted else ())]
    parameters = [
        inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context),
        *(p for name, info in fields for p in _parameters(name, info)),
    ]
    signature = inspect.Signature(parameters)
    command.__signature__ = signature  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    command.__doc__ = inspect.getdoc(model)
    attributes = {"model": model, "is_submitted": is_submitted}
    app.command(model.command, cls=type("Help", (CommandHelp,), attributes))(command)


def _is_given(context: typer.Context, name: str) -> bool:
    """Return whether an option stands on the command line; the others may be set by a profile."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _parameters(name: str, info: FieldInfo) -> list[inspect.Parameter]:
    shape = command_line_shape(info)
    default = None if info.default is PydanticUndefined else info.default
    spellings = list(dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}", *shape.aliases]))
    if info.annotation is bool:
        words = (f"--{name}", *shape.aliases)
        spellings = [f"{s}/--no-{s.lstrip('-')}" if s in words else s for s in spellings]
    annotation: Any = info.annotation
    if shape.word:  # the parser knows no union of numbers and words
        annotation, default = str | None, None if default is None else str(default)
    if shape.positional:
        # Both forms are optional for the parser; missing values are reported after merging them.
        argument = Annotated[
            annotation | None,
            typer.Argument(help=info.description, metavar=_metavar(name, info), show_default=False),
        ]
        option = Annotated[
            annotation | None, typer.Option(*spellings, help=info.description, hidden=info.is_required())
        ]
        return [
            _keyword(name + POSITIONAL_SUFFIX, argument, None),
            _keyword(name, option, None),
        ]
    return [_keyword(name, Annotated[annotation, typer.Option(*spellings, help=info.description)], default)]


def _metavar(name: str, info: FieldInfo) -> str:
    return name.upper() if info.is_required() else f"[{name.upper()}]"


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _merge_positional(model: type[CommandConfig], given: dict[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        value, positional = given.get(name), given.get(name + POSITIONAL_SUFFIX)
        if value is not None and positional is not None:
            raise SpisonetError(
                f"{name} is given twice: as {positional} and as --{name} {value}.",
                code="invalid_option",
                field=name,
            )
        chosen = positional if value is None else value
        if chosen is None and info.is_required():
            raise SpisonetError(
                f"{model.command} needs {name.upper()}: {info.description}", code="invalid_option", field=name
            )
        if chosen is not None:
            options[name] = chosen
    return options


def join_boolean_values(arguments: list[str], booleans: set[str]) -> list[str]:
    """Accept ``--flag True`` and ``--flag=False``, as the published command lines do.

    Parameters
    ----------
    arguments : list of str
        Command-line words.
    booleans : set of str
        Names of boolean options, with underscores.

    Returns
    -------
    list of str
        The same words with every boolean in the form ``--flag`` or ``--no-flag``.
    """
    joined: list[str] = []
    words = iter(range(len(arguments)))
    for index in words:
        word = arguments[index]
        name, _, value = word.partition("=")
        plain = name.removeprefix("--").replace("-", "_")
        if not name.startswith("--") or plain not in booleans:
            joined.append(word)
            continue
        following = arguments[index + 1] if index + 1 < len(arguments) else ""
        if not value and following.lower() in BOOLEAN_WORDS:
            value = following
            next(words)
        if value and value.lower() not in BOOLEAN_WORDS:
            raise SpisonetError(f"{word}: give True or False.", code="invalid_option", field=plain)
        joined.append(f"--no-{plain}" if value.lower() == "false" else f"--{plain}")
    return joined


def drop_obsolete(arguments: list[str], obsolete: frozenset[str]) -> tuple[list[str], list[str]]:
    """Remove options of published programs that have no effect here, with their values.

    Parameters
    ----------
    arguments : list of str
        Command-line words.
    obsolete : frozenset of str
        Names of the options, with underscores.

    Returns
    -------
    kept, dropped : list of str
        The other words, and the names of the removed options.
    """
    kept: list[str] = []
    dropped: list[str] = []
    in_value = False
    for word in arguments:
        name, joined, _ = word.partition("=")
        if name.startswith("--") and name.removeprefix("--").replace("-", "_") in obsolete:
            dropped.append(name)
            in_value = not joined
        elif in_value and not word.startswith("--"):
            in_value = False
        else:
            in_value = False
            kept.append(word)
    return kept, dropped


def drop_none_values(arguments: list[str], optional: set[str]) -> list[str]:
    """Remove ``--option None`` and ``--option auto``, which mean "not given" in published command lines.

    Parameters
    ----------
    arguments : list of str
        Command-line words.
    optional : set of str
        Names of options without a required value, with underscores.
    """
    kept: list[str] = []
    words = iter(arguments)
    for word in words:
        name, joined, value = word.partition("=")
        if name.startswith("--") and name.removeprefix("--").replace("-", "_") in optional:
            following = value if joined else next(words, None)
            if following in NOT_GIVEN:
                continue
            kept += [word] if joined or following is None else [word, following]
        else:
            kept.append(word)
    return kept


def optional_names(models: list[type[CommandConfig]]) -> set[str]:
    """Return the names of all fields of the models whose default is None, and for which auto is no value."""
    fields = [(name, info) for model in models for name, info in model.model_fields.items()]
    with_word = {name for name, info in fields if command_line_shape(info).word}
    return {name for name, info in fields if info.default is None} - with_word


def boolean_names(models: list[type[CommandConfig]]) -> set[str]:
    """Return the names and aliases of all boolean fields of the models."""
    fields = [(name, info) for model in models for name, info in model.model_fields.items()]
    flags = [(name, info) for name, info in fields if cast("Any", info.annotation) is bool]
    aliases = {a.lstrip("-") for _, info in flags for m in info.metadata for a in getattr(m, "aliases", ())}
    return {name for name, _ in flags} | aliases
