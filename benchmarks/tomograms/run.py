"""Correct simulated tomograms with known truth by several methods, and score the results.

    python benchmarks/tomograms/run.py --models FOLDER --out FOLDER [--cases ...] [--methods ...]

The folder of models contains the coordinates named in ``simulate.py`` (PDB entries). Needs gemmi.
Alternatively, ``--scene FOLDER`` gives ``truth.mrc``, ``even.mrc``, ``odd.mrc`` and ``full.mrc`` of another
simulation. Prints a Markdown table. Every score is written to scores.json as soon as it is available;
repeating the command continues a stopped run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import mrcfile
import numpy as np
from score import SCORES, score
from simulate import VOXEL_SIZE, Case, simulate

CASES = {
    "seed1": Case(1),
    "seed2": Case(2),
    "defocus": Case(1, defocus_micrometre=3.0),
}
SUBVOLUMES = 800  # per epoch
NETWORK = ("--filter_base", "16", "--cube_size", "32", "--n_subvolume", str(SUBVOLUMES))
SINGLE = ("--method", "isonet2", "--input_column", "rlnTomoName")
NOISE = ("--noise_level", "0.05,0.1,0.15,0.2")
# Name: command, and epochs.
METHODS: dict[str, tuple[str, tuple[str, ...], int]] = {
    "even/odd": ("refine", (), 4),
    "even/odd, longer": ("refine", (), 10),
    "single": ("refine", SINGLE, 4),
    "single, noise added": ("refine", (*SINGLE, *NOISE, "--noise_start_iter", "2,3,3,4"), 4),
    "single, deconvolved": ("refine", ("--method", "isonet2"), 4),
    "IsoNet 0.2 chain": ("extract", (*NOISE, "--noise_start_iter", "11,16,21,26"), 1),
    "denoise": ("denoise", (), 4),
    "CTF phase_only": ("refine", ("--CTF_mode", "phase_only"), 4),
    "CTF wiener": ("refine", ("--CTF_mode", "wiener"), 4),
    "CTF network": ("refine", ("--CTF_mode", "network"), 4),
}
DEFAULT = {
    "seed1": ("even/odd", "even/odd, longer", "single", "single, noise added", "IsoNet 0.2 chain", "denoise"),
    "seed2": ("even/odd",),
    "defocus": ("even/odd", "single, deconvolved", "CTF phase_only", "CTF wiener", "CTF network"),
}
N_ROTATIONS = (0, 6)  # rotated copies to average predictions over
ITERATIONS = 30


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path)
    parser.add_argument("--scene", type=Path, help="folder of another simulation, instead of --cases")
    parser.add_argument("--defocus", type=float, default=0.0, help="of the scene, in µm")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--methods", nargs="*", choices=METHODS, help="[default: a choice for each case]")
    args = parser.parse_args()
    record = args.out / "scores.json"
    rows = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else []
    done = {(row["case"], row["method"]) for row in rows}
    for name in [args.scene.name] if args.scene else args.cases:
        folder = args.out / name
        truth = _scene(args, name, folder)
        if (name, "input") not in done:
            rows.append(
                {"case": name, "method": "input", "seconds": 0.0} | _score(folder / "full/t.mrc", truth)
            )
        for method in args.methods or DEFAULT.get(name, ("even/odd",)):
            if (name, method) in done:
                continue
            start = time.perf_counter()
            model = _train(method, folder)
            trained = time.perf_counter() - start
            for n_rotations in N_ROTATIONS:
                start = time.perf_counter()
                output = folder / f"out_{method}_{n_rotations}".replace(" ", "_").replace("/", "_").replace(
                    ",", ""
                )
                _isonet(
                    folder,
                    "predict",
                    "tomograms.star",
                    str(model),
                    "--output_dir",
                    str(output),
                    "--turns",
                    str(n_rotations),
                )
                seconds = trained + time.perf_counter() - start
                label = f"{method}, {n_rotations} rotations" if n_rotations else method
                rows.append(
                    {"case": name, "method": label, "seconds": seconds}
                    | _score(output / "corrected_t.mrc", truth)
                )
                print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
            record.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print(table(rows))


def _scene(args: argparse.Namespace, name: str, folder: Path) -> np.ndarray:
    """Write a project folder with even, odd and full tomograms; return the truth."""
    if (folder / "truth.npy").is_file():
        return np.load(folder / "truth.npy")
    folder.mkdir(parents=True, exist_ok=True)
    if args.scene:
        for kind in ("even", "odd", "full"):
            (folder / kind).mkdir(exist_ok=True)
            shutil.copyfile(args.scene / f"{kind}.mrc", folder / kind / "t.mrc")
        truth = mrcfile.read(args.scene / "truth.mrc")
        defocus = args.defocus
    else:
        truth = simulate(CASES[name], args.models, folder)
        defocus = CASES[name].defocus_micrometre
    folders = ("--full", "full", "--even", "even", "--odd", "odd")
    _isonet(folder, "prepare_star", *folders, "--defocus", str(1e4 * defocus), "--ac", "0.07")
    if defocus:
        _isonet(folder, "deconv", "tomograms.star")
    np.save(folder / "truth.npy", truth)
    return truth


def _train(method: str, folder: Path) -> Path:
    command, options, epochs = METHODS[method]
    output = f"train_{method}".replace(" ", "_").replace("/", "_").replace(",", "")
    table = "tomograms.star"
    length_options: tuple[str, ...] = ("--epochs", str(epochs))
    network = NETWORK
    if command == "extract":
        _isonet(folder, "extract", table, "--cube_size", "32", "--input_column", "rlnTomoName")
        command, table, length_options = (
            "refine",
            "subtomo.star",
            (*length_options, "--iterations", str(ITERATIONS)),
        )
        network = (*NETWORK[:4], "--n_subvolume", str(4 * SUBVOLUMES // ITERATIONS))
    common = ("--output_dir", output, "--with_predict", "False", "--preview", "False")
    _isonet(folder, command, table, *network, *length_options, *options, *common)
    return Path(output) / "network.safetensors"


def _isonet(folder: Path, *arguments: str) -> None:
    program = Path(sys.executable).parent / "isonet.py"
    subprocess.run([str(program), *arguments], check=True, cwd=folder, stdout=subprocess.DEVNULL)


def _score(path: Path, truth: np.ndarray) -> dict[str, float]:
    return score(mrcfile.read(path), truth, VOXEL_SIZE, 60.0)


def table(rows: list[dict]) -> str:
    """Return a Markdown table with a row per case and method."""
    lines = [f"| case | method | {' | '.join(SCORES)} | s |", "|---" * (len(SCORES) + 3) + "|"]
    for row in rows:
        figures = " | ".join(f"{row[name]:.3f}" for name in SCORES)
        lines.append(f"| {row['case']} | {row['method']} | {figures} | {row['seconds']:.0f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
