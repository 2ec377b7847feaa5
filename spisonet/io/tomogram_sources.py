"""Tomograms in folders: full, even and odd volumes of each tilt series, and the files that accompany them."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.io.series_names import EVEN, ODD, PLACE, half_candidates, pair_of_halves, series_name, words_of
from spisonet.io.tomograms import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

STACK_SUFFIXES = (".st", ".ali", ".preali")
VOLUME_SUFFIXES = tuple(suffix for suffix in SUFFIXES if suffix not in STACK_SUFFIXES)
STACK_WORDS = {"ali", "preali"}
OTHER_HALF = {EVEN: ODD, ODD: EVEN}
FULL = "full"


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
    """

    series: Mapping[str, TomogramPaths]
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True)
class MatchedFiles:
    """Files of a folder, such as masks, by tilt series.

    Attributes
    ----------
    by_series : dict
        File by name of the tilt series.
    left_out : tuple of LeftOut
        Files of no tilt series.
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
    are the halves of a tomogram. In two folders they may also have the same name; the remaining files of two
    folders are paired in the order of their names, as by IsoNet2.

    Parameters
    ----------
    mixed : Path or None
        Folder of full tomograms, in which even and odd tomograms may be as well; or of a folder for each
        tilt series, or for each half.
    full, even, odd : Path or None
        Folders of tomograms of one kind.

    Raises
    ------
    SpisonetError
        If a folder contains no tomograms, two files belong to the same tomogram, or a half is missing.
    """
    left_out: list[LeftOut] = []
    series: dict[str, dict[str, Path]] = defaultdict(dict)
    by_order: set[Path] = set()
    if even is not None and odd is not None:
        halves = {
            kind: _one_for_each(_volumes(f, left_out), left_out) for kind, f in ((EVEN, even), (ODD, odd))
        }
        pairs, by_order = _pairs_of_folders(halves[EVEN], halves[ODD])
        for even_path, odd_path in pairs:
            _enter(series, series_name(even_path), {EVEN: even_path, ODD: odd_path})
    for path in [] if full is None else _one_for_each(_volumes(full, left_out), left_out):
        _enter(series, series_name(path), {FULL: path})
    if mixed is not None:
        folders = sorted(path for path in mixed.iterdir() if path.is_dir()) if mixed.is_dir() else []
        even_folder, odd_folder = pair_of_halves(folders)
        if even_folder is not None and odd_folder is not None and not _mrc_files(mixed):
            return find_tomograms(None, full, even_folder, odd_folder)
        files = _volumes(mixed, left_out)
        kinds = _kinds_in_one_folder(files)
        for kind in (EVEN, ODD, FULL):
            for path in _one_for_each([path for path in files if kinds[path] == kind], left_out):
                _enter(series, _name_of_pair(path, kind), {kind: path})
    found = {
        name: TomogramPaths(kinds.get(FULL), kinds.get(EVEN), kinds.get(ODD))
        for name, kinds in sorted(series.items())
    }
    single = [str(p.even or p.odd) for p in found.values() if (p.even is None) != (p.odd is None)]
    if single:
        raise SpisonetError(f"The other half is missing for {', '.join(single)}.")
    found = {name: replace(paths, by_order=paths.even in by_order) for name, paths in found.items()}
    return FoundTomograms(found, tuple(sorted(left_out, key=lambda item: item.path)))


def match_files(folder: Path, series: Iterable[str], suffixes: tuple[str, ...] = ()) -> MatchedFiles:
    """Match the files of a folder, such as masks or coordinates, with tilt series by their names.

    Parameters
    ----------
    folder : Path
        The folder.
    series : iterable of str
        Names of the tilt series.
    suffixes : tuple of str
        Suffixes of the files; all if empty.

    Raises
    ------
    SpisonetError
        If the folder contains no file of any of the tilt series, or two of one.
    """
    if not folder.is_dir():
        raise SpisonetError(f"{folder} is not a folder.")
    names, found, left_out = list(series), dict[str, Path](), list[LeftOut]()
    for path in sorted(folder.iterdir()):
        name = series_name(path)
        if (
            path.name.startswith(".")
            or not path.is_file()
            or (suffixes and path.suffix.lower() not in suffixes)
        ):
            continue
        if name not in names:
            left_out.append(LeftOut(path, "its name is that of no tomogram"))
        elif name in found:
            raise _same_series(found[name], path)
        else:
            found[name] = path
    if not found:
        raise SpisonetError(f"{folder} contains no file that is named after a tomogram.")
    return MatchedFiles(found, tuple(left_out), tuple(name for name in names if name not in found))


def _volumes(folder: Path, left_out: list[LeftOut]) -> list[Path]:
    """Return the volumes of a folder; the other MRC files are added to `left_out`."""
    if not folder.is_dir():
        raise SpisonetError(f"{folder} is not a folder.")
    found = []
    # IMOD keeps each tilt series in its own folder.
    for path in _mrc_files(folder) or [
        path for inner in sorted(folder.iterdir()) for path in _mrc_files(inner)
    ]:
        if path.name.startswith("."):
            left_out.append(LeftOut(path, "hidden files, such as those of macOS, are not tomograms"))
        elif path.suffix.lower() in STACK_SUFFIXES or STACK_WORDS & set(words_of(path)):
            left_out.append(LeftOut(path, "a stack of tilt images"))
        elif "mask" in words_of(path):
            left_out.append(LeftOut(path, "a mask"))
        else:
            found.append(path)
    if not found:
        others = f" besides {', '.join(i.path.name for i in left_out)}" if left_out else ""
        raise SpisonetError(f"{folder} contains no tomograms ({', '.join(VOLUME_SUFFIXES)}){others}.")
    return found


def _mrc_files(folder: Path) -> list[Path]:
    """Return the MRC files of a folder; none if it is not a folder."""
    suffixes = (*VOLUME_SUFFIXES, *STACK_SUFFIXES)
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in entries if path.suffix.lower() in suffixes and path.is_file()]


def _one_for_each(paths: list[Path], left_out: list[LeftOut]) -> list[Path]:
    """Keep one volume of each tilt series: those of AreTomo and IMOD before stacks and intermediate files."""
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
    words = set(words_of(path))
    if words & {"ctf", "2nd"}:  # power spectra and the second volume of AreTomo
        return 4
    if "vol" in words:  # of AreTomo, beside the stack of the same name
        return 0
    if "rec" in words:  # of IMOD, trimmed and rotated unless "full"
        return 2 if "full" in words else 1
    return 3


def _kinds_in_one_folder(files: list[Path]) -> dict[Path, str]:
    """Recognise halves by their counterparts; without counterpart a file is a full tomogram."""
    by_key: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for path in files:
        for kind, key in half_candidates(path):
            by_key[key][kind].append(path)
    kinds = dict.fromkeys(files, FULL)
    for group in by_key.values():
        if group[EVEN] and group[ODD]:
            kinds |= {path: kind for kind in (EVEN, ODD) for path in group[kind]}
    return kinds


def _pairs_of_folders(even: list[Path], odd: list[Path]) -> tuple[list[tuple[Path, Path]], set[Path]]:
    """Pair the files of two folders by name, and the rest by order; return also those paired by order."""
    pairs: list[tuple[Path, Path]] = []
    for keys_of in (_exact_keys, _series_keys):
        keys = {kind: _unique_keys(paths, keys_of) for kind, paths in ((EVEN, even), (ODD, odd))}
        for key, path in keys[EVEN].items():
            other = keys[ODD].get(key)
            if other in odd and path in even:
                pairs.append((path, other))
                even, odd = [p for p in even if p != path], [p for p in odd if p != other]
    if len(even) != len(odd):
        single = even if len(even) > len(odd) else odd
        raise SpisonetError(f"The other half is missing for {', '.join(map(str, single))}.")
    return sorted([*pairs, *zip(even, odd, strict=True)]), set(even)


def _exact_keys(path: Path) -> list[str]:
    return [path.name, *(key for _, key in half_candidates(path))]


def _series_keys(path: Path) -> list[str]:
    return [series_name(path)]


def _unique_keys(paths: list[Path], keys_of: Callable[[Path], list[str]]) -> dict[str, Path]:
    pairs = [(key, path) for path in paths for key in dict.fromkeys(keys_of(path))]
    counts = Counter(key for key, _ in pairs)
    return {key: path for key, path in pairs if counts[key] == 1}


def _name_of_pair(path: Path, kind: str) -> str:
    """Return the name of the tilt series; that of the folder for files that are called only even and odd."""
    is_bare = kind != FULL and any(key == PLACE for _, key in half_candidates(path))
    return path.resolve().parent.name if is_bare else series_name(path)


def _enter(series: dict[str, dict[str, Path]], name: str, paths: dict[str, Path]) -> None:
    for kind, path in paths.items():
        if kind in series[name]:
            raise _same_series(series[name][kind], path)
        series[name][kind] = path


def _same_series(first: Path, second: Path) -> SpisonetError:
    return SpisonetError(
        f"{first} and {second} appear to belong to the same tilt series; rename one of them."
    )
