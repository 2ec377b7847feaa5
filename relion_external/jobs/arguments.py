"""Command-line arguments of an External job, as RELION passes them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

INPUTS = {
    "in_3dref": "Input 3D reference",
    "in_mask": "Input mask",
    "in_parts": "Input particles",
    "in_mics": "Input micrographs",
    "in_coords": "Input coordinates",
    "in_movies": "Input movies",
}
FOLDER, THREADS, CONTROL = "o", "j", "pipeline_control"
# Values of parameters that stand for the default, and for no value.
DEFAULT_WORDS, NONE_WORD = ("auto", "default"), "none"
MIN_SIMILARITY = 0.3  # of an unknown name to the parameter that is suggested


@dataclass(frozen=True)
class JobCall:
    """Arguments of an External job.

    Attributes
    ----------
    folder : Path
        Job folder, relative to the project.
    inputs : dict
        Input nodes by option name, such as ``in_3dref``.
    threads : int
        Number of threads.
    parameters : dict
        Values of the parameters by name, as the user wrote them; "" for a name without a value.
    """

    folder: Path
    inputs: Mapping[str, Path]
    threads: int
    parameters: Mapping[str, str]

    def require_input(self, name: str, meaning: str) -> Path:
        """Return an input node.

        Raises
        ------
        SpisonetError
            If it was not given.
        """
        if name not in self.inputs:
            raise SpisonetError(f"The job needs {INPUTS[name]} (--{name}): {meaning}.")
        return self.inputs[name]


def find_folder(words: list[str]) -> Path:
    """Return the job folder, even if other arguments are invalid.

    Raises
    ------
    SpisonetError
        If ``--o`` is missing.
    """
    if f"--{FOLDER}" in words[:-1]:
        return Path(words[words.index(f"--{FOLDER}") + 1])
    raise SpisonetError(
        "RELION runs this program as an External job, with --o External/jobNNN/; see --help for its inputs."
    )


def read_call(words: list[str], inputs: Iterable[str]) -> JobCall:
    """Read the arguments; RELION does not quote values, so one with spaces is several arguments.

    Parameters
    ----------
    words : list of str
        Arguments.
    inputs : iterable of str
        Names in `INPUTS` that the job takes.

    Raises
    ------
    SpisonetError
        If an input does not exist or is not an input of this job, or if an argument is given twice.
    """
    given: dict[str, str] = {}
    name = ""
    for word in words:
        if word.startswith("--"):
            name, _, value = word.removeprefix("--").partition("=")
            name = name.replace("-", "_")
            if name in given:
                raise SpisonetError(f"--{name} is given twice.")
            given[name] = value
        elif not name:
            raise SpisonetError(f"{word} does not follow the name of a parameter.")
        else:
            given[name] = f"{given[name]} {word}".strip()
    given.pop(CONTROL, None)
    nodes = {name: Path(given.pop(name)) for name in INPUTS if given.get(name)}
    allowed = set(inputs)
    for name, path in nodes.items():
        if name not in allowed:
            known = " and ".join(f"{INPUTS[i]} (--{i})" for i in INPUTS if i in allowed)
            raise SpisonetError(f"{INPUTS[name]} (--{name}) is not an input of this job; it takes {known}.")
        if not path.exists():
            raise SpisonetError(f"{INPUTS[name]} {path} does not exist.")
    folder, threads = Path(given.pop(FOLDER)), given.pop(THREADS, "") or "1"
    if not threads.isdecimal() or int(threads) < 1:
        raise SpisonetError(f"--{THREADS} {threads} is not a valid number of threads.")
    return JobCall(folder, nodes, int(threads), {n: v for n, v in given.items() if n not in INPUTS})


def as_options(
    parameters: Mapping[str, str], names: Iterable[str], flags: Container[str], aliases: Mapping[str, str]
) -> dict[str, str | None]:
    """Match the parameters of a job with the options of a command, ignoring case.

    Parameters
    ----------
    parameters : mapping
        Values by name, as the user wrote them.
    names : iterable of str
        Options that may be set.
    flags : container of str
        Options that a name without a value turns on; other options keep their default then.
    aliases : mapping
        Options by their alternative names.

    Returns
    -------
    dict
        Values by option; None for the value ``none``. Options with a value for the default are left out.

    Raises
    ------
    SpisonetError
        If a name is not a parameter of the job; the message suggests the most similar one.
    """
    known = {name.lower(): name for name in names}
    known |= {alias.lower(): option for alias, option in aliases.items()}
    options: dict[str, str | None] = {}
    for name, value in parameters.items():
        option = known.get(name.lower())
        if option is None:
            nearest = difflib.get_close_matches(name.lower(), known, n=1, cutoff=MIN_SIMILARITY)
            hint = (
                f"did you mean {nearest[0]}?"
                if nearest
                else f"its parameters are {', '.join(sorted(known))}."
            )
            raise SpisonetError(f"{name} is not a parameter of this job; {hint}")
        if option in options:
            raise SpisonetError(f"{option} is given twice, once as {name}.")
        if not value and option in flags:
            options[option] = "true"
        elif value.lower() == NONE_WORD:
            options[option] = None
        elif value and value.lower() not in DEFAULT_WORDS:
            options[option] = value
    return options
