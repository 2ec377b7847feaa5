"""Correct half maps that follow a signal-to-noise law, with known truth, by several methods.

    python benchmarks/quality/run_simulated.py --models FOLDER --out FOLDER [--profile cpu|gpu] [...]

The folder of models contains the coordinates named in `SMALL` and `FINE` (PDB entries). Needs gemmi. Prints
Markdown tables with mean and standard deviation over the seeds. Every score is written to scores.json as soon
as it is available; repeating the command continues a stopped run. The methods are those of
``simulated_methods.py``. Half maps of particles are in ``run.py``.

The profile ``cpu`` takes less than 30 minutes on two cores: four particles with several view distributions
and noise levels. ``masks`` has the same cases with masks made from the half maps, as users make them.
``small`` has top views of all four particles and longer training. ``gpu`` has all particles, view
distributions and noise levels, at resolutions that resolve helices and strands.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parents[2]))  # the checkout
from benchmarks.quality.methods import Training
from benchmarks.quality.score import SCORES, score
from benchmarks.quality.simulate import Case, simulate
from benchmarks.quality.simulated_methods import METHODS, correct

# Resolutions at which a small network trains within minutes on a CPU.
SMALL = (
    Case("hemagglutinin", "hemagglutinin_1rvx_trimer.pdb", 64, 2.6, 6.5),
    Case("apoferritin", "apoferritin_7a4m.cif", 64, 2.4, 6.0),
    Case("30S ribosome", "ribosome30s_4v4r.pdb", 80, 3.2, 8.0, tilt=40),
    Case("beta-galactosidase", "betagal_8bk7.cif", 80, 2.6, 7.0, tilt=30),
)
# Resolutions that resolve helices and strands.
FINE = (
    Case("hemagglutinin", "hemagglutinin_1rvx_trimer.pdb", 96, 1.7, 4.2),
    Case("apoferritin", "apoferritin_7a4m.cif", 128, 1.4, 4.0),
    Case("30S ribosome", "ribosome30s_4v4r.pdb", 160, 1.9, 5.0, tilt=40),
    Case("beta-galactosidase", "betagal_8bk7.cif", 128, 1.7, 4.5, tilt=30),
)
VIEWS = ("top", "side", "two")
PEAKS = (100.0, 300.0, 1000.0)
DEFAULT_METHODS = ("input", "constraints", "published", "self-training")


@dataclass(frozen=True)
class Profile:
    """Cases of a run, and the length of its trainings."""

    cases: tuple[Case, ...]
    seeds: tuple[int, ...]
    training: Training


VARIED = (
    SMALL[0],
    replace(SMALL[1], views="two"),
    replace(SMALL[2], views="side", peak=100.0),
    replace(SMALL[3], peak=1000.0),
)
EPOCHS = 4
SHORT = Training(EPOCHS, 600 // EPOCHS, cube_size=32, filter_base=16, published_filter_base=16)
CPU = Profile(VARIED, seeds=(1, 2), training=SHORT)
PROFILES = {
    "cpu": CPU,
    "masks": replace(CPU, cases=tuple(replace(case, mask="user") for case in VARIED)),
    "small": Profile(SMALL, seeds=(1,), training=replace(SHORT, subvolumes_per_epoch=500)),
    "gpu": Profile(
        tuple(replace(c, views=v, peak=p) for c, v, p in itertools.product(FINE, VIEWS, PEAKS)),
        seeds=(1, 2, 3),
        training=Training(EPOCHS, 2000, published_filter_base=32),
    ),
}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--profile", choices=PROFILES, default="cpu")
    parser.add_argument("--cases", nargs="*", help="particles [default: all]")
    parser.add_argument("--views", nargs="*", choices=VIEWS, help="of the profile's cases [default: all]")
    parser.add_argument("--seeds", nargs="*", type=int, help="[default: the profile's]")
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=DEFAULT_METHODS)
    parser.add_argument("--subvolumes", type=int, help="training subvolumes in all [default: the profile's]")
    args = parser.parse_args()
    profile = PROFILES[args.profile]
    training = profile.training
    if args.subvolumes:
        training = replace(training, subvolumes_per_epoch=args.subvolumes // training.epochs)
    args.out.mkdir(parents=True, exist_ok=True)
    record = args.out / "scores.json"
    rows = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else []
    done = {identity(row) for row in rows}
    for case, seed in itertools.product(profile.cases, args.seeds or profile.seeds):
        if (args.cases and case.name not in args.cases) or (args.views and case.views not in args.views):
            continue
        simulated = None
        for method in args.methods:
            row = {"case": case.name, "views": case.views, "peak": case.peak, "seed": seed, "method": method}
            row |= {"box": case.box, "subvolumes": training.n_subvolumes, "mask": case.mask}
            if identity(row) in done:
                continue
            simulated = simulated or simulate(case, args.models, seed)
            folder = args.out / "_".join(map(str, asdict(case).values())).replace(" ", "_") / str(seed)
            start = time.perf_counter()
            corrected = correct(method, case, simulated, folder, training)
            row |= {"seconds": time.perf_counter() - start}
            rows.append(row | score(corrected, simulated, case.voxel_size, case.resolution))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
            record.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print(table(rows), gains(rows), sep="\n\n")


def identity(row: dict[str, Any]) -> tuple[Any, ...]:
    """Return the values that identify a run."""
    return *sample(row), row["method"], row["subvolumes"]


def sample(row: dict[str, Any]) -> tuple[Any, ...]:
    """Return the values that identify a pair of half maps."""
    return tuple(row[name] for name in ("case", "box", "views", "peak", "mask", "seed"))


def table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table: a row per case and method, mean and standard deviation over the seeds."""
    lines = [
        "| case | views | peak | mask | method | " + " | ".join(SCORES) + " | s |",
        "|---" * (len(SCORES) + 6) + "|",
    ]

    def key(row: dict[str, Any]) -> tuple[Any, ...]:
        case = row["case"], row["box"], row["views"], row["peak"], row["mask"]
        return *case, row["subvolumes"], METHODS.index(row["method"])

    for (case, _, views, peak, mask, n_subvolumes, method), group in itertools.groupby(
        sorted(rows, key=key), key=key
    ):
        runs = list(group)
        cells = []
        for name in SCORES:
            values = np.array([run[name] for run in runs])
            cells.append(f"{values.mean():.3f}" + (f" ± {values.std(ddof=1):.3f}" if len(runs) > 1 else ""))
        seconds = np.mean([run["seconds"] for run in runs])
        lines.append(
            f"| {case} | {views} | {peak:g} | {mask} | {method}, {n_subvolumes} subvolumes "
            f"| {' | '.join(cells)} | {seconds:.0f} |"
        )
    return "\n".join(lines)


def gains(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table: mean gain of each method over the input, and its worst scores."""
    lines = [
        "| method | runs | mean gain in blank | smallest | lowest change of sampled | power up to | s |",
        "|---|---|---|---|---|---|---|",
    ]
    inputs = {sample(row): row for row in rows if row["method"] == "input"}
    for method in METHODS:
        runs = [row for row in rows if row["method"] == method and sample(row) in inputs]
        if not runs:
            continue
        before = [inputs[sample(row)] for row in runs]
        blank = [a["blank"] - b["blank"] for a, b in zip(runs, before, strict=True)]
        sampled = [a["sampled"] - b["sampled"] for a, b in zip(runs, before, strict=True)]
        lines.append(
            f"| {method} | {len(runs)} | {np.mean(blank):.3f} | {min(blank):.3f} | {min(sampled):+.4f} | "
            f"{max(row['power'] for row in runs):.2f} | {np.mean([row['seconds'] for row in runs]):.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
