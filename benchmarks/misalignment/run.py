"""Correct the poses of drifted refinements, with each part switched off in turn, and score them.

    python -m benchmarks.misalignment.run --models MODELS --cases CASES [--only NAME ...]

Cases are particles that RELION projects, refined by RELION alone from the truth at 30 Å; their poses
drift where views are preferred. Every variant starts from the drifted poses, or from the true ones, and
uses no reference. The mask is that of the refinement, made of the truth, unless ``--mask map`` is given:
then it is made of the drifted half maps, as users make it. Needs RELION and gemmi. Prints one line for each
result, and writes them to results.jsonl.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.append(str(Path(__file__).parents[2]))  # the checkout
import numpy as np
import starfile
import torch
from scipy import ndimage

from benchmarks.misalignment.cases import (
    CASES,
    MASK,
    TRUE_POSES,
    TRUTH,
    make_case,
    pose_errors_degrees,
    refine,
)
from benchmarks.solvent_mask import solvent_mask
from spisonet.geometry.rotations import relion_rotation_matrices
from spisonet.geometry.symmetry import symmetry_rotations
from spisonet.io.mrc import read_volume
from spisonet.misalignment.cross_half_likelihood import cross_half_likelihood
from spisonet.misalignment.half_map_model import HalfMapModel
from spisonet.misalignment.image_band import ImageBand, Poses
from spisonet.misalignment.local_refinement import refine_locally
from spisonet.misalignment.motion_search import find_motion
from spisonet.misalignment.particle_images import read_particle_images
from spisonet.misalignment.particle_mask import widened_mask
from spisonet.misalignment.pose_correction import correct_poses
from spisonet.misalignment.superposition import shift_between

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from benchmarks.misalignment.cases import RefinementCase

LOCAL_ITERATIONS = 48
ZONES_DEGREES = ((0, 30), (30, 60), (60, 90))
ZONE_BAND_ANGSTROM = (40.0, 12.0)
MASKS = ("truth", "map", "widened", "none")
WIDENED_ANGSTROM = 8.0


def _nothing(_model: HalfMapModel, poses: Poses) -> Poses:
    return poses


def _motion_only(model: HalfMapModel, poses: Poses) -> Poses:
    return find_motion(model, poses).poses


def _local_only(model: HalfMapModel, poses: Poses) -> Poses:
    return refine_locally(model, poses, 0, np.resize((1.0, 1.0, 1.0, 1.0, 0.5, 0.5), LOCAL_ITERATIONS))


def _local_without_variance(model: HalfMapModel, poses: Poses) -> Poses:
    factors = np.resize((1.0, 1.0, 1.0, 1.0, 0.5, 0.5), LOCAL_ITERATIONS)
    return refine_locally(model, poses, 0, factors, reference_variance=False)


def _both(model: HalfMapModel, poses: Poses) -> Poses:
    return correct_poses(model, poses).poses


VARIANTS: dict[str, Callable[[HalfMapModel, Poses], Poses]] = {
    "as refined": _nothing,
    "motion": _motion_only,
    "local": _local_only,
    "local, no variance": _local_without_variance,
    "motion and local": _both,
}


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder of the atomic models")
    parser.add_argument("--cases", type=Path, required=True, help="folder of the cases")
    parser.add_argument("--only", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--variants", nargs="*", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--starts", nargs="*", choices=("drifted", "true"), default=["drifted"])
    parser.add_argument(
        "--mask",
        choices=MASKS,
        default="truth",
        help="made of the truth, of the drifted half maps, the latter widened by 8 Å, or none",
    )
    parser.add_argument("--finest", type=float, default=10.0, help="end of the band in Å")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for name in args.only:
        case = CASES[name]
        place = make_case(case, args.cases, args.models)
        root = refine(place, case, "plain")
        particles = read_particle_images(root.with_name("run_data.star"), place)
        truth = _true_poses(place)
        order = np.array(
            [truth[0][image] for image in starfile.read(particles.star)["particles"].rlnImageName]
        )
        true = Poses(truth[1][order], truth[2][order])
        band = ImageBand(particles, args.finest, torch.device("cpu"))
        model = HalfMapModel(band, _mask(args.mask, place, root), case.particle.symmetry)
        for start in args.starts:
            for variant in args.variants:
                begin = time.perf_counter()
                poses = VARIANTS[variant](model, true if start == "true" else Poses.of(particles))
                seconds = time.perf_counter() - begin
                row = {"case": name, "start": start, "mask": args.mask, "variant": variant}
                row["seconds"] = round(seconds)
                row |= _scores(case, model, place, true, poses)
                with (args.cases / "results.jsonl").open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(json.dumps(row), flush=True)
    return 0


def _mask(kind: str, place: Path, root: Path) -> NDArray[np.float32] | None:
    if kind == "none":
        return None
    if kind == "truth":
        return read_volume(place / MASK).data
    halves = [read_volume(root.with_name(f"run_half{half}_class001_unfil.mrc")) for half in (1, 2)]
    average = (halves[0].data + halves[1].data) / 2
    mask = solvent_mask(average, halves[0].voxel_size_angstrom)
    return widened_mask(mask, WIDENED_ANGSTROM, halves[0].voxel_size_angstrom) if kind == "widened" else mask


def _true_poses(place: Path) -> tuple[dict[str, int], NDArray[np.float64], NDArray[np.float64]]:
    table = starfile.read(place / TRUE_POSES, always_dict=True)["particles"]
    rotations = relion_rotation_matrices(table.rlnAngleRot, table.rlnAngleTilt, table.rlnAnglePsi)
    origins = table[["rlnOriginXAngst", "rlnOriginYAngst"]].to_numpy()
    return {name: row for row, name in enumerate(table.rlnImageName)}, rotations, origins


def _scores(
    case: RefinementCase, model: HalfMapModel, place: Path, true: Poses, poses: Poses
) -> dict[str, object]:
    symmetry = symmetry_rotations(case.particle.symmetry)
    errors, frame = pose_errors_degrees(true.rotations, poses.rotations, symmetry)

    def tilt(rotations: NDArray[np.float64]) -> float:
        return float(np.median(np.degrees(np.arccos(np.abs(rotations[:, 2, 2])))))

    likelihood = cross_half_likelihood(model, poses)
    in_true_frame = replace(poses, rotations=poses.rotations @ frame)
    half_map = cross_half_likelihood(model, in_true_frame).half_maps[0]
    return {
        "error_degrees": round(float(np.median(errors)), 2),
        "below_5_degrees": round(float((errors < 5).mean()), 3),
        "above_20_degrees": round(float((errors > 20).mean()), 3),
        "tilt_degrees": round(tilt(poses.rotations), 1),
        "true_tilt_degrees": round(tilt(true.rotations), 1),
        "log_likelihood": round(likelihood.mean, 2),
        "fsc_by_zone": _fsc_by_zone(read_volume(place / TRUTH).data, half_map, model),
    }


def _fsc_by_zone(
    truth: NDArray[np.float32], half_map: NDArray[np.float32], model: HalfMapModel
) -> list[float]:
    """FSC of a shifted half map to the truth, 40 to 12 Å, 0-30, 30-60 and 60-90 degrees from z."""
    n, mask = len(half_map), model.mask.cpu().numpy()
    first = len(truth) // 2 - n // 2
    whole = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(truth)))
    cropped = np.fft.ifftshift(whole[(slice(first, first + n),) * 3])
    smaller = np.fft.fftshift(np.fft.ifftn(cropped).real)
    shift = shift_between(smaller * mask, half_map * mask, model.band.last, np.eye(3))
    moved_map = ndimage.fourier_shift(np.fft.fftn(half_map), shift[::-1])
    moved_map = np.fft.ifftn(moved_map).real
    a, b = (np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(volume * mask))) for volume in (smaller, moved_map))
    axis = np.arange(n) - n // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    angle = np.degrees(np.arccos(np.abs(z) / np.maximum(radius, 1e-9)))
    coarsest, finest = (round(n * model.voxel_size_angstrom / limit) for limit in ZONE_BAND_ANGSTROM)
    result = []
    for low, high in ZONES_DEGREES:
        values = []
        for shell in range(coarsest, min(finest, model.band.last) + 1):
            here = (np.round(radius) == shell) & (angle >= low) & (angle < high)
            powers = (np.abs(a[here]) ** 2).sum() * (np.abs(b[here]) ** 2).sum()
            if here.any() and powers > 0:
                values.append((a[here] * b[here].conj()).real.sum() / np.sqrt(powers))
        result.append(round(float(np.mean(values)), 3))
    return result


if __name__ == "__main__":
    sys.exit(main())
