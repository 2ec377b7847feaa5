"""The command lines ``spisonet.py`` and ``isonet.py``."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, TextIO

import typer

from relion_external.config import COMMANDS as RELION_COMMANDS
from spisonet import __version__
from spisonet.commands.options import (
    add_command,
    boolean_names,
    drop_none_values,
    drop_obsolete,
    join_boolean_values,
    optional_names,
)
from spisonet.commands.registry import ISONET, SPISONET
from spisonet.errors import SpisonetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spisonet.commands.registry import Commands
    from spisonet.io.config import CommandConfig

EXIT_INTERRUPTED = 130


class TerminalHandler(logging.StreamHandler[TextIO]):
    """Write to whatever standard output is now: a progress bar puts its own in its place."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """Standard output."""
        return sys.stdout


def _runner(target: str) -> Callable[[CommandConfig], None]:
    module, function = target.split(":")

    def run(config: CommandConfig) -> None:
        try:
            getattr(import_module(module), function)(config)  # heavy imports happen here, not for --help
        except KeyboardInterrupt as error:
            typer.echo("spisonet: interrupted.", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from error

    return run


def _program(name: str, commands: Commands, text: str, **groups: tuple[Commands, str]) -> typer.Typer:
    """Make a program of commands, and of groups of commands."""
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        help=text,
    )

    def show_version(show: bool) -> None:
        if show:
            typer.echo(f"{name} {__version__}")
            raise typer.Exit

    @app.callback()
    def _root(
        version: bool = typer.Option(
            False, "--version", callback=show_version, is_eager=True, help="Print the version."
        ),
    ) -> None:
        """Hold the options of the program itself."""

    for model, target in commands.items():
        add_command(app, model, _runner(target))
    for group, (members, group_text) in groups.items():
        below = typer.Typer(no_args_is_help=True, help=group_text)
        app.add_typer(below, name=group)
        for model, target in members.items():
            add_command(below, model, _runner(target))
    return app


@contextmanager
def _terminal() -> Iterator[None]:
    """Show the log; a fault of the input prints one sentence and exits with 1."""
    log = logging.getLogger("spisonet")
    log.setLevel(logging.INFO)
    if not log.handlers:
        handler = TerminalHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)
    try:
        yield
    except typer.Exit as done:
        sys.exit(done.exit_code)
    except SpisonetError as error:
        typer.echo(f"spisonet: {error}", err=True)
        sys.exit(1)


def _run(app: typer.Typer, models: list[type[CommandConfig]], arguments: list[str] | None) -> None:
    words = sys.argv[1:] if arguments is None else arguments
    with _terminal():
        asked = next((model for model in models if words and model.command == words[0]), None)
        if asked is not None:
            words, dropped = drop_obsolete(words, asked.obsolete)
            if dropped:
                typer.echo(f"Without effect here: {', '.join(dropped)}.")
        try:
            words = drop_none_values(words, optional_names(models))
            app(join_boolean_values(words, boolean_names(models)))
        except SystemExit as done:
            if done.code:  # Typer ends a successful command with exit status 0
                raise


def main(arguments: list[str] | None = None) -> None:
    """Run ``spisonet.py``; a fault of the input prints one sentence and exits with 1."""
    app = _program(
        "spisonet",
        SPISONET,
        "Correct the anisotropy of cryo-EM maps: restore the Fourier regions that were not measured.",
        relion=(RELION_COMMANDS, "Use this program inside RELION's GUI."),
    )
    _run(app, [*SPISONET, *RELION_COMMANDS], arguments)


def isonet(arguments: list[str] | None = None) -> None:
    """Run ``isonet.py``, as `main`."""
    app = _program("isonet", ISONET, "Fill the missing wedge of tomograms, and denoise them.")
    _run(app, list(ISONET), arguments)


def run_config(config: CommandConfig) -> None:
    """Run the command of a configuration as the command line does, and return if it succeeds."""
    with _terminal():
        _runner({**SPISONET, **ISONET}[type(config)])(config)
