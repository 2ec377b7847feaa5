"""The ``spisonet.py`` command line."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, TextIO

import typer

from relion_external.config import COMMANDS as RELION_COMMANDS
from spisonet import __version__
from spisonet.anisotropy.config import COMMANDS
from spisonet.cli.generate import add_command, boolean_names, join_boolean_values
from spisonet.errors import SpisonetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spisonet.io.config import CommandConfig

EXIT_INTERRUPTED = 130

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Correct the anisotropy of cryo-EM maps: restore the Fourier regions that were not measured.",
)


class TerminalHandler(logging.StreamHandler[TextIO]):
    """Write to whatever standard output is now: a progress bar puts its own in its place."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """Standard output."""
        return sys.stdout


def _version(show: bool) -> None:
    if show:
        typer.echo(f"spisonet {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Hold the options of the program itself."""


def _runner(target: str) -> Callable[[CommandConfig], None]:
    module, function = target.split(":")

    def run(config: CommandConfig) -> None:
        try:
            getattr(import_module(module), function)(config)  # heavy imports happen here, not for --help
        except KeyboardInterrupt as error:
            typer.echo("spisonet: interrupted.", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from error

    return run


for _model, _target in COMMANDS.items():
    add_command(app, _model, _runner(_target))
relion = typer.Typer(no_args_is_help=True, help="Use this program inside RELION's GUI.")
app.add_typer(relion, name="relion")
for _model, _target in RELION_COMMANDS.items():
    add_command(relion, _model, _runner(_target))


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


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a fault of the input prints one sentence and exits with 1."""
    words = sys.argv[1:] if arguments is None else arguments
    with _terminal():
        try:
            app(join_boolean_values(words, boolean_names(list(COMMANDS))))
        except SystemExit as done:
            if done.code:  # Typer ends a successful command with exit status 0
                raise


def run_config(config: CommandConfig) -> None:
    """Run the command of a configuration as the command line does, and return if it succeeds."""
    with _terminal():
        _runner(COMMANDS[type(config)])(config)
