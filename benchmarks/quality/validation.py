"""Accuracy of a validation: held-out recovery against true recovery, uncertainty against error.

    python benchmarks/quality/validation.py --models FOLDER --out FOLDER [--without_network] [--only 0 1 2]

Simulates four particles with several view distributions, corrects and validates each with the commands, and
compares with the truth. Every case writes a JSON file; repeating the command continues a stopped run. Prints
a Markdown table, the correlation of held-out with true recovery, and the calibration of the uncertainty.
Needs gemmi.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

sys.path.append(str(Path(__file__).parents[2]))  # the checkout
from scipy import stats

from benchmarks.quality.score import HARDLY_MEASURED, score
from benchmarks.quality.scoring import COARSEST_ANGSTROM, MIN_COEFFICIENTS
from benchmarks.quality.simulate import Case, Simulated, simulate
from benchmarks.quality.simulated_methods import fourier_weights
from spisonet.anisotropy.preparation import correction_band, prepare_measurement
from spisonet.fourier.grids import half_from_centred, irfft3, rfft3, shell_index_rfft
from spisonet.fourier.windows import soft_lowpass_weights
from spisonet.io.mrc import Volume, read_volume, write_volume
from spisonet.validation.held_out import (
    MEASURED,
    MeasuredDirections,
    compare_in_region,
    default_half_angle_degrees,
    mask_out_cone,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.learning.measurement import Measurement

PARTICLES = (
    Case("hemagglutinin", "hemagglutinin_1rvx_trimer.pdb", 48, 3.4, 8.5),
    Case("apoferritin", "apoferritin_7a4m.cif", 48, 3.2, 8.0),
    Case("30S ribosome", "ribosome30s_4v4r.pdb", 48, 5.2, 13.0, tilt=40),
    Case("beta-galactosidase", "betagal_8bk7.cif", 48, 4.3, 11.0, tilt=30),
)
# Even views leave nothing to recover; noisier top views are used instead.
CASES = (
    *(replace(case, views=views) for views in ("top", "side", "two") for case in PARTICLES),
    *(replace(case, views="top", peak=100.0) for case in PARTICLES),
)
ANGLES = (20, 30, 45, 60)
WORST_FRACTION = 0.1


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", type=int, help="numbers of cases [default: all]")
    parser.add_argument("--epochs", type=int, default=3, help="of the correction, and of its cones together")
    parser.add_argument("--subvolumes", type=int, default=200, help="per epoch")
    parser.add_argument("--cones", type=int, default=3)
    parser.add_argument("--ncpus", type=int, default=2)
    parser.add_argument(
        "--without_network",
        action="store_true",
        help="data, mask and positivity only; cones of several widths",
    )
    args = parser.parse_args()
    name = "constrained.json" if args.without_network else "result.json"
    numbers = range(len(CASES)) if args.only is None else args.only
    for number in numbers:
        folder = args.out / f"case{number:02d}"
        if not (folder / name).is_file():
            folder.mkdir(parents=True, exist_ok=True)
            start = time.perf_counter()
            examine = complete_by_constraints if args.without_network else correct_and_validate
            row = examine(CASES[number], folder, args)
            row["seconds"] = time.perf_counter() - start
            (folder / name).write_text(json.dumps(asdict(CASES[number]) | row, indent=1), "utf-8")
            print(json.dumps(row), flush=True)
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(args.out.glob(f"case*/{name}"))]
    print(constrained_summary(rows) if args.without_network else summary(rows))


def correct_and_validate(case: Case, folder: Path, args: argparse.Namespace) -> dict[str, float]:
    """Correct and validate a simulated case; return the estimates of the validation and the true values."""
    simulated = simulate(case, args.models, seed=1)
    for name in ("half1", "half2", "mask"):
        write_volume(folder / f"{name}.mrc", Volume(getattr(simulated, name), case.voxel_size))
    out, script = folder / "out", str(Path(sys.executable).parent / "spisonet.py")
    threads = ("--ncpus", str(args.ncpus))
    correct = [
        *(script, "reconstruct", str(folder / "half1.mrc"), str(folder / "half2.mrc")),
        *("--mask", str(folder / "mask.mrc"), "--limit_res", str(case.resolution), "--filter_base", "8"),
        *(
            "--cube_size",
            "32",
            "--epochs",
            str(args.epochs),
            "--n_subvolume",
            str(args.subvolumes),
            "--no-report",
        ),
        *("--output_dir", str(out), *threads),
    ]
    subprocess.run(correct, check=True, stdout=subprocess.DEVNULL)
    arguments = ("--cones", str(args.cones), *threads)
    subprocess.run([script, "validate", str(out), *arguments], check=True, stdout=subprocess.DEVNULL)
    return compare(case, simulated, out)


def complete_by_constraints(case: Case, folder: Path, args: argparse.Namespace) -> dict[str, float]:
    """Complete a case without a network, as a whole and with held-out cones of several widths."""
    torch.set_num_threads(args.ncpus)
    simulated = simulate(case, args.models, seed=1)
    weights = fourier_weights(case, simulated)
    halves = [simulated.half1, simulated.half2]
    band = correction_band(weights, case.limit_shell)
    measured, scales = prepare_measurement(halves, weights, band, simulated.mask, torch.device("cpu"), True)
    half1 = replace(measured, data=measured.data[:1])

    def completed(measurement: Measurement) -> NDArray[np.float32]:
        return measurement.complete_by_constraints()[0].numpy()

    weight = measured.data_weight_rfft.numpy()
    first, second = (rfft3(half) for half in measured.data.numpy())
    directions = MeasuredDirections.of(weight, case.limit_shell)
    row = {"true": recovery(scales[0].restore(completed(half1)), simulated, case)}
    row |= {"true_before": recovery(simulated.half1, simulated, case), "gap": directions.largest_gap_degrees}
    for name, angle in {
        **{str(angle): angle for angle in ANGLES},
        "default": default_half_angle_degrees(directions),
    }.items():
        agreements = [
            compare_in_region(
                rfft3(completed(mask_out_cone(half1, inside))),
                first,
                second,
                inside & (weight > MEASURED),
                cone.first_shell,
            )
            for cone in directions.cones(3, angle)
            for inside in [cone.inside_rfft(case.box)]
        ]
        row[f"held_out_{name}"] = sum(agreements[1:], agreements[0]).recovery
    return row


def constrained_summary(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table of recovery without a network, and its correlation with held-out recovery."""
    names = [f"held_out_{angle}" for angle in (*ANGLES, "default")]
    shown = ("gap", "true_before", "true", *names)
    lines = ["| case | views | peak | " + " | ".join(shown) + " |", "|---" * (len(shown) + 3) + "|"]
    for row in rows:
        values = " | ".join(f"{row[name]:.0f}" if name == "gap" else f"{row[name]:.3f}" for name in shown)
        lines.append(f"| {row['name']} | {row['views']} | {row['peak']:g} | {values} |")
    true = np.array([row["true"] for row in rows])
    for name in names if len(rows) > 2 else ():
        held = np.array([row[name] for row in rows])
        correlation, ranks = stats.pearsonr(held, true).statistic, stats.spearmanr(held, true).statistic
        lines.append(
            f"{name}: Pearson {correlation:.2f}, Spearman {ranks:.2f}, held-out minus true recovery "
            f"{(held - true).mean():+.3f} on average."
        )
    return "\n".join(lines)


def compare(case: Case, simulated: Simulated, out: Path) -> dict[str, float]:
    """Compare a validated run with the truth."""
    found = json.loads((out / "validation" / "validation.json").read_text(encoding="utf-8"))
    corrected = read_volume(out / "corrected_half1_filtered.mrc").data
    uncertainty = read_volume(out / "validation" / "uncertainty.mrc").data
    before, after = (
        score(volume, simulated, case.voxel_size, case.resolution) for volume in (simulated.half1, corrected)
    )
    error = residual(corrected, simulated, case)
    inside = simulated.mask > 0.5
    return {
        "held_out": found["recovery"],
        "held_out_without_network": found["recovery_without_network"],
        "true": recovery(corrected, simulated, case),
        "true_before": recovery(simulated.half1, simulated, case),
        "blank": after["blank"],
        "blank_before": before["blank"],
        "worst": after["worst"],
        "auc": worst_tenth_auc(uncertainty[inside], error[inside]),
        "auc_of_density": worst_tenth_auc(np.abs(corrected - np.median(corrected))[inside], error[inside]),
        "rms_error": float(np.sqrt((error[inside] ** 2).mean())),
        "rms_uncertainty": float(np.sqrt((uncertainty[inside] ** 2).mean())),
    }


def recovery(volume: NDArray[np.float32], simulated: Simulated, case: Case) -> float:
    """Return the mean FSC to the truth over hardly measured coefficients; NaN if there are too few.

    No mask is applied, as in held-out cones, because it would leak signal into the region.
    """
    n = case.box
    shell = shell_index_rfft((n, n, n))
    first, last = max(4, int(n * case.voxel_size / COARSEST_ANGSTROM)), int(case.limit_shell)
    ssnr = half_from_centred(simulated.ssnr)
    blank = (ssnr / (1 + ssnr) < HARDLY_MEASURED) & (shell >= first) & (shell <= last)
    a, b, index = (array[blank] for array in (rfft3(volume), rfft3(simulated.truth), shell))
    cross, power1, power2 = (
        np.bincount(index, values, n) for values in ((a * b.conj()).real, np.abs(a) ** 2, np.abs(b) ** 2)
    )
    enough = np.bincount(index, minlength=n) >= MIN_COEFFICIENTS
    if enough.sum() < (last - first) / 2:
        return float("nan")
    return float((cross[enough] / np.sqrt(power1[enough] * power2[enough] + 1e-20)).mean())


def residual(corrected: NDArray[np.float32], simulated: Simulated, case: Case) -> NDArray[np.float32]:
    """Return the difference from the truth up to the resolution, scaled by the well-sampled coefficients."""
    n = case.box
    truth = rfft3(simulated.truth) * soft_lowpass_weights(n, case.limit_shell - 0.5, 0.5)
    found = rfft3(corrected)
    sampled = (half_from_centred(simulated.ssnr) > 3) & (shell_index_rfft((n, n, n)) > 1)
    scale = np.real(np.vdot(truth[sampled], found[sampled])) / np.linalg.norm(truth[sampled]) ** 2
    difference = found - scale * truth
    difference[0, 0, 0] = 0
    return irfft3(difference.astype(np.complex64), corrected.shape)


def worst_tenth_auc(predicted: NDArray[np.float32], error: NDArray[np.float32]) -> float:
    """Return the area under the ROC curve of the prediction for the 10 % of voxels with the largest error."""
    size = np.abs(error)
    worst = size >= np.quantile(size, 1 - WORST_FRACTION)
    statistic = stats.mannwhitneyu(predicted[worst], predicted[~worst]).statistic
    return float(statistic / (worst.sum() * (~worst).sum()))


def summary(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table of all cases, and statistics over them."""
    names = (
        *("held_out", "held_out_without_network", "true_before", "true", "blank_before", "blank"),
        *("auc", "auc_of_density", "rms_error", "rms_uncertainty", "seconds"),
    )
    lines = ["| case | views | peak | " + " | ".join(names) + " |", "|---" * (len(names) + 3) + "|"]
    lines += [
        f"| {row['name']} | {row['views']} | {row['peak']:g} | "
        + " | ".join(f"{row[name]:.3f}" for name in names)
        + " |"
        for row in rows
    ]
    pairs = np.array(
        [(row["held_out"], row["true"], row["blank"]) for row in rows if row["true"] == row["true"]]
    )
    if len(pairs) > 2:
        lines += [
            "",
            f"Held-out against true recovery, {len(pairs)} cases: Pearson "
            f"{stats.pearsonr(pairs[:, 0], pairs[:, 1]).statistic:.2f}, Spearman "
            f"{stats.spearmanr(pairs[:, 0], pairs[:, 1]).statistic:.2f}; against blank, in the mask, "
            f"Pearson {stats.pearsonr(pairs[:, 0], pairs[:, 2]).statistic:.2f}.",
        ]
    auc = [row["auc"] for row in rows]
    lines.append(f"AUC of the uncertainty: mean {np.mean(auc):.3f}, lowest {min(auc):.3f}.")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
