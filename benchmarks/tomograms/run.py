"""Correct simulated tomograms with known truth by several methods, and score the results.

    python benchmarks/tomograms/run.py --models FOLDER --out FOLDER [--cases ...] [--methods ...]

The folder of models contains the coordinates named in ``simulate.py`` (PDB entries). Needs gemmi.
Alternatively, ``--scene FOLDER`` gives ``truth.mrc``, ``even.mrc``, ``odd.mrc`` and ``full.mrc`` of another
simulation. Prints a Markdown table. Every score is written to scores.json as soon as it is available;
repeating the command continues a stopped run.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import mrcfile
import numpy as np
from published_objective import train_published
from score import SCORES, score
from simulate import VOXEL_SIZE, Case, simulate

from spisonet.tomography.training_config import RefineConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

CASES = {
    "seed1": Case(1),
    "seed2": Case(2),
    "seed2, signal 1.5": Case(2, snr=0.75),
    "seed3": Case(3),
    "seed4, -50 to 66": Case(4, tilt_range_degrees=(-50.0, 66.0)),
    "seed5, thick": Case(5, shape=(80, 128, 128), n_molecules=66),
    "-50 to 66": Case(1, tilt_range_degrees=(-50.0, 66.0)),
    "45": Case(1, tilt_range_degrees=(-45.0, 45.0)),
    "steps of 5": Case(1, tilt_step_degrees=5.0),
    "thick": Case(1, shape=(80, 128, 128), n_molecules=66),
    "defocus": Case(1, defocus_micrometre=3.0),
}
SUBVOLUMES = 800  # per epoch
NETWORK = ("--filter_base", "16", "--cube_size", "32", "--n_subvolume", str(SUBVOLUMES))
# As many voxels in larger subvolumes: 237 of 48³, 100 of 64³ or 51 of 80³ for 800 of 32³.
LARGE, LARGER, LARGEST = (
    ("--cube_size", str(edge), "--n_subvolume", str(round(SUBVOLUMES * (32 / edge) ** 3)))
    for edge in (48, 64, 80)
)
WIDTH_32 = ("--filter_base", "32")
SINGLE = ("--method", "isonet2", "--input_column", "rlnTomoName")
PRETRAINED, ONE_NETWORK = ("--pretrained", "default"), ("--denoise_epochs", "0")
NOISE = ("--noise_level", "0.05,0.1,0.15,0.2")
# Name: command, and epochs.
METHODS: dict[str, tuple[str, tuple[str, ...], int]] = {
    "even/odd, shortest": ("refine", (), 1),
    "even/odd, shorter": ("refine", (), 2),
    "even/odd": ("refine", (), 4),
    "even/odd, longer": ("refine", (), 10),
    "one network": ("refine", ONE_NETWORK, 4),
    "one network, longer": ("refine", ONE_NETWORK, 10),
    "pretrained only": ("refine", PRETRAINED, 0),
    "pretrained, shortest": ("refine", PRETRAINED, 1),
    "pretrained, shortest, rate 5e-4": ("refine", (*PRETRAINED, "--learning_rate", "5e-4"), 1),
    "pretrained, shorter": ("refine", PRETRAINED, 2),
    "pretrained": ("refine", PRETRAINED, 4),
    "pretrained, longer": ("refine", PRETRAINED, 10),
    "48³, shortest": ("refine", LARGE, 1),
    "48³, shorter": ("refine", LARGE, 2),
    "48³, longer": ("refine", LARGE, 10),
    "48³, longest": ("refine", LARGE, 20),
    "64³, longer": ("refine", LARGER, 10),
    "64³, width 32, longer": ("refine", (*LARGER, *WIDTH_32), 10),
    "80³, longer": ("refine", LARGEST, 10),
    "48³, width 32, longer": ("refine", (*LARGE, *WIDTH_32), 10),
    "48³, one network, longer": ("refine", (*LARGE, *ONE_NETWORK), 10),
    "pretrained, 48³, shortest": ("refine", (*PRETRAINED, *LARGE), 1),
    "pretrained, 48³, shorter": ("refine", (*PRETRAINED, *LARGE), 2),
    "pretrained, 48³": ("refine", (*PRETRAINED, *LARGE), 4),
    "pretrained, 48³, longer": ("refine", (*PRETRAINED, *LARGE), 10),
    "pretrained, 64³, longer": ("refine", (*PRETRAINED, *LARGER), 10),
    "single": ("refine", SINGLE, 4),
    "single, batches of 4": ("refine", (*SINGLE, "--batch_size", "4"), 4),
    "single, noise added": ("refine", (*SINGLE, *NOISE, "--noise_start_iter", "2,3,3,4"), 4),
    "single, deconvolved": ("refine", ("--method", "isonet2"), 4),
    "IsoNet 0.2 chain": ("extract", (*NOISE, "--noise_start_iter", "11,16,21,26"), 1),
    "IsoNet2's objective, shorter": ("published", (), 2),
    "IsoNet2's objective": ("published", (), 4),
    "IsoNet2's objective, longer": ("published", (), 10),
    "denoise": ("denoise", (), 4),
    "48³, CTF network, longer": ("refine", (*LARGE, "--CTF_mode", "network"), 10),
    "CTF phase_only": ("refine", ("--CTF_mode", "phase_only"), 4),
    "CTF wiener": ("refine", ("--CTF_mode", "wiener"), 4),
    "CTF network": ("refine", ("--CTF_mode", "network"), 4),
    "CTF network, one network": ("refine", ("--CTF_mode", "network", *ONE_NETWORK), 4),
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
    parser.add_argument("--scene", type=Path, help="folder of another simulation (±60°), instead of --cases")
    parser.add_argument("--defocus", type=float, default=0.0, help="of the scene, in µm")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--methods", nargs="*", choices=METHODS, help="[default: a choice for each case]")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0], help="of the trainings")
    parser.add_argument("--turns", nargs="*", type=int, default=list(N_ROTATIONS), help="rotated copies")
    args = parser.parse_args()
    record = args.out / "scores.json"
    rows = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else []
    for name in [args.scene.name] if args.scene else args.cases:
        if args.scene:
            folder, truth = copied_scene(args.scene, args.defocus, args.out)
        else:
            folder, truth = prepared_scene(name, args.models, args.out)
        tilt_range = (-60.0, 60.0) if args.scene else CASES[name].tilt_range_degrees
        done = {(row["case"], row["method"], row["seed"]) for row in rows}
        if (name, "input", 0) not in done:
            unchanged = score(mrcfile.read(folder / "full/t.mrc"), truth, VOXEL_SIZE, tilt_range)
            rows.append({"case": name, "method": "input", "seed": 0, "seconds": 0.0} | unchanged)
        for method, seed in itertools.product(args.methods or DEFAULT.get(name, ("even/odd",)), args.seeds):
            if (name, method, seed) not in done:
                found = correct(method, seed, folder, args.turns)
                rows += [
                    {"case": name, "method": label, "seed": seed, "seconds": seconds}
                    | score(mrcfile.read(path), truth, VOXEL_SIZE, tilt_range)
                    for label, seconds, path in found
                ]
                record.write_text(json.dumps(rows, indent=1), encoding="utf-8")
                print(json.dumps(rows[-len(found) :]), file=sys.stderr, flush=True)
    print(table(rows))


def correct(method: str, seed: int, folder: Path, turns: list[int]) -> list[tuple[str, float, Path]]:
    """Train and predict; return label, seconds and corrected tomogram for each number of rotations."""
    start = time.perf_counter()
    model = _train(method, folder, seed)
    trained, found = time.perf_counter() - start, []
    for n_rotations in turns:
        start = time.perf_counter()
        output = folder / _file_name(f"out_{method}_{seed}_{n_rotations}")
        options = ("--output_dir", str(output.relative_to(folder)), "--turns", str(n_rotations))
        isonet(folder, "predict", "tomograms.star", str(model), *options)
        label = f"{method}, {n_rotations} rotations" if n_rotations else method
        found.append((label, trained + time.perf_counter() - start, output / "corrected_t.mrc"))
    return found


def _file_name(text: str) -> str:
    return text.replace(" ", "_").replace("/", "_").replace(",", "").replace("'", "").replace("³", "")


def prepared_scene(name: str, models: Path, out: Path) -> tuple[Path, NDArray[np.float32]]:
    """Return the project folder of a case, simulated if it is not there, and its truth."""
    folder = out / name.replace(" ", "_").replace(",", "")
    if not (folder / "truth.npy").is_file():
        truth = simulate(CASES[name], models, folder)
        list_tomograms(folder, CASES[name])
        np.save(folder / "truth.npy", truth)
    return folder, np.load(folder / "truth.npy")


def copied_scene(scene: Path, defocus_micrometre: float, out: Path) -> tuple[Path, NDArray[np.float32]]:
    """Return the project folder of a scene of another simulation (±60°), and its truth."""
    folder = out / scene.name
    if not (folder / "truth.npy").is_file():
        for kind in ("even", "odd", "full"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(scene / f"{kind}.mrc", folder / kind / "t.mrc")
        list_tomograms(folder, Case(0, defocus_micrometre=defocus_micrometre))
        np.save(folder / "truth.npy", mrcfile.read(scene / "truth.mrc"))
    return folder, np.load(folder / "truth.npy")


def list_tomograms(folder: Path, case: Case) -> None:
    """Write the table of even, odd and full tomograms in a folder, and deconvolve them if there is a CTF."""
    lowest, highest = case.tilt_range_degrees
    tilts = ("--tilt_min", str(lowest), "--tilt_max", str(highest))
    defocus = ("--defocus", str(1e4 * case.defocus_micrometre), "--ac", "0.07")
    isonet(folder, "prepare_star", "--full", "full", "--even", "even", "--odd", "odd", *tilts, *defocus)
    if case.defocus_micrometre:
        isonet(folder, "deconv", "tomograms.star")


def _train(method: str, folder: Path, seed: int) -> Path:
    command, options, epochs = METHODS[method]
    output = _file_name(f"train_{method}_{seed}")
    table = "tomograms.star"
    length_options: tuple[str, ...] = ("--epochs", str(epochs))
    network = NETWORK
    if command == "published":
        with contextlib.chdir(folder):
            # Both halves of a pair are inputs, so that half the pairs are as many trained subvolumes.
            config = RefineConfig(
                star_file=Path(table),
                output_dir=Path(output),
                filter_base=16,
                cube_size=32,
                n_subvolume=SUBVOLUMES // 2,
                batch_size=2,
                epochs=epochs,
                seed=seed,
            )
            return train_published(config)
    if command == "extract":
        isonet(folder, "extract", table, "--cube_size", "32", "--input_column", "rlnTomoName")
        command, table, length_options = (
            "refine",
            "subtomo.star",
            (*length_options, "--iterations", str(ITERATIONS)),
        )
        network = (*NETWORK[:4], "--n_subvolume", str(4 * SUBVOLUMES // ITERATIONS))
    common = ("--seed", str(seed), "--output_dir", output, "--with_predict", "False", "--preview", "False")
    isonet(folder, command, table, *network, *length_options, *options, *common)
    return Path(output) / "network.safetensors"


def isonet(folder: Path, *arguments: str) -> None:
    """Run ``isonet.py`` in a folder."""
    program = Path(sys.executable).parent / "isonet.py"
    subprocess.run([str(program), *arguments], check=True, cwd=folder, stdout=subprocess.DEVNULL)


def table(rows: list[dict]) -> str:
    """Return a Markdown table with a row per case and method."""
    lines = [f"| case | method | seed | {' | '.join(SCORES)} | s |", "|---" * (len(SCORES) + 4) + "|"]
    for row in rows:
        figures = " | ".join(f"{row[name]:.3f}" for name in SCORES)
        lines.append(
            f"| {row['case']} | {row['method']} | {row['seed']} | {figures} | {row['seconds']:.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
