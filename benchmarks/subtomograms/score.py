"""Score refinements of simulated subtomograms: errors of the poses, FSC to the truth by direction.

    score.py CASE JOB ...

prints a row for each job folder of a case of ``simulate.py``. The global rotation and shift of a refinement
relative to the truth are removed first.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import starfile

sys.path.append(str(Path(__file__).parents[2]))  # the checkout
from benchmarks.misalignment.cases import pose_errors_degrees
from benchmarks.subtomograms.simulate import ANGLES, rotated
from spisonet.geometry.rotations import relion_rotation_matrices
from spisonet.geometry.symmetry import symmetry_rotations
from spisonet.io.mrc import read_volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

ZONES = ((0, 30), (30, 60), (60, 90))
RESOLUTIONS = (40.0, 18.0)  # Å
BEAM_RANGES = ((0, 10), (10, 20), (20, 90))  # degrees
LARGE_DEGREES = 20.0


@dataclass(frozen=True)
class PoseScore:
    """Poses of a refinement, relative to the true ones.

    Attributes
    ----------
    errors_degrees : ndarray
        ``(n,)`` after removal of a rotation of the whole map.
    frame : ndarray
        ``(3, 3)`` that rotation, from the true map to the found one.
    beam_angles_degrees : ndarray
        ``(n,)`` true angle of the beam, the axis of the particle's missing wedge, to the mean of these axes,
        in the frame of the map.
    outward_degrees : ndarray
        ``(n,)`` motion of the beam along the great circle through that mean, positive away from it, negative
        towards the common wedge; 0 on average for random errors. NaN unless the point group is C1.
    """

    errors_degrees: NDArray[np.float64]
    frame: NDArray[np.float64]
    beam_angles_degrees: NDArray[np.float64]
    outward_degrees: NDArray[np.float64]


def score_poses(true: NDArray[np.float64], found: NDArray[np.float64], symmetry: str = "C1") -> PoseScore:
    """Compare poses ``(n, 3, 3)``, from the map to the particles, with the true ones."""
    errors, frame = pose_errors_degrees(true, found, symmetry_rotations(symmetry))
    beams, found_beams = true[:, 2], found[:, 2] @ frame  # in the frame of the true map
    axis = np.linalg.eigh(beams.T @ beams)[1][:, -1]
    # A beam and its opposite leave the same wedge.
    beams = beams * np.where(beams @ axis < 0, -1, 1)[:, None]
    found_beams = found_beams * np.where((beams * found_beams).sum(axis=1) < 0, -1, 1)[:, None]
    cosines = beams @ axis
    inward = axis - cosines[:, None] * beams
    inward /= np.maximum(np.linalg.norm(inward, axis=1, keepdims=True), 1e-9)
    outward = -np.arcsin(np.clip((found_beams * inward).sum(axis=1), -1, 1))
    if symmetry != "C1":
        outward[:] = np.nan
    return PoseScore(errors, frame, np.degrees(np.arccos(np.clip(cosines, 0, 1))), np.degrees(outward))


def read_poses(star: Path, images: list[str] | None = None) -> tuple[NDArray[np.float64], list[str]]:
    """Read poses ``(n, 3, 3)`` and image names from a STAR file, in the order of `images` if given."""
    table = starfile.read(star, always_dict=True)["particles"].set_index("rlnImageName")
    table = table if images is None else table.loc[images]
    return relion_rotation_matrices(*table[ANGLES].to_numpy().T), list(table.index)


def zone_fscs(case: Path, found: NDArray[np.float32], frame: NDArray[np.float64]) -> list[float]:
    """Return the mean FSC to the truth by the angle to the axis of the missing cone.

    Parameters
    ----------
    case : Path
        Folder of the case.
    found : ndarray
        ``(n, n, n)`` map.
    frame : ndarray
        ``(3, 3)`` rotation from the true map to the found one.
    """
    case_values = json.loads((case / "case.json").read_text(encoding="utf-8"))
    n, voxel_size, axis = case_values["box"], case_values["apix"], case_values["axis"]
    truth, mask = (read_volume(case / name, voxel_size).data for name in ("truth.mrc", "mask.mrc"))
    found = rotated(found, frame.T, np.zeros(3))
    product = np.fft.ifftn(np.fft.fftn(truth) * np.conj(np.fft.fftn(found))).real
    found = np.roll(found, np.unravel_index(product.argmax(), product.shape), (0, 1, 2))
    k = np.fft.fftfreq(n) * n
    grid = dict(zip("zyx", np.meshgrid(k, k, k, indexing="ij"), strict=True))
    radius = np.sqrt(sum(values**2 for values in grid.values()))
    angle = np.degrees(np.arccos(np.abs(grid[axis]) / np.maximum(radius, 1)))
    first, last = (n * voxel_size / resolution for resolution in RESOLUTIONS)
    a, b = (np.fft.fftn(volume * mask) for volume in (found, truth))
    rows = []
    for low, high in ZONES:
        fscs = []
        for shell in range(int(first), int(last) + 1):
            chosen = (np.rint(radius) == shell) & (angle >= low) & (angle < high)
            powers = [np.sum(np.abs(f[chosen]) ** 2) for f in (a, b)]
            fscs.append(np.vdot(b[chosen], a[chosen]).real / np.sqrt(powers[0] * powers[1]))
        rows.append(float(np.mean(fscs)))
    return rows


def score(case: Path, job: Path) -> dict[str, Any]:
    """Score the last iteration of a job."""
    case_values = json.loads((case / "case.json").read_text(encoding="utf-8"))
    final = job / "run_data.star"
    stem = (
        "run"
        if final.is_file()
        else sorted(job.glob("run_it*_data.star"))[-1].name.removesuffix("_data.star")
    )
    true, images = read_poses(case / "truth.star")
    found, _ = read_poses(job / f"{stem}_data.star", images)
    poses = score_poses(true, found, case_values["sym"])
    row: dict[str, Any] = {
        "job": job.name,
        "last": stem,
        "median": round(float(np.median(poses.errors_degrees)), 2),
        "beyond": round(float(np.mean(poses.errors_degrees > LARGE_DEGREES)), 3),
        "outward": outward_by_range(poses),
    }
    halves = [read_volume(job / f"{stem}_half{half}_class001_unfil.mrc").data for half in (1, 2)]
    row["half maps"] = score_maps(case, halves, poses.frame)
    joined = job / f"{stem}_class001.mrc"
    if joined.is_file():
        row["all"] = score_maps(case, [read_volume(joined).data], poses.frame)
    return row


def outward_by_range(poses: PoseScore) -> list[float | None]:
    """Return the mean motion of the beams away from their axis in degrees, by their true angle to it."""
    angles, outward = poses.beam_angles_degrees, poses.outward_degrees
    ranges = [(angles >= low) & (angles < high) & np.isfinite(outward) for low, high in BEAM_RANGES]
    return [round(float(outward[r].mean()), 2) if r.any() else None for r in ranges]


def score_maps(case: Path, maps: list[NDArray[np.float32]], frame: NDArray[np.float64]) -> list[float]:
    """Return the mean of the zone FSCs of maps."""
    return [round(float(value), 3) for value in np.mean([zone_fscs(case, m, frame) for m in maps], axis=0)]


if __name__ == "__main__":
    for folder in sys.argv[2:]:
        print(json.dumps(score(Path(sys.argv[1]), Path(folder))))
