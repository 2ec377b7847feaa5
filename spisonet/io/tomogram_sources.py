"""Tomograms in folders: full, even and odd volumes of each tilt series, and the files that accompany them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.io.dynamo import TABLE, VOLUME_LIST, ListedTomogram, read_listed_tomograms
from spisonet.io.mrc_file import conversion_by_eman2, open_mrc
from spisonet.io.paths import real_path, version_of
from spisonet.io.series_names import (
    EVEN,
    ODD,
    PLACE,
    glued_half_candidates,
    half_candidates,
    pairs_of_halves,
    series_name,
    series_name_of_glued,
    words_of,
)
from spisonet.io.tomograms import SUFFIXES, stem_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from spisonet.io.mrc_file import MrcFile

STACK_SUFFIXES = (".st", ".ali", ".preali")
VOLUME_SUFFIXES = tuple(suffix for suffix in SUFFIXES if suffix not in STACK_SUFFIXES)
STACK_WORDS = {"ali", "preali"}
REC_WORD = "rec"  # of IMOD's volumes, as a word or as the suffix
ARETOMO_WORD = "vol"  # AreTomo calls a volume TS_01_Vol.mrc and the stack beside it TS_01.mrc
# Endings of the stacks of IMOD's steps, which it keeps beside the tomogram; the words may be part of a name.
STEP = re.compile(r"[_\-. ](?:orig|fixed|ctfcorr|erased?|dcst|mtfilt)$", re.IGNORECASE)
PROCESSED_WORDS = {"corrected", "deconv", "denoised", "filt", "filtered"}
FULL = "full"
OTHER_FORMATS = {
    **dict.fromkeys((".hdf", ".h5"), "an HDF5 file of EMAN2"),
    ".em": "an EM file, as TOM and Dynamo write them",
}
MAX_SHOWN = 5
# Name of the folder of tomograms in the folder of the processed tilt series of a Warp project.
RECONSTRUCTIONS, TOMOSTAR = "reconstruction", ".tomostar"


@dataclass(frozen=True)
class TomogramPaths:
    """Tomograms of one tilt series.

    Attributes
    ----------
    full : Path or None
        Tomogram from all tilts.
    even, odd : Path or None
        Tomograms from even and odd tilts or frames: both or neither.
    by_order : bool
        Whether the halves were paired by the order of their names in two folders, since the names differ.
    """

    full: Path | None = None
    even: Path | None = None
    odd: Path | None = None
    by_order: bool = False

    @property
    def first(self) -> Path:
        """The even or else the full tomogram."""
        path = self.even or self.full
        if path is None:
            raise ValueError("A tilt series without tomograms")
        return path

    @property
    def existing(self) -> list[Path]:
        """All files that exist."""
        return [path for path in (self.full, self.even, self.odd) if path is not None and path.is_file()]


@dataclass(frozen=True)
class LeftOut:
    """A file that is not used.

    Attributes
    ----------
    path : Path
        The file.
    reason : str
        Why, as the end of a sentence.
    """

    path: Path
    reason: str


@dataclass(frozen=True)
class FoundTomograms:
    """Tomograms of some folders.

    Attributes
    ----------
    series : dict
        Tomograms by name of the tilt series, sorted.
    left_out : tuple of LeftOut
        Other files of the folders.
    listed_in : ListFile or None
        The file that lists the tomograms, if they were not found in folders.
    """

    series: Mapping[str, TomogramPaths]
    left_out: tuple[LeftOut, ...] = ()
    listed_in: ListFile | None = None


@dataclass(frozen=True)
class ListFile:
    """A file that lists tomograms, and what it says of them.

    Attributes
    ----------
    path : Path
        The file.
    tomograms : dict
        Its entries by name of the tilt series.
    has_coordinates : bool
        Whether it also lists particles.
    """

    path: Path
    tomograms: Mapping[str, ListedTomogram]
    has_coordinates: bool


@dataclass(frozen=True)
class MatchedFiles:
    """Files of a folder, such as masks, by tilt series.

    Attributes
    ----------
    by_series : dict
        File by name of the tilt series.
    left_out : tuple of LeftOut
        Files of no tilt series, or of one of which another file is used.
    without : tuple of str
        Tilt series without a file.
    """

    by_series: Mapping[str, Path]
    left_out: tuple[LeftOut, ...] = ()
    without: tuple[str, ...] = ()


def find_tomograms(
    mixed: Path | None, full: Path | None, even: Path | None, odd: Path | None
) -> FoundTomograms:
    """Pair the tomograms of some folders.

    Two files whose names differ only in one word such as even and odd, in any case and anywhere in the name,
    are the halves of a tomogram; the word may also be glued to others if exactly one file differs in it. In
    two folders they may also have the same name; if no names match, the files of two folders are paired in
    the order of their names, as by IsoNet2.

    Parameters
    ----------
    mixed : Path or None
        Folder of full tomograms, in which there may be even and odd ones, or pairs of folders of halves, as
        well; or of a folder for each tilt series; or a list of Dynamo.
    full, even, odd : Path or None
        Folders of tomograms of one kind.

    Raises
    ------
    SpisonetError
        If a folder contains no tomograms, two files belong to the same tomogram, or a half is missing.
    """
    if mixed is not None and mixed.suffix.lower() in (VOLUME_LIST, TABLE):
        return _listed_tomograms(mixed)
    left_out: list[LeftOut] = []
    series: dict[str, dict[str, Path]] = defaultdict(dict)
    by_order: set[Path] = set()
    if mixed is not None and even is None and full is None:
        mixed = _reconstructions_of_warp(mixed, left_out) or mixed
    folders = _search(mixed, full, [] if even is None or odd is None else [(even, odd)], left_out)
    for pair_of_folders in folders.halves:
        halves = [_one_for_each(_volumes(f, left_out, folders.used), left_out) for f in pair_of_folders]
        pairs, paired_by_order = _pairs_of_folders(*halves)
        by_order |= paired_by_order
        for even_path, odd_path in pairs:
            _enter(series, _name_of_halves(even_path, odd_path), {EVEN: even_path, ODD: odd_path})
    for folder in folders.full:
        for path in _one_for_each(_volumes(folder, left_out, folders.used), left_out):
            _enter(series, series_name(path), {FULL: path})
    for folder in folders.mixed:
        kind_of = _kinds_in_one_folder(_volumes(folder, left_out, folders.used))
        for kind in (EVEN, ODD, FULL):
            for path in _one_for_each([path for path in kind_of if kind_of[path][0] == kind], left_out):
                _enter(series, kind_of[path][1], {kind: path})
    found = {
        name: TomogramPaths(kinds.get(FULL), kinds.get(EVEN), kinds.get(ODD))
        for name, kinds in sorted(series.items())
    }
    single = [str(p.even or p.odd) for p in found.values() if (p.even is None) != (p.odd is None)]
    if single:
        raise SpisonetError(f"The other half is missing for {', '.join(single)}.")
    found = {name: replace(paths, by_order=paths.even in by_order) for name, paths in found.items()}
    return FoundTomograms(found, tuple(sorted(left_out, key=lambda item: item.path)))


def _listed_tomograms(path: Path) -> FoundTomograms:
    listed = read_listed_tomograms(path)
    missing = [str(tomogram.path) for tomogram in listed if not tomogram.path.is_file()]
    if missing:
        raise SpisonetError(
            f"{missing[0]}, listed in {path}, does not exist; correct the list, or run the command in the "
            "folder to which its paths are relative.",
            code="file_not_found",
        )
    kind_of = _kinds_in_one_folder([tomogram.path for tomogram in listed])
    series: dict[str, dict[str, Path]] = defaultdict(dict)
    for file, (kind, name) in kind_of.items():
        _enter(series, name, {kind: file})
    found = {
        name: TomogramPaths(kinds.get(FULL), kinds.get(EVEN), kinds.get(ODD))
        for name, kinds in sorted(series.items())
    }
    by_name = {kind_of[tomogram.path][1]: tomogram for tomogram in listed}
    return FoundTomograms(found, (), ListFile(path, by_name, path.suffix.lower() == TABLE))


def match_files(folder: Path, series: Iterable[str], suffixes: tuple[str, ...]) -> MatchedFiles:
    """Match the files of a folder, such as masks, with tilt series by their names.

    Parameters
    ----------
    folder : Path
        The folder.
    series : iterable of str
        Names of the tilt series.
    suffixes : tuple of str
        Suffixes of the files.

    Raises
    ------
    SpisonetError
        If the folder contains no file of any of the tilt series, or two of one.
    """
    if not folder.is_dir():
        raise SpisonetError(f"{folder} is not a folder.")
    names, found, left_out = list(series), dict[str, Path](), list[LeftOut]()
    others = []
    for path in sorted(folder.iterdir()):
        name = series_name(path)
        if path.name.startswith(".") or not path.is_file():
            continue
        if path.suffix.lower() not in suffixes:
            others.append(LeftOut(path, "not an MRC file"))
        elif name not in names:
            left_out.append(LeftOut(path, "its name is that of no tomogram"))
        elif name in found:
            raise _same_series(found[name], path)
        else:
            found[name] = path
    if not found:
        raise files_of_none(folder, "file that is named after a tomogram", names, [*left_out, *others])
    return MatchedFiles(found, tuple(left_out), tuple(name for name in names if name not in found))


def files_of_none(path: Path, what: str, names: list[str], files: Collection[LeftOut]) -> SpisonetError:
    """Return the error that a folder, or a file, has no files of tilt series; `what` are the files."""
    reasons = enumerated([f"{item.path.name} ({item.reason})" for item in files])
    if path.is_file():
        has = f": {next(iter(files)).reason}" if files else ""
    else:
        has = f", but {reasons}" if files else ", and is empty"
    return SpisonetError(f"{path} contains no {what}{has}; names such as {enumerated(names)} are expected.")


def enumerated(words: list[str]) -> str:
    """Return the first words as text, and the number of others."""
    others = len(words) - MAX_SHOWN
    return ", ".join(words[:MAX_SHOWN]) + (f" and {others} others" if others > 0 else "")


@dataclass(frozen=True)
class _Folders:
    """Folders to search: with both kinds of tomograms, with full ones, and pairs of even and odd."""

    mixed: list[Path]
    full: list[Path]
    halves: list[tuple[Path, Path]]

    @property
    def used(self) -> set[Path]:
        """Resolved paths of all folders."""
        return {real_path(folder) for folder in (*self.mixed, *self.full, *chain(*self.halves))}


def _reconstructions_of_warp(folder: Path, left_out: list[LeftOut]) -> Path | None:
    """Return the folder of the tomograms of a Warp project; None for a folder of another kind.

    The folder may be that of the project, of its processed tilt series or of its ``.tomostar`` files.

    Raises
    ------
    SpisonetError
        If the project has several folders of tomograms, or none.
    """
    if not folder.is_dir() or _mrc_files(folder):
        return None
    entries = sorted(folder.iterdir())
    places = [path for path in (folder, *entries) if _has_reconstructions(path)]
    is_of_tomostar = any(path.suffix.lower() == TOMOSTAR for path in entries)
    if not places and is_of_tomostar:
        project = real_path(folder).parent
        places = [path for path in (project, *sorted(project.iterdir())) if _has_reconstructions(path)]
    if len(places) > 1:
        raise SpisonetError(
            f"{folder} belongs to a Warp project with several folders of tomograms, "
            f"{' and '.join(str(place / RECONSTRUCTIONS) for place in places)}; give one of them."
        )
    if not places and is_of_tomostar:
        raise SpisonetError(
            f"{folder} contains tilt series of Warp ({TOMOSTAR}), but its project has no folder "
            f"{RECONSTRUCTIONS}; reconstruct them (WarpTools ts_reconstruct), or give a folder of tomograms."
        )
    if not places:
        return None
    found = places[0] / RECONSTRUCTIONS
    inner = [path for path in _subfolders(places[0], {real_path(found)}) if path != places[0]]
    left_out += [LeftOut(path, f"the tomograms in {found} are used") for path in inner]
    return found


def _has_reconstructions(folder: Path) -> bool:
    inner = folder / RECONSTRUCTIONS
    return inner.is_dir() and bool(_mrc_files(inner) or _subfolders(inner, ()))


def _search(
    mixed: Path | None, full: Path | None, halves: list[tuple[Path, Path]], left_out: list[LeftOut]
) -> _Folders:
    """Look for folders of halves and of full tomograms in the mixed folder, unless halves are given."""
    given = _Folders([mixed] if mixed else [], [full] if full else [], halves)
    if mixed is None or halves:
        return given
    inner = [folder for folder in _subfolders(mixed, given.used) if _sorted_out(folder)[0]]
    pairs = pairs_of_halves(inner)
    own, others = _sorted_out(mixed)
    if not pairs or own:
        return replace(given, halves=pairs)
    found = _Folders([], [*given.full, *(path for path in inner if FULL in words_of(path))], pairs)
    reason = "folders of even and odd tomograms beside it are used"
    left_out += [*others, *(LeftOut(path, reason) for path in _subfolders(mixed, found.used))]
    return found


def _volumes(folder: Path, left_out: list[LeftOut], used: Collection[Path]) -> list[Path]:
    """Return the volumes of a folder or else of its subfolders; whatever is not used is added to `left_out`.

    Subfolders whose resolved paths are in `used` are searched on their own.
    """
    if not folder.is_dir():
        raise SpisonetError(f"{folder} is not a folder.")
    found, others = _sorted_out(folder)
    inner = _subfolders(folder, used)
    if found:
        others += [LeftOut(path, "the tomograms beside it are used") for path in inner]
    else:  # IMOD keeps each tilt series in its own folder.
        for volumes, rest in map(_sorted_out, inner):
            found += volumes
            others += rest
    left_out += others
    if not found:
        convertible = [item for item in others if item.path.suffix.lower() in OTHER_FORMATS]
        if convertible:
            raise SpisonetError(
                f"{folder} contains no tomograms but {convertible[0].path.name}, {convertible[0].reason}."
            )
        besides = f" besides {', '.join(item.path.name for item in others)}" if others else ""
        raise SpisonetError(f"{folder} contains no tomograms ({', '.join(VOLUME_SUFFIXES)}){besides}.")
    return found


def _sorted_out(folder: Path) -> tuple[list[Path], list[LeftOut]]:
    """Return the volumes in a folder itself, and its other MRC files."""
    found, others = [], []
    for path in _mrc_files(folder):
        if path.name.startswith("."):
            others.append(LeftOut(path, "hidden files, such as those of macOS, are not tomograms"))
        elif path.suffix.lower() in STACK_SUFFIXES or STACK_WORDS & set(words_of(path)):
            others.append(LeftOut(path, "a stack of tilt images"))
        elif "mask" in words_of(path):
            others.append(LeftOut(path, "a mask"))
        elif _is_image(path):
            others.append(LeftOut(path, "a 2D image"))
        else:
            found.append(path)
    stacks = _stacks_beside_volumes(found)
    others += stacks
    found = [path for path in found if path not in {item.path for item in stacks}]
    for path in _files(folder, tuple(OTHER_FORMATS)):
        kind = OTHER_FORMATS[path.suffix.lower()]
        others.append(LeftOut(path, f"{kind}; {conversion_by_eman2(path)}"))
    return found, others


def _stacks_beside_volumes(files: list[Path]) -> list[LeftOut]:
    """Return the stacks of AreTomo and of IMOD's steps among files, unless their header says volume.

    The stack of a tilt series whose volume is there is one whatever its header says.
    """
    volumes = [path for path in files if ARETOMO_WORD in words_of(path)]
    own, names = ({series_name(path) for path in paths} for paths in (volumes, files))
    found = []
    for path in files:
        name, stem = series_name(path), stem_of(path)
        is_unnamed = bool(volumes) and not {ARETOMO_WORD, REC_WORD} & _words(path)
        is_step = STEP.search(stem) and series_name(path.with_name(STEP.sub("", stem))) in names - {name}
        if is_unnamed and (name in own or not _may_be_volume(path)):
            reason = "appears to be a stack of images of AreTomo, whose volumes have Vol in their names"
            found.append(LeftOut(path, reason))
        elif is_step and not _may_be_volume(path):
            found.append(LeftOut(path, "appears to be a stack of images of a step of IMOD"))
    return found


def _is_image(path: Path) -> bool:
    """Whether the header is that of a single image."""
    header = _header(path, version_of(path))
    return header is not None and min(header.shape) < 2


def _may_be_volume(path: Path) -> bool:
    """Whether the header says volume, or cannot be read."""
    header = _header(path, version_of(path))
    return header is None or header.is_volume


@lru_cache(maxsize=4096)
def _header(path: Path, _: str) -> MrcFile | None:
    """Read a header once; None for damaged files, which are named when they are opened."""
    try:
        return open_mrc(path)
    except SpisonetError:
        return None


def _subfolders(folder: Path, used: Collection[Path]) -> list[Path]:
    """Return the subfolders that contain MRC files and whose resolved paths are not in `used`."""
    return [
        path
        for path in (sorted(folder.iterdir()) if folder.is_dir() else [])
        if not path.name.startswith(".")
        and real_path(path) not in used
        and any(not file.name.startswith(".") for file in _mrc_files(path))
    ]


def _mrc_files(folder: Path) -> list[Path]:
    """Return the MRC files of a folder; none if it is not a folder."""
    return _files(folder, (*VOLUME_SUFFIXES, *STACK_SUFFIXES))


def _files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in entries if path.suffix.lower() in suffixes and path.is_file()]


def _one_for_each(paths: list[Path], left_out: list[LeftOut]) -> list[Path]:
    """Keep one volume of each tilt series: those of AreTomo and IMOD before stacks and processed files."""
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        groups[series_name(path)].append(path)
    kept = []
    for group in groups.values():
        first, *others = sorted(group, key=_preference)
        if others and _preference(first) == _preference(others[0]):
            raise _same_series(first, others[0])
        left_out += [LeftOut(path, f"{first.name} is used for this tilt series") for path in others]
        kept.append(first)
    return kept


def _preference(path: Path) -> int:
    """Return the order in which volumes of the same tilt series are preferred."""
    words = _words(path)
    if words & {"ctf", "2nd"}:  # power spectra and the second volume of AreTomo
        return 5
    if words & PROCESSED_WORDS:
        return 4
    if ARETOMO_WORD in words:
        return 0
    if REC_WORD in words:  # trimmed and rotated unless "full"
        return 2 if "full" in words else 1
    return 3


def _words(path: Path) -> set[str]:
    """Return the words of a file name; the suffix of IMOD's tomograms counts as one."""
    is_rec = Path(path.name.lower().removesuffix(".gz").removesuffix(".bz2")).suffix == f".{REC_WORD}"
    return {*words_of(path), *([REC_WORD] if is_rec else [])}


def _kinds_in_one_folder(files: list[Path]) -> dict[Path, tuple[str, str]]:
    """Return kind and tilt series of each file: without a counterpart, a file is a full tomogram."""
    kinds = {path: (FULL, series_name(path)) for path in files}
    for group in _groups(files, half_candidates).values():
        if group[EVEN] and group[ODD]:
            kinds |= {path: (kind, _name_of_half(path)) for kind in (EVEN, ODD) for path in group[kind]}
    rest = [path for path in files if kinds[path][0] == FULL]
    for key, group in _groups(rest, glued_half_candidates).items():
        if len(group[EVEN]) == len(group[ODD]) == 1:
            kinds |= {
                group[kind][0]: (kind, series_name_of_glued(group[kind][0], key)) for kind in (EVEN, ODD)
            }
    return kinds


def _groups(
    files: list[Path], candidates: Callable[[Path], list[tuple[str, str]]]
) -> dict[str, dict[str, list[Path]]]:
    """Group files by the name without the word of the half, and by half."""
    groups: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for path in files:
        for kind, key in candidates(path):
            groups[key][kind].append(path)
    return groups


def _pairs_of_folders(even: list[Path], odd: list[Path]) -> tuple[list[tuple[Path, Path]], set[Path]]:
    """Pair the files of two folders by name, or else all by order; return also those paired by order."""
    pairs: list[tuple[Path, Path]] = []
    for keys_of in (_exact_keys, _series_keys, _glued_keys):
        keys = {kind: _unique_keys(paths, keys_of) for kind, paths in ((EVEN, even), (ODD, odd))}
        for key, path in keys[EVEN].items():
            other = keys[ODD].get(key)
            if other in odd and path in even:
                pairs.append((path, other))
                even, odd = [p for p in even if p != path], [p for p in odd if p != other]
    if (pairs and (even or odd)) or len(even) != len(odd):
        single = [*even, *odd] if pairs else even if len(even) > len(odd) else odd
        raise SpisonetError(f"The other half is missing for {', '.join(map(str, single))}.")
    even, odd = (sorted(paths, key=_natural_order) for paths in (even, odd))
    _require_equal_numbers(even, odd)
    return sorted([*pairs, *zip(even, odd, strict=True)]), set(even)


def _natural_order(path: Path) -> list[tuple[str, int]]:
    """Return a key that sorts names such as a2 and a10 by their numbers."""
    return [(text, int(number or 0)) for text, number in re.findall(r"(\D*)(\d*)", path.name)]


def _require_equal_numbers(even: list[Path], odd: list[Path]) -> None:
    """Refuse pairs whose names count the tilt series and give different numbers.

    Raises
    ------
    SpisonetError
        If none of the numbers that differ among the even names is that of the odd name in all pairs.
    """
    numbers = [[[int(n) for n in re.findall(r"\d+", path.stem)] for path in half] for half in (even, odd)]
    if len({len(found) for found in (*numbers[0], *numbers[1])}) != 1:
        return
    counting = [place for place, values in enumerate(zip(*numbers[0], strict=True)) if len(set(values)) > 1]
    pairs = list(zip(*numbers, strict=True))
    if not counting or any(all(a[place] == b[place] for a, b in pairs) for place in counting):
        return
    differs = next(n for n, (a, b) in enumerate(pairs) if any(a[place] != b[place] for place in counting))
    raise SpisonetError(
        f"{even[differs]} and {odd[differs]} would be paired by the order of their names, but their numbers "
        "differ; rename the halves of a tomogram alike."
    )


def _exact_keys(path: Path) -> list[str]:
    return [path.name, *(key for _, key in half_candidates(path))]


def _series_keys(path: Path) -> list[str]:
    return [series_name(path)]


def _glued_keys(path: Path) -> list[str]:
    return [key for _, key in glued_half_candidates(path)]


def _unique_keys(paths: list[Path], keys_of: Callable[[Path], list[str]]) -> dict[str, Path]:
    pairs = [(key, path) for path in paths for key in dict.fromkeys(keys_of(path))]
    counts = Counter(key for key, _ in pairs)
    return {key: path for key, path in pairs if counts[key] == 1}


def _name_of_half(path: Path) -> str:
    """Return the name of the tilt series; that of the folder for files that are called only even and odd."""
    is_bare = any(key == PLACE for _, key in half_candidates(path))
    return real_path(path).parent.name if is_bare else series_name(path)


def _name_of_halves(even: Path, odd: Path) -> str:
    """Return the name of the tilt series of two files of different folders."""
    glued = set() if half_candidates(even) else {*_glued_keys(even)} & {*_glued_keys(odd)}
    if glued and even.name != odd.name:
        return series_name_of_glued(even, min(glued))
    return series_name(even)


def _enter(series: dict[str, dict[str, Path]], name: str, paths: dict[str, Path]) -> None:
    for kind, path in paths.items():
        if kind in series[name]:
            raise _same_series(series[name][kind], path)
        series[name][kind] = path


def _same_series(first: Path, second: Path) -> SpisonetError:
    halves = [path for path in (first, second) if half_candidates(path)]
    if len(halves) == 1:
        other = second if halves[0] == first else first
        return SpisonetError(
            f"The other half is missing for {halves[0]}, beside {other}; add it, or move this half to "
            "another folder."
        )
    return SpisonetError(
        f"{first} and {second} appear to belong to the same tilt series; move one of them to another "
        "folder, or rename it."
    )
