"""Read the words that RELION runs an External job with."""

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
# What a user writes into a parameter's value: as if it were not there, or explicitly nothing.
DEFAULT_WORDS, NOTHING = ("auto", "default"), "none"
LIKENESS = 0.3  # of names from which one may be meant by the other


@dataclass(frozen=True)
class JobCall:
    """What RELION asked for.

    Attributes
    ----------
    folder : Path
        The job's folder, relative to the project.
    inputs : dict
        Input nodes by their flag without hyphens, such as ``in_3dref``.
    threads : int
        Number of threads.
    parameters : dict
        Value by name, as the user wrote them; "" for a name without a value.
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
            If it was not given or does not exist.
        """
        if name not in self.inputs:
            raise SpisonetError(f"The job needs {INPUTS[name]} (--{name}): {meaning}.")
        return self.inputs[name]


def find_folder(words: list[str]) -> Path:
    """Return the job's folder, whatever else is wrong with the words.

    Raises
    ------
    SpisonetError
        If there is none.
    """
    if f"--{FOLDER}" in words[:-1]:
        return Path(words[words.index(f"--{FOLDER}") + 1])
    raise SpisonetError(
        "RELION runs this program as an External job, with --o External/jobNNN/; see --help for its inputs."
    )


def read_call(words: list[str], inputs: Iterable[str]) -> JobCall:
    """Read all words; RELION does not quote, so that a value with spaces comes in several.

    Parameters
    ----------
    words : list of str
        The command line.
    inputs : iterable of str
        Which of `INPUTS` the job takes.

    Raises
    ------
    SpisonetError
        If an input does not exist or is none of the job's, or something is given twice.
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
            raise SpisonetError(f"{word} is given without the name of a parameter before it.")
        else:
            given[name] = f"{given[name]} {word}".strip()
    given.pop(CONTROL, None)
    nodes = {name: Path(given.pop(name)) for name in INPUTS if given.get(name)}
    allowed = set(inputs)
    for name, path in nodes.items():
        if name not in allowed:
            known = " and ".join(f"{INPUTS[i]} (--{i})" for i in INPUTS if i in allowed)
            raise SpisonetError(f"The job has no use for {INPUTS[name]} (--{name}); it takes {known}.")
        if not path.exists():
            raise SpisonetError(f"{INPUTS[name]} {path} does not exist.")
    folder, threads = Path(given.pop(FOLDER)), given.pop(THREADS, "") or "1"
    if not threads.isdecimal() or int(threads) < 1:
        raise SpisonetError(f"--{THREADS} {threads} is no number of threads.")
    return JobCall(folder, nodes, int(threads), {n: v for n, v in given.items() if n not in INPUTS})


def as_options(
    parameters: Mapping[str, str], names: Iterable[str], flags: Container[str], aliases: Mapping[str, str]
) -> dict[str, str | None]:
    """Match a job's parameters with the names of a command's options; capitals do not matter.

    Parameters
    ----------
    parameters : mapping
        Value by name, as the user wrote them.
    names : iterable of str
        The options that may be chosen.
    flags : container of str
        Those among them that a name without a value turns on; another's without a value has its default.
    aliases : mapping
        Option by another name for it.

    Returns
    -------
    dict
        Value by option, None for the value ``none``; those whose value asks for the default are left out.

    Raises
    ------
    SpisonetError
        If a name is none of the job's; it names the nearest.
    """
    known = {name.lower(): name for name in names}
    known |= {alias.lower(): option for alias, option in aliases.items()}
    options: dict[str, str | None] = {}
    for name, value in parameters.items():
        option = known.get(name.lower())
        if option is None:
            nearest = difflib.get_close_matches(name.lower(), known, n=1, cutoff=LIKENESS)
            hint = f"did you mean {nearest[0]}?" if nearest else f"it has {', '.join(sorted(known))}."
            raise SpisonetError(f"{name} is no parameter of this job; {hint}")
        if option in options:
            raise SpisonetError(f"{option} is given twice, once as {name}.")
        if not value and option in flags:
            options[option] = "true"
        elif value.lower() == NOTHING:
            options[option] = None
        elif value and value.lower() not in DEFAULT_WORDS:
            options[option] = value
    return options
