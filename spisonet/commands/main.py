"""The command lines ``spisonet.py`` and ``isonet.py``."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

import typer

from spisonet import __version__
from spisonet.commands.help import ProgramHelp
from spisonet.commands.options import (
    add_command,
    boolean_names,
    drop_none_values,
    drop_obsolete,
    join_boolean_values,
    optional_names,
)
from spisonet.commands.registry import (
    COPICK,
    CRYOSPARC,
    ISONET,
    RELION,
    REPLACED,
    SPISONET,
    SUBMITTED,
)
from spisonet.commands.submission_config import SubmissionConfig
from spisonet.errors import SpisonetError, known_error
from spisonet.io.logs import TerminalHandler, keep_early_records
from spisonet.io.run_record import record_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from spisonet.commands.registry import Commands
    from spisonet.io.config import CommandConfig

log = logging.getLogger("spisonet")

EXIT_INTERRUPTED = 130
SUBMIT, RUN_PART = "spisonet.commands.submission:run_submission", "spisonet.commands.submission:run_part"


def _runner(target: str) -> Callable[..., None]:
    """Return the function that runs a command, or submits it or a part of it as its options say."""

    def run(config: CommandConfig, submission: SubmissionConfig | None = None) -> None:
        try:
            # Heavy imports happen here, not for --help.
            if submission is not None and submission.submit is not None:
                _function(SUBMIT)(config, submission)
            elif submission is not None and submission.shard is not None:
                _function(RUN_PART)(config, submission.shard)
            else:
                _function(target)(config)
        except KeyboardInterrupt as error:
            typer.echo("spisonet: interrupted.", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from error
        except Exception as error:
            known = known_error(error)
            if known is None:
                raise
            record_failure(config, known.locate(config))
            raise known from (None if known is error else error)

    return run


def _function(target: str) -> Callable[..., None]:
    module, name = target.split(":")
    function: Callable[..., None] = getattr(import_module(module), name)
    return function


def _program(name: str, commands: Commands, text: str, **groups: tuple[Commands, str]) -> typer.Typer:
    """Build a program from commands and groups of commands."""
    app = typer.Typer(
        cls=ProgramHelp,
        no_args_is_help=True,
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
        """Define the options of the program itself."""

    for model, target in commands.items():
        add_command(app, model, _runner(target), model in SUBMITTED)
    for group, (members, group_text) in groups.items():
        subcommands = typer.Typer(
            cls=ProgramHelp, no_args_is_help=True, rich_markup_mode=None, help=group_text
        )
        app.add_typer(subcommands, name=group)
        for model, target in members.items():
            add_command(subcommands, model, _runner(target))
    return app


@contextmanager
def _terminal() -> Iterator[None]:
    """Print the log; print a `known_error` as one sentence and exit with status 1."""
    log.setLevel(logging.INFO)
    if not log.handlers:
        handler = TerminalHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)
    try:
        with keep_early_records():
            yield
    except typer.Exit as done:
        sys.exit(done.exit_code)
    except Exception as error:
        known = known_error(error)
        if known is None:
            raise
        typer.echo(f"spisonet: {known}", err=True)
        sys.exit(1)


def _run(
    app: typer.Typer,
    models: list[type[CommandConfig]],
    arguments: list[str] | None,
    replaced: Mapping[str, str] | None = None,
) -> None:
    words = sys.argv[1:] if arguments is None else arguments
    with _terminal():
        first = words[0].lower() if words else ""  # commands are known in any case of letters
        for name, counterpart in (replaced or {}).items():
            if name.lower() == first:
                raise SpisonetError(
                    f"{name} is not a command of this program: use {counterpart}.", code="invalid_option"
                )
        model = next((model for model in models if model.command.lower() == first), None)
        if model is not None:
            words, dropped = drop_obsolete(words, model.obsolete)
            if dropped:
                log.info("Options without effect: %s.", ", ".join(dropped))
        try:
            known: list[type[CommandConfig]] = [*models, SubmissionConfig]
            words = drop_none_values(words, optional_names(known))
            app(join_boolean_values(words, boolean_names(known)))
        except SystemExit as done:
            if done.code:  # Typer ends a successful command with exit status 0
                raise


def main(arguments: list[str] | None = None) -> None:
    """Run ``spisonet.py``; on a `SpisonetError`, print one sentence and exit with status 1."""
    app = _program(
        "spisonet",
        SPISONET,
        "Correct anisotropic cryo-EM maps (preferred orientation), by self-supervised learning on your data.",
        relion=(
            RELION,
            "Check refinements and correct their drifted poses; install the External jobs of RELION's GUI.",
        ),
        cryosparc=(CRYOSPARC, "Download refinements of a cryoSPARC instance and upload corrected maps."),
    )
    _run(app, [*SPISONET, *RELION, *CRYOSPARC], arguments)


def isonet(arguments: list[str] | None = None) -> None:
    """Run ``isonet.py``; see `main`."""
    app = _program(
        "isonet",
        ISONET,
        "Fill the missing wedge of tomograms and denoise them, by self-supervised learning.",
        copick=(COPICK, "Read tomograms of a copick project and add corrected ones to it."),
    )
    _run(app, [*ISONET, *COPICK], arguments, REPLACED)


def run_config(config: CommandConfig) -> None:
    """Run the command of a configuration as the command line does; return only on success."""
    with _terminal():
        _runner({**SPISONET, **ISONET, **RELION, **CRYOSPARC, **COPICK}[type(config)])(config)
