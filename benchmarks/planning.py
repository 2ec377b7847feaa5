"""CPU time and peak memory of whole commands by size, from which docs/planning.md extrapolates.

``python -m benchmarks.planning FOLDER`` writes simulated maps and tomograms into FOLDER, runs the commands
on one thread, and prints a table. The sizes are small: what grows with the number of voxels is fitted to two
of them.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path

import numpy as np

from spisonet.io.mrc import Volume, write_volume
from spisonet.io.tomogram_table import TomogramTable
from spisonet.tomography.prediction_tasks import NETWORK_FILE

SCRIPTS = Path(sys.executable).parent
VOXEL_SIZE_ANGSTROM = 2.0
TOMOGRAM_VOXEL_SIZE_ANGSTROM = 10.0
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}


def write_maps(folder: Path, n: int) -> None:
    """Write two half maps and a mask of a box of n voxels: smooth density in a sphere, and noise."""
    rng = np.random.default_rng(n)
    z, y, x = (axis - np.float32(n / 2) for axis in np.ogrid[:n, :n, :n])
    radius = np.sqrt(z * z + y * y + x * x) / n
    mask = np.clip((0.35 - radius) / 0.05, 0, 1).astype(np.float32)
    signal = mask * (np.cos(z * 0.3) + np.cos(y * 0.4) + np.cos(x * 0.5)).astype(np.float32)
    for name, data in (
        ("mask", mask),
        *((f"half{i}", signal + rng.normal(0, 1, mask.shape)) for i in (1, 2)),
    ):
        path = folder / f"{name}_{n}.mrc"
        write_volume(path, Volume(data.astype(np.float32), VOXEL_SIZE_ANGSTROM, name=str(path)))


def write_tomogram(folder: Path, shape: tuple[int, int, int]) -> Path:
    """Write even and odd tomograms of noise, of a shape ``(z, y, x)``, and their table."""
    from tests.tomography.simulation import with_missing_wedge, write_mrc  # noqa: PLC0415

    name = f"t{shape[2]}"
    truth = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    rows = {"rlnTomoName": name, "rlnPixelSize": f"{TOMOGRAM_VOXEL_SIZE_ANGSTROM:g}"}
    for seed, half in enumerate(("Half1", "Half2")):
        path = write_mrc(folder / f"{name}_{half}.mrc", with_missing_wedge(truth, 0.5, seed))
        rows[f"rlnTomoReconstructedTomogram{half}"] = str(path)
    table = folder / f"{name}.star"
    TomogramTable.new(table, [rows]).write()
    return table


def measure(folder: Path, line: str) -> tuple[float, float]:
    """Run a command line in a folder; return its CPU time in seconds and its peak memory in gigabytes."""
    words = shlex.split(line)
    process = os.posix_spawn(
        SCRIPTS / words[0], [str(SCRIPTS / words[0]), *words[1:]], {**os.environ, **ENVIRONMENT}
    )
    _, status, usage = os.wait4(process, 0)
    if status:
        raise SystemExit(f"{line} failed.")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e9


def row(folder: Path, line: str, size: str, n_voxels: int) -> None:
    """Run a command line and print its row of the table."""
    seconds, gigabytes = measure(folder, line)
    command = " ".join(line.split()[:2])
    print(f"| `{command}`, {size} | {n_voxels / 1e6:.2f} | {seconds:.1f} | {gigabytes:.2f} |", flush=True)


def main() -> None:
    """Run all commands and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--boxes", type=int, nargs="*", default=[64, 128, 192])
    parser.add_argument(
        "--tomograms", type=int, nargs="*", default=[128, 256], help="edges in x and y; z: a quarter"
    )
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    os.chdir(args.folder)
    here = Path()
    print("| command | voxels, million | CPU time, s | peak memory, GB |\n|---|---|---|---|")
    for n in args.boxes:
        write_maps(here, n)
        halves = f"half1_{n}.mrc half2_{n}.mrc --mask mask_{n}.mrc --limit_res 5 --ncpus 1"
        row(here, f"spisonet.py fsc3d {halves} -o fsc_{n}.mrc", f"box {n}", n**3)
        options = f"--method deconvolve --no-report --output_dir out_{n}"
        row(here, f"spisonet.py reconstruct {halves} {options}", f"box {n}", n**3)
    for edge in args.tomograms:
        shape = (edge // 4, edge, edge)
        table = write_tomogram(here, shape)
        size, n_voxels = " x ".join(map(str, shape)), int(np.prod(shape))
        options = "--device cpu --ncpus 1 --trust_table True --output_dir"
        start = "--pretrained default --epochs 0 --cube_size 32 --no-with_predict"  # a network of width 16
        row(here, f"isonet.py refine {table} {start} {options} n{edge}", size, n_voxels)
        row(here, f"isonet.py predict {table} n{edge}/{NETWORK_FILE} {options} p{edge}", size, n_voxels)


if __name__ == "__main__":
    main()
