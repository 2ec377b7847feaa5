"""Score refinements of simulated subtomograms: errors of the poses, FSC to the truth by direction.

    score.py CASE JOB ...

prints a row for each job folder of a case of ``simulate.py``. The global rotation and shift of a refinement
relative to the truth are removed first.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import starfile
from scipy.spatial.transform import Rotation
from simulate import ANGLES, rotated

from spisonet.io.mrc import read_volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

ZONES = ((0, 30), (30, 60), (60, 90))
RESOLUTIONS = (40.0, 12.0)  # Å
ITERATIONS = 20
LARGE_DEGREES = 20.0


def pose_errors(case: Path, data: Path) -> tuple[NDArray[np.float64], Rotation]:
    """Return the error of every pose in degrees, and the global rotation of the refinement."""
    truth = starfile.read(case / "truth.star", always_dict=True)["particles"]
    found = starfile.read(data, always_dict=True)["particles"].set_index("rlnImageName")
    found = found.loc[truth["rlnImageName"]]
    # scipy's ZYZ angles describe the inverse of RELION's matrix: from the particle to the map.
    true, estimated = (Rotation.from_euler("ZYZ", t[ANGLES].to_numpy(), degrees=True) for t in (truth, found))
    frame = Rotation.identity()
    for _ in range(ITERATIONS):
        difference = estimated * true.inv()
        errors = (difference * frame.inv()).magnitude()
        frame = difference[errors <= np.median(errors)].mean()
    return np.degrees((estimated * true.inv() * frame.inv()).magnitude()), frame


def zone_fscs(case: Path, path: Path, frame: Rotation, axis: str) -> list[float]:
    """Return the mean FSC to the truth by the angle to the axis of the missing cone."""
    case_values = json.loads((case / "case.json").read_text(encoding="utf-8"))
    n, voxel_size = case_values["box"], case_values["apix"]
    found, truth, mask = (
        read_volume(p, voxel_size).data for p in (path, case / "truth.mrc", case / "mask.mrc")
    )
    found = rotated(found, frame.inv().as_matrix(), np.zeros(3))
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
    axis = json.loads((case / "case.json").read_text(encoding="utf-8"))["axis"]
    final = job / "run_data.star"
    stem = (
        "run"
        if final.is_file()
        else sorted(job.glob("run_it*_data.star"))[-1].name.removesuffix("_data.star")
    )
    errors, frame = pose_errors(case, job / f"{stem}_data.star")
    row: dict[str, Any] = {
        "job": job.name,
        "last": stem,
        "median": round(float(np.median(errors)), 2),
        "beyond": round(float(np.mean(errors > LARGE_DEGREES)), 3),
    }
    maps = {"half 1": job / f"{stem}_half1_class001_unfil.mrc", "all": job / f"{stem}_class001.mrc"}
    for name, path in maps.items():
        if path.is_file():
            row[name] = [round(value, 3) for value in zone_fscs(case, path, frame, axis)]
    return row


if __name__ == "__main__":
    for folder in sys.argv[2:]:
        print(json.dumps(score(Path(sys.argv[1]), Path(folder))))
