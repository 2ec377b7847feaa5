"""The commands of ChimeraX that spisonet writes: their arguments and options, and a check of a line.

Sources: the pages of the user guide (https://www.rbvi.ucsf.edu/chimerax/docs/user/commands/), and where
they leave something open, the descriptions of arguments that the commands register in the source
(https://github.com/RBVI/ChimeraX, commit 6911d7b of January 2026, below src/bundles).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?"
COLOUR = r"#([0-9a-f]{6}|[0-9a-f]{8})|black|white|gray|red|blue"
MODEL_ID = r"#?\d+(\.\d+)*"
WORD = re.compile(r'"(?P<quoted>[^"]*)"|(?P<plain>\S+)')


def pattern(text: str) -> Callable[[str], bool]:
    return partial(lambda compiled, word: compiled.fullmatch(word) is not None, re.compile(text))


# Kinds of values, after the annotations of arguments in core/src/commands.
KINDS: dict[str, Callable[[str], bool]] = {
    "number": pattern(NUMBER),
    "integer": pattern(r"\d+"),
    "switch": pattern("true|false"),
    "colour": pattern(COLOUR),
    "axis": pattern("x|y|z"),
    "text": pattern(r".+"),
    "file": pattern(r".+\.mrc"),
    "point": pattern(rf"{NUMBER},{NUMBER},{NUMBER}"),
    "model id": pattern(MODEL_ID),
    "models": pattern(r"#\d+(\.\d+)*(,\d+(\.\d+)*)*"),
    # Pairs of value and colour, separated by colons: core/src/commands/colorarg.py, ColormapArg.
    "palette": pattern(rf"{NUMBER},({COLOUR})(:{NUMBER},({COLOUR}))+"),
    "style": pattern("surface|mesh|image|solid"),
    "camera": pattern("mono|ortho|crosseye|walleye|360|dome|360tb|360sbs|stereo|sbs|tb"),
}


@dataclass(frozen=True)
class Command:
    """Arguments and options of a command.

    Attributes
    ----------
    source : str
        Page of the user guide, and file of the source.
    arguments : tuple of str
        Kinds of the arguments without a name, in their order; all but the first `n_required` can be left out.
    options : dict
        Kind of the value by keyword; None for keywords without a value.
    needs : tuple of str
        Keywords that are required.
    """

    source: str
    arguments: tuple[str, ...] = ()
    options: dict[str, str | None] = field(default_factory=dict)
    n_required: int = 0
    needs: tuple[str, ...] = ()


COMMANDS = {
    "set": Command("set.html; std_commands/src/set.py", (), {"bgColor": "colour", "silhouettes": "switch"}),
    "open": Command("open.html; open_command/src/cmd.py", ("file",), {"id": "model id", "name": "text"}, 1),
    "rename": Command("rename.html; std_commands/src/rename.py", ("models", "text"), {"id": "model id"}, 1),
    "volume": Command(
        "volume.html; map/src/volumecommand.py",
        ("models",),
        {
            "style": "style",
            "show": None,
            "hide": None,
            "level": "number",
            "color": "colour",
            "transparency": "number",
            "step": "integer",
        },
    ),
    "color sample": Command(
        "color.html; surface/src/colorcmds.py",
        ("models",),
        {
            "map": "models",
            "palette": "palette",
            "range": "text",
            "outsideColor": "colour",
            "key": "switch",
            "offset": "number",
            "transparency": "number",
        },
        1,
        ("map",),
    ),
    "shape cylinder": Command(
        "shape.html; shape/src/shape.py",
        (),
        {
            "radius": "number",
            "height": "number",
            "fromPoint": "point",
            "toPoint": "point",
            "caps": "switch",
            "color": "colour",
            "name": "text",
            "modelId": "model id",
        },
    ),
    "camera": Command("camera.html; std_commands/src/camera.py", ("camera",), {"fieldOfView": "number"}),
    "graphics silhouettes": Command(
        "graphics.html; std_commands/src/graphics.py", ("switch",), {"width": "number", "color": "colour"}
    ),
    "view": Command(
        "view.html; std_commands/src/view.py",
        ("models",),
        {"orient": None, "pad": "number", "clip": "switch"},
    ),
    "turn": Command("turn.html; std_commands/src/turn.py", ("axis", "number"), {"models": "models"}),
    # The user guide leaves out independentRotation, which is true unless given.
    "tile": Command(
        "tile.html; std_commands/src/tile.py",
        ("models",),
        {"columns": "integer", "spacingFactor": "number", "viewAll": "switch"},
    ),
}


def fault_of(line: str) -> str | None:
    """Return what ChimeraX would not accept in a line of a command file; None if there is nothing.

    ``;`` separates commands. ``#`` begins a comment only at the beginning of a line, because models are
    called ``#1``.
    """
    if not line.strip() or line.startswith("#"):
        return None
    matches = list(WORD.finditer(line))
    if any(";" in match["plain"] for match in matches if match["plain"]):
        return "several commands"
    words = [match["plain"] if match["quoted"] is None else match["quoted"] for match in matches]
    n_words = next((n for n in (2, 1) if " ".join(words[:n]) in COMMANDS), 0)
    if not n_words:
        return f"no command {words[0]}"
    command, rest = COMMANDS[" ".join(words[:n_words])], words[n_words:]
    n_arguments = 0
    for kind, word in zip(command.arguments, rest, strict=False):
        if word in command.options or not KINDS[kind](word):
            break
        n_arguments += 1
    if n_arguments < command.n_required:
        return f"{command.arguments[n_arguments]} is missing"
    return fault_of_options(command, rest[n_arguments:])


def fault_of_options(command: Command, words: list[str]) -> str | None:
    """Return what is wrong with the options of a command, which may have any order."""
    given = set()
    rest = iter(words)
    for keyword in rest:
        if keyword not in command.options:
            return f"no keyword {keyword}"
        if keyword in given:
            return f"{keyword} is repeated"
        given.add(keyword)
        if (kind := command.options[keyword]) is not None and not KINDS[kind](next(rest, "")):
            return f"{keyword} needs a {kind}"
    missing = set(command.needs) - given
    return f"{missing.pop()} is missing" if missing else None
