"""Jobs of RELION 5 with this executable, scheduled and run by its pipeline as its GUI does it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from relion_external.jobs.definitions import JOBS
from relion_external.preflight import VARIABLE
from relion_external.refinement import GRADIENT_MESSAGE
from spisonet.commands.main import main as spisonet
from spisonet.io.mrc import read_volume
from tests.relion_external.pipeline import (
    FAILED,
    FINISHED,
    add_job,
    add_job_from_star,
    node_types,
    run,
    start_project,
    status,
)
from tests.relion_external.refinements import (
    BOX,
    COMMON,
    EXECUTABLE,
    HALVES,
    LOCAL,
    PIXEL,
    SMALL,
    lines,
    refine,
    run_until,
    start,
    write_particles,
)

pytestmark = [pytest.mark.relion, pytest.mark.relion5, pytest.mark.slow]

LOCAL_FORM = {  # searches around the angles in the particle STAR file, which take seconds
    "sampling": "3.7 degrees",
    "auto_local_sampling": "3.7 degrees",
    "offset_range": "3",
    "offset_step": "1",
}
FORM = {
    "fn_img": "particles.star",
    "fn_ref": "ref.mrc",
    "fn_mask": "mask.mrc",
    "ini_high": "40",
    "sym_name": "C3",
    "particle_diameter": f"{BOX * PIXEL * 0.85:.0f}",
    "nr_pool": "20",
    "do_pad1": "Yes",
    "do_blush": "No",
}
EXTERNAL = "--external_reconstruct --random_seed 1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A project with particles of a phantom with C3 symmetry."""
    folder: Path = tmp_path_factory.mktemp("relion5") / "project"
    write_particles(folder, n_fold=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        start_project()
    return folder


@pytest.fixture
def project(folder, monkeypatch) -> Path:
    """The project as the current folder, with the variables that RELION is started with."""
    monkeypatch.chdir(folder)
    variables = SMALL | {VARIABLE: EXECUTABLE, "OMP_NUM_THREADS": "1"}
    variables |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    for name, value in (variables | {"OMPI_MCA_rmaps_base_oversubscribe": "true"}).items():
        monkeypatch.setenv(name, value)
    return folder


def check(capsys, *words: str) -> dict[str, dict[str, str]]:
    """Return the findings of the check by their codes."""
    with suppress(SystemExit):
        spisonet(["relion", "check", *words, "--as_json"])
    found = json.loads(capsys.readouterr().out)
    return {finding["code"]: finding for finding in found}


def errors(findings: dict[str, dict[str, str]]) -> set[str]:
    return {code for code, finding in findings.items() if finding["level"] == "error"}


def test_a_refinement_with_c3_symmetry_from_schedule_to_postprocess(project, capsys):
    job = add_job("Refine3D", FORM | LOCAL_FORM | {"nr_mpi": "3", "other_args": EXTERNAL})
    assert not list(Path(job).glob("*optimiser*"))
    findings = check(capsys, job)
    assert not errors(findings)
    assert findings["relion"]["message"].startswith("RELION 5.")
    assert "the last one, which joins the halves" in findings["iterations"]["message"]
    run(job)
    assert status(job) == FINISHED, Path(job, "run.err").read_text()
    said = lines(Path(job, "run.out").read_text())
    assert sum("corrected in" in line for line in said) >= 4
    assert not any("NOT corrected" in line for line in said)
    assert "skipped: the last iteration joins the halves" in said[-1]
    assert not errors(check(capsys, job))

    spisonet(["relion", "install-jobs"])
    template = Path("spisonet_jobs/anisotropy/job.star").read_text()
    assert f"in_3dref {job}run_half1_class001_unfil.mrc" in template  # the refinement is found
    values = {"epochs": "1", "n_subvolume": "8", "cube_size": "16", "filter_base": "4", "independent": "Yes"}
    corrected = run_template("anisotropy", {}, values | {"limit_res": "20"})
    # The types of RELION 5 let the corrected halves be chosen in PostProcess.
    half1 = f"{corrected}corrected_run_half1_class001_unfil.mrc"
    assert node_types()[half1] == "DensityMap.mrc.halfmap"
    sharpened = add_job("PostProcess", {"fn_in": half1, "fn_mask": "mask.mrc", "angpix": "-1"})
    run(sharpened)
    assert status(sharpened) == FINISHED
    assert read_volume(Path(sharpened, "postprocess.mrc")).box == BOX
    for name, more in (("fsc3d", {"limit_res": "20"}), ("diagnose", {}), ("whitening", {"low_res": "60"})):
        given = f"{job}run_class001.mrc" if name == "diagnose" else f"{sharpened}postprocess.mrc"
        done = run_template(name, {"in_3dref": given}, more)
        assert Path(done, "logfile.pdf").is_file()
    run_template("report", {"in_3dref": f"{corrected}corrected_full.mrc"}, {})


def run_template(name: str, inputs: dict[str, str], values: dict[str, str]) -> str:
    """Run a job from its installed template with some fields filled in; return its folder."""
    path = Path("spisonet_jobs") / name / "job.star"
    text = path.read_text()
    for field, value in inputs.items():
        text = re.sub(rf"^{field} .*$", f"{field} {value}", text, flags=re.MULTILINE)
    device = {"device": "cpu"} if "device" in JOBS[name].parameters else {}
    for label, value in (values | device).items():
        found = re.search(rf"^(param\d+)_label {label}$", text, flags=re.MULTILINE)
        if found is None:
            text = re.sub(r'^other_args ""$', f'other_args "--{label} {value}"', text, flags=re.MULTILINE)
        else:
            text = re.sub(rf"^{found[1]}_value .*$", f"{found[1]}_value {value}", text, flags=re.MULTILINE)
    path.with_name("filled.star").write_text(text)
    job = add_job_from_star(path.with_name("filled.star"))
    run(job)
    assert status(job) == FINISHED, Path(job, "run.err").read_text()
    return job


def test_a_continued_refinement_needs_the_option_again(project, capsys):
    words = (*COMMON, *HALVES, *LOCAL, "--solvent_mask", "mask.mrc")
    folder = project / "plain"
    run_until(folder / "run_it002_optimiser.star", start(project, "plain", *words))
    again = ("--continue", "plain/run_it002_optimiser.star")
    assert "external_reconstruct_missing" in check(
        capsys, f"relion_refine_mpi --o plain/run_ct2 {' '.join(again)}"
    )
    before = len(lines((folder / "run.out").read_text()))
    out = run_until(folder / "run_ct2_it003_optimiser.star", start(project, "plain", *again, root="run_ct2"))
    assert len(lines(out)) == before  # RELION reconstructs itself
    assert "external_reconstruct_missing" in check(capsys, "plain")


def test_an_initial_model_by_gradients_is_refused(project, capsys):
    job = add_job("InitialModel", {
        "fn_img": "particles.star", "nr_iter": "10", "nr_classes": "1", "particle_diameter": "160",
        "do_run_C1": "No", "sym_name": "C1", "other_args": EXTERNAL,
    })  # fmt: skip
    assert errors(check(capsys, job)) == {"gradient_refinement"}
    run(job)
    assert status(job) == FAILED
    assert GRADIENT_MESSAGE in Path(job, "run.err").read_text()
    assert not list(Path(job).glob("*_external_reconstruct.mrc"))
    assert not Path(job, "spisonet").exists()


def test_with_blush_the_program_is_never_called(project, capsys, monkeypatch, tmp_path):
    """Blush is replaced by a script that returns RELION's own reconstruction."""
    blush = tmp_path / "relion_python_blush"
    blush.write_text('#!/bin/sh\nrelion_external_reconstruct "$1" --skip_gridding && echo success\n')
    blush.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    once = [*COMMON, "--blush", *"--iter 1 --K 1 --tau2_fudge 4 --skip_align".split()]
    out = refine(project, "blush", *once, mpi=False)
    assert not lines(out)
    assert "blush" in errors(check(capsys, "blush"))
    again = "relion_refine --o blush/run_ct1 --continue blush/run_it001_optimiser.star --external_reconstruct"
    assert "blush" not in check(capsys, again)
    assert "blush" in errors(check(capsys, f"{again} --blush"))


def test_a_classification_by_several_processes(project):
    words = (*COMMON, "--K", "2", "--iter", "2", "--tau2_fudge", "4", "--healpix_order", "1")
    out = refine(project, "classes", *words)
    said = lines(out)
    assert all(any(f"class00{number}" in line for line in said) for number in (1, 2))
    assert not any("NOT corrected" in line for line in said)
    assert all("last iteration" in line for line in said if line.startswith("iteration 2"))
    maps = [read_volume(project / "classes" / f"run_it002_class00{k}.mrc").data for k in (1, 2)]
    assert all(np.isfinite(data).all() and data.any() for data in maps)


def processes_of(job: str) -> dict[int, str]:
    """Return the command lines of the hooks and workers of a job."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"{job}/run_it" in words and "python" in words:
            found[int(entry.name)] = words
    return found


def wait_for(condition, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not (done := condition()) and time.monotonic() < end:
        time.sleep(0.1)
    return bool(done)


@pytest.mark.parametrize("victim", ["mpirun", "rank"])
def test_the_correction_ends_with_what_is_killed_and_can_be_continued(project, victim):
    job = f"killed_{victim}"
    words = (*COMMON, *HALVES, *LOCAL, "--solvent_mask", "mask.mrc")
    slow = {"ISONET_EPOCHS": "500", "ISONET_START_HEALPIX": "0"}
    process = start(project, job, *words, **slow)
    assert wait_for(lambda: "relion_external.correction" in " ".join(processes_of(job).values()), 200)
    if victim == "mpirun":
        os.kill(process.pid, signal.SIGKILL)
    else:
        ranks = subprocess.run(
            ["pgrep", "-P", str(process.pid), "relion_refine_m"], capture_output=True, text=True
        )
        os.kill(int(ranks.stdout.split()[-1]), signal.SIGKILL)
    process.wait()
    assert wait_for(lambda: not processes_of(job), 15), processes_of(job)
    out = run_until(project / job / "run_it001_optimiser.star", start(project, job, *words))
    assert not any("NOT corrected" in line for line in lines(out))
