"""Accuracy of a validation: held-out recovery against true recovery, uncertainty against error.

    python benchmarks/quality/validation.py --models FOLDER --out FOLDER [--without_network] [--only 0 1 2]
    python benchmarks/quality/validation.py --particles FOLDER --out FOLDER [--only 0 1 2]

Simulates four particles with several view distributions, or takes the cases of the quality benchmark (half
maps that RELION reconstructs from particles) from the folder `--particles`. Corrects and validates each with
the commands, and compares with the truth. Every case writes a JSON file; repeating the command continues a
stopped run. Prints a Markdown table, the correlation of held-out with true recovery, the agreement of the
expected error with the true one by direction, and the calibration of the uncertainty. Needs gemmi.
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

from benchmarks.quality.cases import load_case
from benchmarks.quality.methods import Training, reconstruct_command
from benchmarks.quality.profiles import CPU_CASES
from benchmarks.quality.simulate import Case, simulate
from benchmarks.quality.simulated_methods import fourier_weights
from benchmarks.quality.trust import (
    KnownTruth,
    direction_agreement,
    recovery,
    recovery_in_mask,
    voxel_agreement,
)
from spisonet.anisotropy.preparation import correction_band, prepare_measurement
from spisonet.fourier.grids import half_from_centred, rfft3
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


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, help="folder of the atomic models")
    parser.add_argument("--particles", type=Path, help="folder of the quality benchmark's cases")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", type=int, help="numbers of cases [default: all]")
    parser.add_argument("--epochs", type=int, default=3, help="of the correction, and of its cones together")
    parser.add_argument("--subvolumes", type=int, default=200, help="per epoch")
    parser.add_argument("--width", type=int, default=8, help="of the networks")
    parser.add_argument(
        "--pretrained", action="store_true", help="start from the network of other structures"
    )
    parser.add_argument("--cones", type=int, default=3)
    parser.add_argument("--ncpus", type=int, default=2)
    parser.add_argument(
        "--without_network",
        action="store_true",
        help="data, mask and positivity only; cones of several widths",
    )
    args = parser.parse_args()
    if (args.models is None) == (args.particles is None):
        parser.error("give --models or --particles")
    if args.particles is not None and args.without_network:
        parser.error("--without_network needs --models")
    name = "constrained.json" if args.without_network else "result.json"
    n_cases = len(CASES if args.particles is None else CPU_CASES)
    for number in range(n_cases) if args.only is None else args.only:
        folder = args.out / f"case{number:02d}"
        if not (folder / name).is_file():
            folder.mkdir(parents=True, exist_ok=True)
            start = time.perf_counter()
            if args.particles is not None:
                row = validate_particles(number, folder, args)
            elif args.without_network:
                row = asdict(CASES[number]) | complete_by_constraints(CASES[number], folder, args)
            else:
                row = asdict(CASES[number]) | validate_simulated(CASES[number], folder, args)
            row["seconds"] = time.perf_counter() - start
            (folder / name).write_text(json.dumps(row, indent=1), "utf-8")
            print(json.dumps(row), flush=True)
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(args.out.glob(f"case*/{name}"))]
    print(constrained_summary(rows) if args.without_network else summary(rows))


def validate_simulated(case: Case, folder: Path, args: argparse.Namespace) -> dict[str, float]:
    """Correct and validate a simulated case; return the estimates of the validation and the true values."""
    simulated = simulate(case, args.models, seed=1)
    for name in ("half1", "half2", "mask"):
        write_volume(folder / f"{name}.mrc", Volume(getattr(simulated, name), case.voxel_size))
    known = KnownTruth.of_simulated(case, simulated)
    return correct_and_validate(known, folder, folder / "out", args)


def validate_particles(number: int, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Correct and validate a case of the quality benchmark, which must be in the folder of the cases."""
    case = load_case(args.particles / CPU_CASES[number].name)
    known = KnownTruth.of_case(case)
    return {"name": case.name} | correct_and_validate(known, case.folder, folder / "out", args)


def correct_and_validate(
    known: KnownTruth, inputs: Path, out: Path, args: argparse.Namespace
) -> dict[str, float]:
    """Correct and validate the half maps of a folder, unless that is done; compare with the truth."""
    if not (out / "job.json").is_file():
        training = Training(args.epochs, args.subvolumes, cube_size=32, filter_base=args.width)
        options = ("--ncpus", str(args.ncpus), *(("--pretrained", "default") if args.pretrained else ()))
        reconstruct_command(
            inputs, out, known.resolution_angstrom, training, options, width=not args.pretrained
        )
    if not (out / "validation" / "validation.json").is_file():
        script = str(Path(sys.executable).parent / "spisonet.py")
        options = ("--cones", str(args.cones), "--ncpus", str(args.ncpus))
        subprocess.run([script, "validate", str(out), *options], check=True, stdout=subprocess.DEVNULL)
    return compare(known, out)


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
    known = KnownTruth.of_simulated(case, simulated)
    row = {"true": recovery(scales[0].restore(completed(half1)), known)}
    row |= {"true_before": recovery(known.half1, known), "gap": directions.largest_gap_degrees}
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


def compare(known: KnownTruth, out: Path) -> dict[str, float]:
    """Compare a validated run with the truth; NaN for what it did not estimate."""
    validation = out / "validation"
    found = json.loads((validation / "validation.json").read_text(encoding="utf-8"))
    corrected = read_volume(out / "corrected_half1_filtered.mrc").data
    row = {
        "held_out": found["recovery"],
        "held_out_without_network": found["recovery_without_network"],
        "true": recovery(corrected, known),
        "true_before": recovery(known.half1, known),
        "blank": recovery_in_mask(corrected, known),
        "blank_before": recovery_in_mask(known.half1, known),
    }
    if (validation / "uncertainty.mrc").is_file():
        relative, weight = (
            half_from_centred(read_volume(path).data)
            for path in (validation / "uncertainty_fourier.mrc", out / "data_weight.mrc")
        )
        row |= voxel_agreement(corrected, read_volume(validation / "uncertainty.mrc").data, known)
        row |= direction_agreement(corrected, relative, weight, known)
    return row


def summary(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table of all cases, and statistics over them."""
    names = (
        *("held_out", "held_out_without_network", "true_before", "true", "blank_before", "blank"),
        *("auc", "auc_of_density", "rms_error", "rms_uncertainty", "expected_unmeasured", "true_unmeasured"),
        *("direction_r", "weight_r", "direction_r_unmeasured", "weight_r_unmeasured"),
        *("direction_auc", "weight_auc", "seconds"),
    )
    lines = ["| case | views | peak | " + " | ".join(names) + " |", "|---" * (len(names) + 3) + "|"]
    lines += [
        f"| {row['name']} | {row.get('views', '-')} | {row.get('peak', '-')} | "
        + " | ".join(f"{row[name]:.3f}" if name in row else "-" for name in names)
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
            f"{stats.spearmanr(pairs[:, 0], pairs[:, 1]).statistic:.2f}, difference "
            f"{(pairs[:, 0] - pairs[:, 1]).min():+.2f} to {(pairs[:, 0] - pairs[:, 1]).max():+.2f}; against "
            f"blank, in the mask, Pearson {stats.pearsonr(pairs[:, 0], pairs[:, 2]).statistic:.2f}.",
        ]
    auc = [row["auc"] for row in rows if "auc" in row]
    if auc:
        lines.append(f"AUC of the uncertainty: mean {np.mean(auc):.3f}, lowest {min(auc):.3f}.")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
