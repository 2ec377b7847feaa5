"""Run methods on cases, and record their scores."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from benchmarks.quality.cases import make_case
from benchmarks.quality.methods import METHODS
from benchmarks.quality.scoring import score_map
from spisonet.errors import SpisonetError
from spisonet.io.atomic import write_json
from spisonet.io.mrc import Volume, write_volume

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from benchmarks.quality.cases import Case, CaseSpec
    from benchmarks.quality.methods import CorrectedMaps, Method, Training

HALF, FULL = KINDS = ("half", "full")
RECORD = "scores.json"


@dataclass(frozen=True)
class Result:
    """Scores of a map that a method made of a case.

    Attributes
    ----------
    case : str
        Name of the case.
    method : str
        Name of the method.
    kind : str
        ``half`` (half map 1) or ``full`` (full map, or the mean of the half maps).
    n_subvolumes : int
        Training subvolumes in all; 0 for methods without a network.
    seconds : float
        Time of the method for all maps of the case.
    scores : dict
        Scores by name, see `MapScore.record`; NaN where a case has no such directions.
    """

    case: str
    method: str
    kind: str
    n_subvolumes: int
    seconds: float
    scores: dict[str, float]

    @property
    def identity(self) -> tuple[str, str, int]:
        """What identifies the run of a method on a case."""
        return self.case, self.method, self.n_subvolumes


@dataclass(frozen=True)
class Sources:
    """Folders of a run.

    Attributes
    ----------
    models, maps : Path
        Atomic models and maps that cases are made of.
    cases : Path
        Cases; those that are missing are made.
    """

    models: Path
    maps: Path
    cases: Path

    def case(self, spec: CaseSpec) -> Case:
        """Return a case, made if necessary."""
        return make_case(spec, self.cases, self.models, self.maps)


def with_seeds(specs: Iterable[CaseSpec], seeds: Sequence[int]) -> list[CaseSpec]:
    """Return every case with every seed."""
    return [replace(spec, seed=seed) for spec in specs for seed in seeds]


def run_suite(
    specs: Sequence[CaseSpec],
    methods: Sequence[str],
    training: Training,
    sources: Sources,
    out: Path,
    report: Callable[[Result | SpisonetError], None] = lambda _: None,
    keep_maps: bool = False,
) -> list[Result]:
    """Run methods on cases; results that are recorded in the folder are not computed again.

    Parameters
    ----------
    specs : sequence
        The cases.
    methods : sequence of str
        Names of methods in `METHODS`.
    training : Training
        Length of the trainings.
    sources : Sources
        Folders of models, maps and cases.
    out : Path
        Folder of the record ``scores.json``, written after every method, and of the methods' files.
    report : callable
        Called with every new result, and with the error of a method that failed; the run continues.
    keep_maps : bool
        Write the corrected maps to ``out/<case>/maps``.

    Returns
    -------
    list of Result
        Results of these cases, methods and trainings, also of earlier runs.

    Raises
    ------
    SpisonetError
        If a method is unknown or a case cannot be made.
    """
    chosen = [_method(name) for name in methods]
    out.mkdir(parents=True, exist_ok=True)
    results = read_results(out / RECORD)
    done = {result.identity for result in results}
    wanted = []
    for spec in specs:
        case = None
        for method in chosen:
            n_subvolumes = training.n_subvolumes if method.trains else 0
            wanted.append((spec.name, method.name, n_subvolumes))
            if wanted[-1] in done:
                continue
            case = case or sources.case(spec)
            start = time.perf_counter()
            try:
                maps = method.correct(case, training, out / spec.name)
            except SpisonetError as error:
                report(error)
                continue
            seconds = time.perf_counter() - start if maps.seconds is None else maps.seconds
            if keep_maps:
                _write_maps(out / spec.name / "maps", method.name, maps, case)
            for kind, volume in ((HALF, maps.half1), (FULL, maps.full_or_mean)):
                scores = score_map(case, volume).record()
                results.append(Result(spec.name, method.name, kind, n_subvolumes, seconds, scores))
                report(results[-1])
            write_results(out / RECORD, results)
    found = sorted(
        (result for result in results if result.identity in set(wanted)),
        key=lambda result: wanted.index(result.identity),
    )
    return found


def read_results(path: Path) -> list[Result]:
    """Read recorded results; none if there is no file.

    Raises
    ------
    SpisonetError
        If the file is not a record of this version.
    """
    if not path.is_file():
        return []
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return [
            Result(**{**row, "scores": {k: math.nan if v is None else v for k, v in row["scores"].items()}})
            for row in rows
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise SpisonetError(f"{path} is not a record of this benchmark; delete it or use --out.") from error


def write_results(path: Path, results: Iterable[Result]) -> None:
    """Write results to a JSON file; NaN becomes null."""
    rows = [asdict(result) for result in results]
    for row in rows:
        row["scores"] = {k: None if math.isnan(v) else v for k, v in row["scores"].items()}
    write_json(path, rows)


def _method(name: str) -> Method:
    if name not in METHODS:
        raise SpisonetError(f"The method {name} is unknown; use {', '.join(METHODS)}.", field="methods")
    return METHODS[name]


def _write_maps(folder: Path, name: str, maps: CorrectedMaps, case: Case) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for kind, volume in (("half1", maps.half1), ("half2", maps.half2), ("full", maps.full_or_mean)):
        write_volume(folder / f"{name}_{kind}.mrc", Volume(volume, case.voxel_size_angstrom))
