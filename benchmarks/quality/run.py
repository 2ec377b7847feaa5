"""Correct simulated maps whose truth is known, by several methods, and score the results.

    python benchmarks/quality/run.py --models FOLDER --out FOLDER [--profile small]

FOLDER of the models holds the coordinates named in `SMALL` and `FINE` (PDB entries). Needs gemmi. Prints a
Markdown table, mean and standard deviation over the seeds, and writes every figure to scores.json.
Methods: ``input``; ``projection``, the engine's repeated projection on data, mask and positivity
without a network; ``replay``, the default of ``reconstruct``; ``ei``, the three losses of spIsoNet with
our network and our way to keep what was measured.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from score import SCORES, score
from simulate import Case, Simulated, simulate

from spisonet.anisotropy.grey_scale import measure_grey_scale
from spisonet.anisotropy.inputs import HalfMaps
from spisonet.anisotropy.knowledge import known_from_halves
from spisonet.anisotropy.preparation import build_measurement, correction_band
from spisonet.anisotropy.recombination import recombine
from spisonet.io.mrc import Volume, read_volume, write_volume

# At these resolutions a small network learns within minutes on a CPU.
SMALL = (
    Case("hemagglutinin", "hemagglutinin_1rvx_trimer.pdb", 64, 2.6, 6.5),
    Case("apoferritin", "apoferritin_7a4m.cif", 64, 2.4, 6.0),
    Case("30S ribosome", "ribosome30s_4v4r.pdb", 80, 3.2, 8.0, tilt=40),
    Case("beta-galactosidase", "betagal_8bk7.cif", 80, 2.6, 7.0, tilt=30),
)
# At these, helices and strands show.
FINE = (
    Case("hemagglutinin", "hemagglutinin_1rvx_trimer.pdb", 96, 1.7, 4.2),
    Case("apoferritin", "apoferritin_7a4m.cif", 128, 1.4, 4.0),
    Case("30S ribosome", "ribosome30s_4v4r.pdb", 160, 1.9, 5.0, tilt=40),
    Case("beta-galactosidase", "betagal_8bk7.cif", 128, 1.7, 4.5, tilt=30),
)
VIEWS = ("top", "side", "two")
PEAKS = (100.0, 300.0, 1000.0)
METHODS = ("input", "projection", "replay", "ei")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--profile", choices=("small", "fine"), default="small")
    parser.add_argument("--cases", nargs="*", help="particles [default: all]")
    parser.add_argument("--views", nargs="*", choices=VIEWS, default=["top"])
    parser.add_argument("--peaks", nargs="*", type=float, default=[300.0], help=f"of {PEAKS}")
    parser.add_argument("--seeds", nargs="*", type=int, default=[1])
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=list(METHODS))
    parser.add_argument("--crops", type=int, default=2000)
    parser.add_argument("--filter_base", type=int, default=16)
    parser.add_argument("--cube_size", type=int, default=32)
    args = parser.parse_args()
    rows = []
    particles = SMALL if args.profile == "small" else FINE
    chosen = [case for case in particles if not args.cases or case.name in args.cases]
    for base, views, peak in itertools.product(chosen, args.views, args.peaks):
        case = replace(base, views=views, peak=peak)
        for seed in args.seeds:
            simulated = simulate(case, args.models, seed)
            folder = args.out / f"{case.name}_{views}_{peak:g}_{seed}".replace(" ", "_")
            write_inputs(folder, case, simulated)
            for method in args.methods:
                corrected, seconds = correct(method, folder, case, simulated, args)
                scores = score(corrected, simulated, case.voxel_size, case.resolution)
                rows.append(
                    {"case": case.name, "views": views, "peak": peak, "seed": seed, "method": method}
                    | {"seconds": seconds}
                    | scores
                )
                print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
                (args.out / "scores.json").write_text(json.dumps(rows, indent=1))
    print(table(rows))


def write_inputs(folder: Path, case: Case, simulated: Simulated) -> None:
    """Write what the commands read."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("half1", "half2", "mask"):
        path = folder / f"{name}.mrc"
        write_volume(path, Volume(getattr(simulated, name), case.voxel_size, name=str(path)))


def correct(
    method: str, folder: Path, case: Case, simulated: Simulated, args: argparse.Namespace
) -> tuple[np.ndarray, float]:
    """Return half map 1 as a method corrects it, and the seconds that took."""
    start = time.perf_counter()
    if method == "input":
        return simulated.half1, 0.0
    if method == "projection":
        return project(folder, case), time.perf_counter() - start
    command = [
        "spisonet.py",
        "reconstruct",
        *(str(folder / f"half{i}.mrc") for i in (1, 2)),
        "--mask",
        str(folder / "mask.mrc"),
        "--limit_res",
        str(case.resolution),
        "--objective",
        method,
        "--filter_base",
        str(args.filter_base),
        "--cube_size",
        str(args.cube_size),
        "--epochs",
        "4",
        "--n_subvolume",
        str(args.crops // 4),
        "--output_dir",
        str(folder / method),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return read_volume(folder / method / "corrected_half1.mrc").data, time.perf_counter() - start


def project(folder: Path, case: Case) -> np.ndarray:
    """Fill half map 1 by repeated projection, with the weight that ``reconstruct`` would use."""
    half1, half2, mask = (read_volume(folder / f"{name}.mrc") for name in ("half1", "half2", "mask"))
    threads = torch.get_num_threads()
    known = known_from_halves(HalfMaps(half1, half2, mask), None, case.resolution, threads)
    band = correction_band(known, case.box * case.voxel_size / case.resolution)
    scale = measure_grey_scale(half1.data, mask.data, band)
    measurement = build_measurement(
        [scale.normalise(half1.data)],
        known.weight_rfft,
        known.consistency_rfft,
        band,
        mask.data,
        torch.device("cpu"),
        positivity=True,
        noise_inside=known.noise_inside,
    )
    return recombine(measurement, measurement.weighted_data, [half1.data], [scale])[0].whole


def table(rows: list[dict]) -> str:
    """Markdown: a row for every case and method, mean and standard deviation over the seeds."""
    lines = [
        "| case | views | peak | method | " + " | ".join(SCORES) + " | s |",
        "|---" * (len(SCORES) + 5) + "|",
    ]
    for key, group in itertools.groupby(
        sorted(rows, key=lambda r: (r["case"], r["views"], r["peak"], METHODS.index(r["method"]))),
        key=lambda r: (r["case"], r["views"], r["peak"], r["method"]),
    ):
        runs = list(group)
        cells = []
        for name in SCORES:
            values = np.array([run[name] for run in runs])
            cells.append(f"{values.mean():.3f}" + (f" ± {values.std(ddof=1):.3f}" if len(runs) > 1 else ""))
        seconds = np.mean([run["seconds"] for run in runs])
        lines.append(
            f"| {key[0]} | {key[1]} | {key[2]:g} | {key[3]} | " + " | ".join(cells) + f" | {seconds:.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
