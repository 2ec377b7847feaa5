"""Wall time, CPU time and memory of ``spisonet.py fsc3d`` as a whole process, for two box sizes.

    python benchmarks/fsc3d_speed.py

Prints the median of three runs. Inputs are written once to a folder of the system's temporary directory.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spisonet.fourier.grids import frequency_axes_rfft, irfft3, radius_rfft, rfft3
from spisonet.io.mrc import Volume, write_volume

RUNS = 3


@dataclass(frozen=True)
class Case:
    """Box and resolution limit of a case, and the time that it may take."""

    box: int
    voxel_size_angstrom: float
    limit_res_angstrom: float
    budget_seconds: float


CASES = (Case(256, 1.3, 3.5, 4.0), Case(360, 0.95, 3.5, 15.0), Case(360, 0.95, 1.9, 15.0))


def make_halves(box: int, voxel_size_angstrom: float, folder: Path) -> list[Path]:
    """Write two half maps whose signal extends to lower resolution along z than along x and y."""
    generator = np.random.default_rng(box)
    shape = (box, box, box)
    radius = radius_rfft(shape)
    along_z = np.abs(frequency_axes_rfft(shape)[0]) / np.maximum(radius, 1)
    falloff = np.exp(-((radius / (0.3 * box * (1 - 0.4 * along_z))) ** 2)).astype(np.float32)
    signal = rfft3(generator.standard_normal(shape, dtype=np.float32)) * falloff * 2
    paths = []
    for number in (1, 2):
        path = folder / f"half{number}_{box}.mrc"
        if not path.exists():
            noise = rfft3(generator.standard_normal(shape, dtype=np.float32))
            write_volume(path, Volume(irfft3(signal + noise, shape), voxel_size_angstrom))
        paths.append(path)
    return paths


def time_command(arguments: list[str]) -> tuple[float, float]:
    """Return wall and CPU seconds of a ``spisonet.py`` process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(
        [str(Path(sys.executable).with_name("spisonet.py")), *arguments], check=True, capture_output=True
    )
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the table."""
    folder = Path(tempfile.gettempdir()) / "spisonet_benchmark"
    folder.mkdir(exist_ok=True)
    print(f"{'box':>4} {'limit (Å)':>10} {'wall (s)':>9} {'CPU (s)':>8} {'peak (GB)':>10} {'budget (s)':>11}")
    for case in CASES:
        halves = make_halves(case.box, case.voxel_size_angstrom, folder)
        arguments = [
            "fsc3d",
            *map(str, halves),
            "--limit_res",
            str(case.limit_res_angstrom),
            "-o",
            str(folder / "FSC3D.mrc"),
        ]
        times = [time_command(arguments) for _ in range(RUNS)]
        wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
        # ru_maxrss is the maximum over all child processes so far; the cases are in order of size.
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024**2
        print(
            f"{case.box:>4} {case.limit_res_angstrom:>10g} {wall:>9.2f} {cpu:>8.2f} {peak:>10.2f} "
            f"{case.budget_seconds:>11g}"
        )


if __name__ == "__main__":
    main()
