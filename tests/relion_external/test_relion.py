"""Whole refinements by RELION with this executable."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from spisonet.io.mrc import Volume, read_volume, write_volume
from tests.anisotropy.test_relion import OPTICS, relion, star_loop

pytestmark = [pytest.mark.relion, pytest.mark.slow]

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


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """Particles of an asymmetric phantom, most of them seen from the top, in a folder with a space."""
    folder = tmp_path_factory.mktemp("refinements") / "a project"
    folder.mkdir()
    rng = np.random.default_rng(0)
    axis = np.arange(BOX) - BOX // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    phantom = np.zeros((BOX,) * 3)
    for cz, cy, cx in rng.normal(scale=(5, 3, 3), size=(18, 3)):
        phantom += np.exp(-((z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2) / 2.5)
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
    return folder


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


def test_a_refinement_with_a_network_reaches_its_final_maps(project):
    out = refine(project, "whole", *COMMON, *HALVES, *LOCAL, "--solvent_mask", "mask.mrc",
                 "--solvent_correct_fsc", ISONET_EPOCHS="1", ISONET_POSE_DRIFT="True")  # fmt: skip
    corrected = [line for line in lines(out) if "corrected in" in line]
    assert len(corrected) >= 6
    assert any("; poses: most likely collective motion" in line for line in corrected)
    assert {"half1", "half2"} <= {line.split()[2] for line in corrected}
    assert "skipped: the last iteration joins the halves" in lines(out)[-1]
    folder = project / "whole"
    for name in ("run_class001.mrc", "run_half1_class001_unfil.mrc", "run_half2_class001_unfil.mrc"):
        assert read_volume(folder / name).box == BOX
    # Nothing of ours is left in the project, and little in the job.
    assert not list(project.glob("*.tmp*"))
    left = {path.suffix for path in (folder / "spisonet").iterdir()}
    assert ".mrc" not in left
    summary = json.loads((folder / "spisonet" / "summary.json").read_text())
    iterations = [row["iteration"] for row in summary["rows"]]
    assert iterations == sorted(iterations)
    assert summary["rows"][1]["median_view_angle_degrees"] < 45
    assert "data:image/svg+xml" in (folder / "spisonet" / "summary.html").read_text()


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


def test_a_refinement_is_continued_in_the_middle(project):
    words = (*COMMON, *HALVES, *LOCAL, "--solvent_mask", "mask.mrc")
    folder = project / "broken"
    before = run_until(folder / "run_it002_optimiser.star", start(project, "broken", *words))
    again = ("--continue", "broken/run_it002_optimiser.star", "--external_reconstruct")
    out = run_until(folder / "run_ct2_it004_optimiser.star", start(project, "broken", *again, root="run_ct2"))
    new = lines(out)[len(lines(before)) :]
    assert any(line.startswith("iteration 4 half") for line in new)
    assert not any("NOT corrected" in line for line in new)
    assert (folder / "run_ct2_it003_half1_class001_external_reconstruct.mrc").is_file()
    summary = json.loads((folder / "spisonet" / "summary.json").read_text())
    iterations = [row["iteration"] for row in summary["rows"]]
    assert iterations == sorted(set(iterations))


def test_sequential_halves_do_not_wait_for_each_other(project):
    words = (*COMMON, *HALVES, *LOCAL, "--sequential_halves_recons")
    process = start(project, "sequential", *words, ISONET_JOINT="True")
    out = run_until(project / "sequential" / "run_it002_optimiser.star", process)
    corrected = [line for line in lines(out) if "corrected in" in line]
    assert corrected
    assert not any("HALVES NOT INDEPENDENT" in line for line in corrected)
    assert "each half is corrected by itself" in (project / "sequential" / "run.err").read_text()


def test_a_classification_into_two_classes(project):
    words = (*COMMON, "--K", "2", "--iter", "2", "--tau2_fudge", "4", "--healpix_order", "1")
    out = refine(project, "classes", *words, mpi=False)
    assert any("class002" in line for line in lines(out))
    assert read_volume(project / "classes" / "run_it002_class002.mrc").box == BOX
    assert not any("NOT corrected" in line for line in lines(out))


@pytest.mark.parametrize("more", ["", "--skip_gridding"])
def test_maps_that_are_not_corrected_are_relions_own(project, more):
    once = [*COMMON[:-1], *more.split(), *"--iter 1 --K 1 --tau2_fudge 4 --skip_align".split()]
    name = more.strip("-")
    refine(project, f"internal{name}", *once, mpi=False)
    out = refine(project, f"skipped{name}", *once, "--external_reconstruct", mpi=False)
    assert "last iteration of the classification" in lines(out)[-1]
    internal, skipped = (
        read_volume(project / f"{job}{name}" / "run_it001_class001.mrc").data
        for job in ("internal", "skipped")
    )
    assert skipped == pytest.approx(internal, abs=1.5e-3 * float(np.abs(internal).max()))


def test_a_corrupt_weight_ends_the_refinement_with_the_right_status(project, tmp_path):
    hook = tmp_path / "corrupting"
    hook.write_text(
        "#!/bin/sh\n"
        'case "$1" in *it002_half1*) truncate -s 2000 "${1%.star}_weight.mrc";; esac\n'
        f'exec "{EXECUTABLE}" "$1"\n'
    )
    hook.chmod(0o755)
    start_time = time.monotonic()
    process = start(project, "corrupt", *COMMON, *HALVES, *LOCAL,
                    RELION_EXTERNAL_RECONSTRUCT_EXECUTABLE=str(hook))  # fmt: skip
    assert process.wait(200) != 0
    assert time.monotonic() - start_time < 200
    error = (project / "corrupt" / "run.err").read_text(errors="replace")
    assert "weight.mrc is not a readable MRC file" in error
    shutil.rmtree(project / "corrupt")


def test_two_simultaneous_jobs_of_one_project_do_not_interfere(project):
    words = (*COMMON, "--iter", "2", "--healpix_order", "1", "--K", "1", "--tau2_fudge", "4")
    processes = [start(project, job, *words, mpi=False) for job in ("first", "second")]
    assert [process.wait(300) for process in processes] == [0, 0]
    maps = [read_volume(project / job / "run_it002_class001.mrc").data for job in ("first", "second")]
    assert np.corrcoef(maps[0].ravel(), maps[1].ravel())[0, 1] > 0.999
