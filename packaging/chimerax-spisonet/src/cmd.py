"""The command ``spisonet show FOLDER``: the maps of a run before and after correction."""

from __future__ import annotations

import json
import os
import re
from typing import Any

from chimerax.core.commands import CmdDesc, OpenFolderNameArg, run
from chimerax.core.errors import UserError

RECORD, SCRIPT = "job.json", "view.cxc"
LARGEST_FILE = 10_000_000  # bytes
OPEN = re.compile(r'open "(?P<name>[^"/\\]+\.mrc)" id (?P<model>#\d+)')
# Commands of a script without files; they change models and the view only.
OTHERS = re.compile(
    r"(set bgColor|rename|volume|color sample|shape cylinder|camera|graphics silhouettes|view|turn|tile) "
    r"[\w#.,:+ -]+"
)


def description() -> Any:
    """Return the arguments of the command."""
    return CmdDesc(required=[("folder", OpenFolderNameArg)])


def show(session: Any, folder: str) -> None:
    """Print what is recorded of a run, and show its maps.

    Parameters
    ----------
    session : chimerax.core.session.Session
        The session.
    folder : str
        Output folder of ``spisonet.py reconstruct``.

    Raises
    ------
    UserError
        If the folder has no finished run, or its script holds anything but commands that spisonet writes.
    """
    record, commands = read_record(folder), read_commands(folder)
    for line in summary(record):
        session.logger.info(line)
    for command in commands:
        run(session, command)


def read_record(folder: str) -> dict[str, Any]:
    """Return the record of the finished run in a folder."""
    try:
        record = json.loads(_read(folder, RECORD))
    except ValueError as error:
        raise UserError(f"{os.path.join(folder, RECORD)} is damaged: {error}.") from error
    if not isinstance(record, dict) or record.get("command") != "reconstruct":
        raise UserError(f"{folder} is not the output folder of spisonet.py reconstruct.")
    if record.get("status") != "finished":
        raise UserError(f"The run in {folder} is not finished: its status is {record.get('status')}.")
    return record


def read_commands(folder: str) -> list[str]:
    """Return the commands of the script in a folder, with full names of files.

    Nothing else is run: a command file can hold any command of ChimeraX, and the folder may come from others.
    """
    commands = []
    for number, line in enumerate(_read(folder, SCRIPT).splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        opened = OPEN.fullmatch(line)
        if opened is not None:
            path = os.path.abspath(os.path.join(folder, opened["name"]))
            if not os.path.isfile(path) or '"' in path:
                raise UserError(f"{path} does not exist, but {SCRIPT} shows it.")
            commands.append(f'open "{path}" id {opened["model"]}')
        elif OTHERS.fullmatch(line):
            commands.append(line)
        else:
            raise UserError(
                f"{os.path.join(folder, SCRIPT)}, line {number}, is not a command that spisonet writes; to "
                "run the file nevertheless, open it."
            )
    return commands


def summary(record: dict[str, Any]) -> list[str]:
    """Return the sentences for the log."""
    lines = []
    limit, unmeasured = record.get("limit_resolution_angstrom"), record.get("unmeasured_fraction")
    if isinstance(limit, int | float) and isinstance(unmeasured, int | float):
        lines.append(f"{100 * unmeasured:.0f} % of Fourier space to {limit:.2f} Å was not measured.")
    halves = record.get("halves")
    if isinstance(halves, dict) and halves.get("independent") is not None:
        independent = (
            "are independent" if halves["independent"] else "share a network: do not calculate an FSC"
        )
        lines.append(f"The corrected half maps {independent}.")
    lines.append("Left: before. Right: after; blue is measured, red is inferred.")
    return lines


def _read(folder: str, name: str) -> str:
    path = os.path.join(folder, name)
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(LARGEST_FILE + 1)
    except FileNotFoundError as error:
        raise UserError(f"{folder} has no {name}: it is not the folder of a finished run.") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}.") from error
    if len(text) > LARGEST_FILE:
        raise UserError(f"{path} is too large.")
    return text
