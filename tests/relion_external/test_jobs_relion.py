"""External jobs in RELION's own pipeline."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from relion_external.jobs.definitions import JOBS
from relion_external.jobs.folder import NodeType
from relion_external.jobs.map_metadata import find_map_metadata
from spisonet.commands.main import isonet
from spisonet.commands.main import main as spisonet
from spisonet.io.mrc import read_volume, write_volume
from spisonet.io.tomogram_table import TomogramTable
from tests.relion_external.pipeline import (
    ABORTED,
    FAILED,
    FINISHED,
    add_job,
    add_job_from_star,
    edges,
    node_types,
    run,
    start_project,
    status,
)
from tests.tomography.simulation import write_halves

pytestmark = [pytest.mark.relion, pytest.mark.slow]

EXAMPLE = Path(__file__).parents[2] / "examples" / "hemagglutinin"
QUICK = {"n_subvolume": "8", "cube_size": "16", "filter_base": "4", "limit_res": "6.5", "device": "cpu"}
BIN = Path(sys.executable).parent


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """An empty RELION project with the example's maps."""
    monkeypatch.chdir(tmp_path)
    start_project()
    for name in ("half1", "half2", "mask"):
        # RELION 3.1 cannot read half-precision numbers, which save space in the example.
        write_volume(Path(f"{name}.mrc"), read_volume(EXAMPLE / f"{name}.mrc"))
    return tmp_path


def add(name: str, inputs: dict[str, str], **parameters: str) -> str:
    """Schedule one of our jobs; return its folder."""
    options = {"fn_exe": str(BIN / JOBS[name].executable), **inputs, "nr_threads": "2"}
    for number, (label, value) in enumerate(parameters.items(), start=1):
        options |= {f"param{number}_label": label, f"param{number}_value": value}
    return add_job("External", options)


def test_a_chain_of_jobs_and_its_graph(project):
    measured = add("fsc3d", {"in_3dref": "half1.mrc", "in_mask": "mask.mrc"}, limit_res="6.5")
    run(measured)
    corrected = add("anisotropy", {"in_3dref": f"{measured}FSC3D.mrc"}, **QUICK, epochs="1", independent="")
    run(corrected)
    reported = add("report", {"in_3dref": f"{corrected}corrected_half1.mrc"})
    run(reported)
    assert [status(job) for job in (measured, corrected, reported)] == [FINISHED] * 3
    types = node_types()
    assert types[f"{measured}FSC3D.mrc"] == types[f"{corrected}corrected_full.mrc"] == NodeType.MAP.value[0]
    assert {types[f"{corrected}corrected_half{half}.mrc"] for half in (1, 2)} == {NodeType.HALF_MAP.value[0]}
    assert {types[f"{job}logfile.pdf"] for job in (measured, corrected, reported)} == {
        NodeType.LOGFILE.value[0]
    }
    chain = [
        *("half1.mrc", measured, f"{measured}FSC3D.mrc", corrected),
        *(f"{corrected}corrected_half1.mrc", reported, f"{reported}logfile.pdf"),
    ]
    assert set(itertools.pairwise(chain)) <= edges()
    assert "epoch 1 of 1" in Path(corrected, "run.out").read_text()
    assert Path(corrected, "run.err").read_text() == ""


def test_tomogram_jobs_are_linked_in_relions_graph(project):
    write_halves(project, "t", shape=(24, 32, 32), n=4)
    isonet(["prepare_star", "--even", "even", "--odd", "odd", "--pixel_size", "10"])
    small = {"filter_base": "4", "cube_size": "16", "n_subvolume": "8", "device": "cpu"}
    masked = add("mask", {"in_mic": "tomograms.star"})
    run(masked)
    refined = add("refine", {"in_mic": f"{masked}tomograms.star"}, **small, epochs="1")
    run(refined)
    assert [status(job) for job in (masked, refined)] == [FINISHED] * 2
    assert {("tomograms.star", masked), (f"{masked}tomograms.star", refined)} <= edges()
    row = TomogramTable.read(Path(refined, "tomograms.star")).rows[0]
    assert row.path("rlnMaskName") == Path(masked, "mask", "t_mask.mrc")
    assert row.path("rlnCorrectedTomoName") == Path(refined, "corrected", "corrected_t.mrc")


def test_a_failed_job_writes_the_reason(project):
    job = add("anisotropy", {"in_3dref": "half1.mrc"}, **QUICK, epoch="1")
    run(job)
    assert status(job) == FAILED
    assert Path(job, "run.err").read_text() == (
        "spisonet: epoch is not a parameter of this job; did you mean epochs?\n"
    )


def test_a_job_is_aborted_and_continued(project):
    job = add("anisotropy", {"in_3dref": "half1.mrc", "in_mask": "mask.mrc"}, **QUICK, epochs="40")
    waiting = subprocess.Popen(
        ["relion_pipeliner", "--RunJobs", job, "--sec_wait_after", "1"], stdout=subprocess.DEVNULL
    )
    output = Path(job, "run.out")
    until = time.monotonic() + 200
    while time.monotonic() < until and not (output.is_file() and "epoch 2 of 40" in output.read_text()):
        time.sleep(0.2)
    Path(job, "RELION_JOB_ABORT_NOW").touch()  # as the GUI does
    waiting.wait(timeout=100)
    assert Path(job, "RELION_JOB_EXIT_ABORTED").exists()
    assert status(job) == ABORTED
    assert "Continue the job" in Path(job, "run.err").read_text()
    star = Path(job, "job.star")  # as the GUI's button 'Continue!' does
    star.write_text(re.sub(r"(_rlnJobIsContinue +)0", r"\g<1>1", star.read_text()))
    run(job)
    assert status(job) == FINISHED
    epochs = re.findall(r": epoch (\d+) of 40", output.read_text())
    assert epochs == [str(epoch) for epoch in range(1, 41)]  # each was trained once


def test_relion_loads_the_job_templates(project):
    spisonet(["relion", "install-jobs"])
    path = Path("spisonet_jobs/fsc3d/job.star")
    path.write_text(path.read_text().replace('in_3dref ""', "in_3dref half1.mrc"))
    job = add_job_from_star(path)
    run(job)
    assert status(job) == FINISHED


def test_a_calibrated_pixel_size_is_read_from_postprocess(project):
    words = "--i half1.mrc --i2 half2.mrc --mask mask.mrc --angpix 2.5 --o PostProcess/job002/postprocess"
    Path("PostProcess/job002").mkdir(parents=True)
    subprocess.run(["relion_postprocess", *words.split()], check=True, capture_output=True, timeout=60)
    metadata = find_map_metadata(Path("PostProcess/job002/"))
    assert (metadata.half1, metadata.half2) == (Path("half1.mrc"), Path("half2.mrc"))
    assert metadata.mask == Path("mask.mrc")
    assert metadata.pixel_size_angstrom == pytest.approx(2.5, rel=1e-4)
    assert metadata.resolution_angstrom is not None
    assert 5 <= metadata.resolution_angstrom < 10
