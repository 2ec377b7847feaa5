"""Refinements by RELION with this executable: particles, and ways to start and end them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from spisonet.io.mrc import Volume, write_volume
from tests.anisotropy.test_relion import OPTICS, relion, star_loop

BOX, PIXEL, N = 32, 6.0, 160
PARTICLES = (
    "AngleRot AngleTilt AnglePsi OriginXAngst OriginYAngst DefocusU DefocusV DefocusAngle "
    "OpticsGroup MicrographName"
)
EXECUTABLE = str(Path(sys.executable).parent / "spisonet-relion-reconstruct")
SMALL = {
    "ISONET_EPOCHS": "0",
    "ISONET_N_SUBVOLUME": "8",
    "ISONET_FILTER_BASE": "4",
    "ISONET_CUBE_SIZE": "16",
    "ISONET_DEVICE": "cpu",
    "ISONET_POSE_DRIFT": "False",
}
COMMON = (
    "--i particles.star --ref ref.mrc --ini_high 40 --firstiter_cc --dont_combine_weights_via_disc --pool 20 "
    f"--pad 1 --ctf --particle_diameter {BOX * PIXEL * 0.85:.0f} --flatten_solvent --zero_mask "
    "--oversampling 1 --offset_range 3 --offset_step 2 --sym C1 --norm --scale --j 1 --random_seed 1 "
    "--external_reconstruct"
).split()
LOCAL = "--healpix_order 3 --auto_local_healpix_order 3".split()
HALVES = "--auto_refine --split_random_halves --low_resol_join_halves 60".split()


def write_particles(folder: Path, n_fold: int = 1) -> None:
    """Write particles of a phantom with Cn symmetry, most of them seen from the top, mask and reference."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    axis = np.arange(BOX) - BOX // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    phantom = np.zeros((BOX,) * 3)
    for cz, cy, cx in rng.normal(scale=(5, 3, 3), size=(18, 3)):
        for angle in 2 * np.pi * np.arange(n_fold) / n_fold:
            ty, tx = np.sin(angle) * cx + np.cos(angle) * cy, np.cos(angle) * cx - np.sin(angle) * cy
            phantom += np.exp(-((z - cz) ** 2 + (y - ty) ** 2 + (x - tx) ** 2) / 2.5)
    volume = Volume((phantom / phantom.max()).astype(np.float32), PIXEL)
    write_volume(folder / "truth.mrc", volume)
    radius = np.sqrt(z**2 + y**2 + x**2)
    write_volume(folder / "mask.mrc", volume.with_data(np.clip((15 - radius) / 3, 0, 1)))
    tilt = np.concatenate([np.abs(rng.normal(0, 10, N * 9 // 10)), rng.uniform(30, 90, N - N * 9 // 10)])
    angles = np.stack([rng.uniform(-180, 180, N), tilt, rng.uniform(-180, 180, N)], axis=1)
    rows = [
        f"{a:.3f} {b:.3f} {c:.3f} 0 0 {d:.0f} {d:.0f} 0 1 mic{i // 20}.mrc"
        for i, ((a, b, c), d) in enumerate(zip(angles, rng.uniform(8000, 20000, N), strict=True))
    ]
    optics = star_loop("optics", OPTICS, [f"opticsGroup1 1 300.0 2.7 0.1 {PIXEL} {BOX} 2"])
    (folder / "angles.star").write_text(optics + star_loop("particles", PARTICLES, rows))
    relion(
        folder, "relion_project", "--i", "truth.mrc", "--ang", "angles.star", "--o", "particles",
        "--angpix", str(PIXEL), "--ctf", "--add_noise", "--white_noise", "1",
    )  # fmt: skip
    relion(folder, "relion_image_handler", "--i", "truth.mrc", "--o", "ref.mrc", "--lowpass", "40")


def start(
    project: Path, job: str, *words: str, mpi: bool = True, root: str = "run", **environment: str
) -> subprocess.Popen[bytes]:
    folder = project / job
    folder.mkdir(exist_ok=True)
    variables = os.environ | SMALL | {"RELION_EXTERNAL_RECONSTRUCT_EXECUTABLE": EXECUTABLE} | environment
    variables |= {
        "OMP_NUM_THREADS": "1",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    }
    program = ["mpirun", "--oversubscribe", "-np", "3", "relion_refine_mpi"] if mpi else ["relion_refine"]
    with (folder / "run.out").open("ab") as out, (folder / "run.err").open("ab") as err:
        return subprocess.Popen(
            [*program, "--o", f"{job}/{root}", *words],
            cwd=project, env=variables, stdout=out, stderr=err, start_new_session=True,
        )  # fmt: skip


def refine(project: Path, job: str, *words: str, mpi: bool = True, seconds: float = 400, **env: str) -> str:
    process = start(project, job, *words, mpi=mpi, **env)
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    out = (project / job / "run.out").read_text(errors="replace")
    assert status == 0, out[-1500:] + (project / job / "run.err").read_text(errors="replace")[-3000:]
    return out


def lines(out: str) -> list[str]:
    """Our lines among RELION's, which ends its progress bars without a new line."""
    return [part.split("\n")[0] for part in out.split("spisonet: ")[1:]]


def run_until(path: Path, process: subprocess.Popen[bytes], seconds: float = 240) -> str:
    """Wait for a file of RELION's, end the refinement, and return its output."""
    end = time.monotonic() + seconds
    while not path.is_file() and time.monotonic() < end and process.poll() is None:
        time.sleep(0.2)
    time.sleep(1)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert path.is_file()
    return (path.parent / "run.out").read_text(errors="replace")
