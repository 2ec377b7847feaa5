"""Correct half maps of simulated particles with known truth by several methods, and score the results.

    python -m benchmarks.quality.run --models MODELS --maps MAPS --cases CASES --out OUT [--profile cpu|gpu]

The folders of models and maps contain the files named in ``profiles.py``. Cases are made once, by
``relion_project`` and ``relion_reconstruct``, and kept in the folder of cases. Needs RELION and gemmi. Every
score is written to scores.json as soon as it is available; repeating the command continues a stopped run.
Writes tables.md and scores.png, and prints the tables.

The profile ``cpu`` takes less than 40 minutes on two cores: eleven cases, one seed, and small networks.
``gpu`` has all particles, views, noise levels, pose errors, drifts and symmetries, the default settings of
the programs, and three seeds. Half maps that follow a signal-to-noise law are in ``run_simulated.py``.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # the checkout
from benchmarks.quality.methods import METHODS
from benchmarks.quality.plots import plot_scores
from benchmarks.quality.profiles import PROFILES
from benchmarks.quality.suite import Result, Sources, run_suite, with_seeds
from benchmarks.quality.tables import case_table, summary_table
from spisonet.errors import SpisonetError
from spisonet.figures.style import save_figure


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder of the atomic models")
    parser.add_argument("--maps", type=Path, default=Path("maps"), help="folder of the maps")
    parser.add_argument("--cases", type=Path, required=True, help="folder of the cases")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--profile", choices=PROFILES, default="cpu")
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=list(METHODS))
    parser.add_argument("--only", nargs="*", help="parts of the names of cases [default: all cases]")
    parser.add_argument("--seeds", nargs="*", type=int, help="[default: the profile's]")
    parser.add_argument("--subvolumes", type=int, help="training subvolumes in all [default: the profile's]")
    parser.add_argument("--training_seed", type=int, default=0, help="random seed of the trainings")
    parser.add_argument("--make_only", action="store_true", help="make the cases, and correct nothing")
    parser.add_argument("--keep_maps", action="store_true", help="write the corrected maps")
    args = parser.parse_args(arguments)
    profile = PROFILES[args.profile]
    specs = with_seeds(profile.cases, args.seeds or profile.seeds)
    if args.only:
        specs = [spec for spec in specs if any(part in spec.name for part in args.only)]
    training = replace(profile.training, seed=args.training_seed)
    if args.subvolumes:
        training = replace(training, subvolumes_per_epoch=max(1, args.subvolumes // training.epochs))
    sources = Sources(args.models, args.maps, args.cases)
    failures = 0

    def report(event: Result | SpisonetError) -> None:
        nonlocal failures
        failures += isinstance(event, SpisonetError)
        print(event, file=sys.stderr, flush=True)

    try:
        if args.make_only:
            for spec in specs:
                print(sources.case(spec).name, flush=True)
            return 0
        results = run_suite(specs, args.methods, training, sources, args.out, report, args.keep_maps)
    except SpisonetError as error:
        print(error, file=sys.stderr)
        return 1
    tables = f"{case_table(results)}\n\n{summary_table(results)}"
    (args.out / "tables.md").write_text(tables + "\n", encoding="utf-8")
    save_figure(args.out / "scores.png", plot_scores(results))
    print(tables)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
