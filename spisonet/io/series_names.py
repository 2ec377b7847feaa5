"""Names of tomograms: the tilt series that a file belongs to, and whether it is an even or odd half."""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING

from spisonet.io.tomograms import stem_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

EVEN, ODD = "even", "odd"
SEPARATOR = r"[_\-. ]"
# A whole word that tells the halves apart, in any case and anywhere in a name.
HALF_WORD = re.compile(
    rf"(?:^|(?<={SEPARATOR}))(?:(?P<even>even|evn|half1)|(?P<odd>odd|half2))(?=$|{SEPARATOR})", re.IGNORECASE
)
# Words that may tell halves apart, or two parts of a specimen.
POSSIBLE_HALF = re.compile(rf"(?:^|{SEPARATOR})half{SEPARATOR}?[12ab](?:$|{SEPARATOR})", re.IGNORECASE)
GLUED_HALF = re.compile(r"(?P<even>even|evn)|(?P<odd>odd)", re.IGNORECASE)  # anywhere, as in TS1even
# Words that programs append to the name of a tilt series.
STEPS = (
    r"vol|rec|full|ali|aligned|preali|st|stack|sort|sorted|corrected|deconv|denoised|filtered|filt|ctf|2nd|"
    r"aretomo|sirt|wbp|flipped|flip[xyz]{0,2}|rot[xyz]?|trim|bin[_\-. ]?\d+|[\d.]+apx"
)
ACCOMPANYING = r"mask|coords?|coordinates|particles|points|picks|tlt"
ENDING = re.compile(rf"{SEPARATOR}+(?:{STEPS}|{ACCOMPANYING})$", re.IGNORECASE)
BEGINNING = re.compile(rf"^(?:rec|corrected|deconv|denoised){SEPARATOR}+", re.IGNORECASE)
# Suffixes of files that accompany a tomogram.
OTHER_SUFFIXES = (
    ".txt",
    ".mod",
    ".tomostar",
    ".star",
    ".coords",
    ".xyz",
    ".pts",
    ".tbl",
    ".csv",
    ".em",
    ".box",
)
HALF_MAP = re.compile(rf"half{SEPARATOR}?(?:map{SEPARATOR}?)?([12AB])(?![a-z0-9])", re.IGNORECASE)
OTHER_HALF_MAP = {"1": "2", "2": "1", "A": "B", "B": "A", "a": "b", "b": "a"}
PLACE = "\0"  # of the word that tells the halves apart


def half_candidates(path: Path) -> list[tuple[str, str]]:
    """Return each half that a file may be by its name, and the name without the word that says so.

    Returns
    -------
    list of tuple
        ``even`` or ``odd``, and the stem with a placeholder instead of the word. Two files whose names
        differ only in that word have the same second element.
    """
    return _half_candidates(stem_of(path), HALF_WORD)


def glued_half_candidates(path: Path) -> list[tuple[str, str]]:
    """Return as `half_candidates` does each half by a word that is glued to others, as in ``TS1even``.

    Names such as ``evening`` contain the word by chance: only two files that differ in nothing else are
    halves.
    """
    return _half_candidates(stem_of(path), GLUED_HALF)


def series_name_of_glued(path: Path, key: str) -> str:
    """Return the name of the tilt series of a half; `key` is that of `glued_half_candidates`."""
    return series_name(path.with_name(key.replace(PLACE, "")))


def _half_candidates(stem: str, word: re.Pattern[str]) -> list[tuple[str, str]]:
    return [
        (EVEN if match["even"] else ODD, f"{stem[: match.start()]}{PLACE}{stem[match.end() :]}")
        for match in word.finditer(stem)
    ]


def pairs_of_halves(paths: Iterable[Path]) -> list[tuple[Path, Path]]:
    """Return all pairs of paths, even and odd, whose names differ only in the word that says so."""
    waiting: dict[str, dict[str, Path]] = {}
    pairs: list[tuple[Path, Path]] = []
    for path in paths:
        for kind, key in half_candidates(path):
            pair = waiting.setdefault(key, {})
            pair.setdefault(kind, path)
            if len(pair) == 2 and not set(pair.values()) & set(chain(*pairs)):
                pairs.append((pair[EVEN], pair[ODD]))
    return pairs


def other_half_map(path: Path) -> Path | None:
    """Return the path of the other half map of a refinement; None if the name does not tell the half.

    Halves are numbered or lettered after the word half, as in ``run_half1_class001_unfil.mrc`` (RELION),
    ``J5_map_half_A.mrc`` (cryoSPARC) or ``emd_1234_half_map_1.map`` (EMDB).
    """
    match = HALF_MAP.search(path.name)
    if match is None:
        return None
    before, after = path.name[: match.start(1)], path.name[match.end(1) :]
    return path.with_name(f"{before}{OTHER_HALF_MAP[match[1]]}{after}")


def series_names(path: Path) -> list[str]:
    """Return the names that the tilt series of a file may have, from the stem of the file to the shortest.

    First the words that programs append are removed one by one, then the words of halves, and again the
    appended words.
    """
    stem = stem_of(path)
    for suffix in OTHER_SUFFIXES:
        if stem.lower().endswith(suffix):
            stem = stem[: -len(suffix)]
    stem = stem_of(path.with_name(stem)) if stem else path.name
    without_half = re.sub(rf"^{SEPARATOR}+|{SEPARATOR}+$", "", _without_half_words(stem))
    return list(dict.fromkeys([*_shortened(stem), *_shortened(BEGINNING.sub("", without_half))]))


def _shortened(name: str) -> list[str]:
    """Return a name, and what remains as the words that programs append are removed one by one."""
    names: list[str] = []
    while name and name not in names:
        names.append(name)
        name = ENDING.sub("", name)
    return names


def without_half(path: Path) -> Path:
    """Return the path of a half without the word that says which half it is.

    A file whose name is that word only is named after its folder.
    """
    stem = stem_of(path)
    name = re.sub(rf"^{SEPARATOR}+|{SEPARATOR}+$", "", _without_half_words(stem))
    return path.with_name(path.name.replace(stem, name or path.parent.name or stem, 1))


def series_name(path: Path) -> str:
    """Return the shortest name that the tilt series of a file may have; see `series_names`."""
    return series_names(path)[-1]


def words_of(path: Path) -> list[str]:
    """Return the words of a file name in lower case."""
    return [word for word in re.split(rf"{SEPARATOR}+", stem_of(path).lower()) if word]


def _without_half_words(stem: str) -> str:
    """Remove the words of halves, each with a separator beside it."""
    parts = re.split(rf"({SEPARATOR}+)", HALF_WORD.sub(PLACE, stem))
    kept: list[str] = []
    for part in parts:
        if part == PLACE:
            if kept:
                kept.pop()  # the separator before the word
        else:
            kept.append(part)
    return "".join(kept)
