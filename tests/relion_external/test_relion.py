"""Whole refinements by RELION with this executable."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from spisonet.io.mrc import read_volume
from tests.relion_external.refinements import (
    BOX,
    COMMON,
    EXECUTABLE,
    HALVES,
    LOCAL,
    lines,
    refine,
    run_until,
    start,
    write_particles,
)

pytestmark = [pytest.mark.relion, pytest.mark.slow]


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """Particles of an asymmetric phantom in a folder with a space."""
    folder: Path = tmp_path_factory.mktemp("refinements") / "a project"
    write_particles(folder)
    return folder


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
