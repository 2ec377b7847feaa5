"""Recovery of unmeasured directions against CPU time: starts and methods side by side.

    python -m benchmarks.quality.recovery_against_time --cases CASES --json OUT.json [--only haemoglobin ...]

CASES is a folder of cases that ``run.py`` made. Each start corrects every case with trainings of several
lengths, on one thread; a row of the table is one whole correction, from the half maps in memory to the
corrected full map, without figures and report. ``published`` is one training that is scored at several
lengths. Results are written to the JSON file as soon as they are available; repeating the command
continues a stopped run. Prints the times after which a start first exceeds the final recovery of the
baseline.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import torch

import spisonet
from benchmarks.quality.cases import Case, load_case
from benchmarks.quality.published import published_measurement, published_trainer, recombine_published
from benchmarks.quality.scoring import EMPTY, score_map
from spisonet.io.atomic import write_json
from spisonet.io.processors import BFLOAT16_INSTRUCTIONS
from spisonet.learning import devices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

EPOCHS, CUBE_SIZE, WIDTH = 4, 32, 16
BASELINE, PUBLISHED = "random, float32", "published"


@dataclass(frozen=True)
class Start:
    """How a training starts, its precision, and the lengths that are measured.

    Attributes
    ----------
    name : str
        Name in the table.
    options : dict
        Options of `spisonet.reconstruct`.
    bfloat16 : bool
        Whether convolutions may run in bf16.
    n_subvolumes : tuple of int
        Training subvolumes in all.
    """

    name: str
    options: dict[str, Any]
    bfloat16: bool
    n_subvolumes: tuple[int, ...]


STARTS = (
    Start(BASELINE, {"filter_base": WIDTH}, bfloat16=False, n_subvolumes=(400,)),
    Start("random", {"filter_base": WIDTH}, bfloat16=True, n_subvolumes=(400, 200)),
    Start("pretrained", {"pretrained": "default"}, bfloat16=True, n_subvolumes=(0, 48, 100, 200)),
)
PUBLISHED_SUBVOLUMES = 200


@dataclass(frozen=True)
class Point:
    """Scores of a corrected full map.

    Attributes
    ----------
    case, start : str
        Names.
    n_subvolumes : int
        Training subvolumes in all.
    cpu_seconds : float
        CPU time of the correction.
    empty, ccmask : float
        See `MapScore`; `empty` is NaN where a case has no such directions.
    """

    case: str
    start: str
    n_subvolumes: int
    cpu_seconds: float
    empty: float
    ccmask: float

    @classmethod
    def scored(
        cls, case: Case, start: str, n_subvolumes: int, cpu_seconds: float, full: NDArray[np.float32]
    ) -> Point:
        """Score a full map."""
        score = score_map(case, full)
        return cls(case.folder.name, start, n_subvolumes, cpu_seconds, score.fsc[EMPTY], score.ccmask)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=Path, required=True, help="folder of the cases")
    parser.add_argument("--json", type=Path, required=True, help="file for the results")
    parser.add_argument("--only", nargs="*", help="parts of the names of cases [default: all cases]")
    parser.add_argument("--starts", nargs="*", default=[*(start.name for start in STARTS), PUBLISHED])
    args = parser.parse_args()
    torch.set_num_threads(1)
    devices.keep_freed_memory()
    folders = sorted(path.parent for path in args.cases.glob("*/case.json"))
    parts = args.only or [""]
    cases = [load_case(folder) for part in parts for folder in folders if part in folder.name]
    points: list[Point] = []
    if args.json.is_file():
        rows = json.loads(args.json.read_text(encoding="utf-8"))
        points = [Point(**{**row, "empty": math.nan} if row["empty"] is None else row) for row in rows]

    def record(point: Point) -> None:
        print(point, file=sys.stderr, flush=True)
        points.append(point)
        rows = [asdict(p) for p in points]
        write_json(
            args.json, [{**row, **({"empty": None} if math.isnan(row["empty"]) else {})} for row in rows]
        )

    for case in cases:
        for start in STARTS:
            for n_subvolumes in start.n_subvolumes:
                done = {(p.case, p.start, p.n_subvolumes) for p in points}
                if start.name in args.starts and (case.folder.name, start.name, n_subvolumes) not in done:
                    record(correct(case, start, n_subvolumes))
    for case in cases if PUBLISHED in args.starts else []:
        if (case.folder.name, PUBLISHED) not in {(p.case, p.start) for p in points}:
            for point in published(case):
                record(point)
    print(time_table(points))


def correct(case: Case, start: Start, n_subvolumes: int) -> Point:
    """Correct a case from one start with a training of one length."""
    halves = [case.folder / f"half{number}.mrc" for number in (1, 2)]
    epochs = EPOCHS if n_subvolumes else 0
    instructions = BFLOAT16_INSTRUCTIONS if start.bfloat16 else frozenset()
    begin = time.process_time()
    with patch.object(devices, "BFLOAT16_INSTRUCTIONS", instructions):
        result = spisonet.reconstruct(
            halves[0],
            halves[1],
            case.folder / "mask.mrc",
            limit_resolution_angstrom=case.resolution_angstrom,
            epochs=epochs,
            threads=1,
            n_subvolume=max(1, n_subvolumes // EPOCHS),
            cube_size=CUBE_SIZE,
            **start.options,
        )
    seconds = time.process_time() - begin
    assert result.full_map is not None
    return Point.scored(case, start.name, n_subvolumes, seconds, np.asarray(result.full_map.data))


def published(case: Case) -> Iterator[Point]:
    """Train the published objective, and score the mean of the corrected half maps after every epoch.

    The CPU time of a point is that of the training to it and of its own prediction.
    """
    begin = time.process_time()
    device, halves = torch.device("cpu"), [case.half1, case.half2]
    measurement = published_measurement(
        halves, case.mask, case.voxel_size_angstrom, case.resolution_angstrom, device
    )
    n_epochs = 2
    per_epoch = PUBLISHED_SUBVOLUMES // n_epochs
    trainer = published_trainer(measurement, device, n_epochs, per_epoch, WIDTH, CUBE_SIZE)
    limit_shell = case.box * case.voxel_size_angstrom / case.resolution_angstrom
    points: list[Point] = []
    seconds_of_scores = 0.0

    def score() -> None:
        nonlocal seconds_of_scores
        start = time.process_time()
        predictions = trainer.predict(measurement.data).numpy()
        corrected = [
            recombine_published(prediction, half, case.mask, limit_shell)
            for prediction, half in zip(predictions, halves, strict=True)
        ]
        seconds = time.process_time() - begin - seconds_of_scores
        n_subvolumes = per_epoch * (len(points) + 1)
        points.append(Point.scored(case, PUBLISHED, n_subvolumes, seconds, np.mean(corrected, axis=0)))
        seconds_of_scores += time.process_time() - start

    trainer.train(PUBLISHED, None, resume=False, after_epoch=score)
    yield from points


def time_table(points: Sequence[Point]) -> str:
    """Return Markdown tables: all points, and the times to the final recovery of the baseline."""
    lines = ["| case | start | subvolumes | CPU time | empty | ccmask |", "|---|---|---|---|---|---|"]
    for point in sorted(points, key=lambda p: (p.case, p.start, p.n_subvolumes)):
        lines.append(
            f"| {point.case} | {point.start} | {point.n_subvolumes} | {point.cpu_seconds:.0f} s "
            f"| {point.empty:.3f} | {point.ccmask:.3f} |"
        )
    lines += ["", "| case | score | baseline | start | reached after | sooner |", "|---|---|---|---|---|---|"]
    scores: dict[str, Callable[[Point], float]] = {"empty": lambda p: p.empty, "ccmask": lambda p: p.ccmask}
    for case in sorted({point.case for point in points}):
        own = [point for point in points if point.case == case]
        goals = [point for point in own if point.start == BASELINE]
        if not goals:
            continue
        goal = max(goals, key=lambda p: p.n_subvolumes)
        for start in sorted({point.start for point in own}):
            for name, score in scores.items():
                times = [p.cpu_seconds for p in own if p.start == start and score(p) >= score(goal)]
                reached = (
                    f"{min(times):.0f} s | {goal.cpu_seconds / min(times):.1f} times" if times else "no | -"
                )
                target = f"{score(goal):.3f} ({goal.cpu_seconds:.0f} s)"
                lines.append(f"| {case} | {name} | {target} | {start} | {reached} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
