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
from spisonet.io.star import StarFile
from spisonet.io.tomogram_table import TomogramTable
from tests.tomography.simulation import write_halves

pytestmark = [pytest.mark.relion, pytest.mark.slow]

# RELION 5 writes words, RELION 3.1 numbers.
FINISHED, FAILED, ABORTED = "Succeeded", "Failed", "Aborted"
STATUS_OF_NUMBER = {2: FINISHED, 3: FAILED, 4: ABORTED}
EXAMPLE = Path(__file__).parents[2] / "examples" / "hemagglutinin"
QUICK = {"n_subvolume": "8", "cube_size": "16", "filter_base": "4", "limit_res": "6.5", "device": "cpu"}
BIN = Path(sys.executable).parent


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """An empty RELION project with the example's maps."""
    monkeypatch.chdir(tmp_path)
    Path("default_pipeline.star").write_text("\ndata_pipeline_general\n\n_rlnPipeLineJobCounter 1\n \n")
    Path(".gui_projectdir").touch()
    for name in ("half1", "half2", "mask"):
        # RELION 3.1 cannot read half-precision numbers, which save space in the example.
        write_volume(Path(f"{name}.mrc"), read_volume(EXAMPLE / f"{name}.mrc"))
    return tmp_path


def pipeliner(*words: str) -> None:
    subprocess.run(["relion_pipeliner", *words], check=True, capture_output=True, timeout=900)


def add(name: str, inputs: dict[str, str], **parameters: str) -> str:
    """Add a job; return its folder."""
    options = {"fn_exe": str(BIN / JOBS[name].executable), **inputs, "nr_threads": "2"}
    for number, (label, value) in enumerate(parameters.items(), start=1):
        options |= {f"param{number}_label": label, f"param{number}_value": value}
    before = int(StarFile(Path("default_pipeline.star")).value("rlnPipeLineJobCounter"))
    text = ";".join(f"{key} == {value}" for key, value in options.items())
    pipeliner("--addJob", "External", "--addJobOptions", text)
    return f"External/job{before:03d}/"


def run(job: str) -> None:
    pipeliner("--RunJobs", job, "--sec_wait_after", "1")


def status(job: str) -> str:
    table = StarFile(Path("default_pipeline.star")).tables["pipeline_processes"]
    row = table[table["rlnPipeLineProcessName"] == job].iloc[0]
    label = row.get("rlnPipeLineProcessStatusLabel")
    return STATUS_OF_NUMBER[int(row["rlnPipeLineProcessStatus"])] if label is None else str(label)


def node_types() -> dict[str, str]:
    """Return the labels of all outputs and inputs of the project."""
    nodes = StarFile(Path("default_pipeline.star")).tables["pipeline_nodes"]
    if "rlnPipeLineNodeTypeLabel" in nodes:
        labels = nodes["rlnPipeLineNodeTypeLabel"]
    else:
        labels = (
            nodes["rlnPipeLineNodeType"].astype(int).map({kind.value[1]: kind.value[0] for kind in NodeType})
        )
    return dict(zip(nodes["rlnPipeLineNodeName"], labels, strict=True))


def test_a_chain_of_jobs_and_its_graph(project):
    measured = add("fsc3d", {"in_3dref": "half1.mrc", "in_mask": "mask.mrc"}, limit_res="6.5")
    run(measured)
    corrected = add("anisotropy", {"in_3dref": f"{measured}FSC3D.mrc"}, **QUICK, epochs="1", independent="")
    run(corrected)
    reported = add("report", {"in_3dref": f"{corrected}corrected_half1.mrc"})
    run(reported)
    assert [status(job) for job in (measured, corrected, reported)] == [FINISHED] * 3
    star = StarFile(Path("default_pipeline.star"))
    types = node_types()
    assert types[f"{measured}FSC3D.mrc"] == types[f"{corrected}corrected_full.mrc"] == NodeType.MAP.value[0]
    assert {types[f"{corrected}corrected_half{half}.mrc"] for half in (1, 2)} == {NodeType.HALF_MAP.value[0]}
    assert {types[f"{job}logfile.pdf"] for job in (measured, corrected, reported)} == {
        NodeType.LOGFILE.value[0]
    }
    inputs, outputs = star.tables["pipeline_input_edges"], star.tables["pipeline_output_edges"]
    edges = set(zip(inputs["rlnPipeLineEdgeFromNode"], inputs["rlnPipeLineEdgeProcess"], strict=True))
    edges |= set(zip(outputs["rlnPipeLineEdgeProcess"], outputs["rlnPipeLineEdgeToNode"], strict=True))
    chain = [
        *("half1.mrc", measured, f"{measured}FSC3D.mrc", corrected),
        *(f"{corrected}corrected_half1.mrc", reported, f"{reported}logfile.pdf"),
    ]
    assert set(itertools.pairwise(chain)) <= edges
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
    star = StarFile(Path("default_pipeline.star"))
    inputs = star.tables["pipeline_input_edges"]
    edges = set(zip(inputs["rlnPipeLineEdgeFromNode"], inputs["rlnPipeLineEdgeProcess"], strict=True))
    assert {("tomograms.star", masked), (f"{masked}tomograms.star", refined)} <= edges
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
    epochs = re.findall(r"epoch (\d+) of 40", output.read_text())
    assert epochs == [str(epoch) for epoch in range(1, 41)]  # each was trained once


def test_relion_loads_the_job_templates(project):
    spisonet(["relion", "install-jobs"])
    path = Path("spisonet_jobs/fsc3d/job.star")
    path.write_text(path.read_text().replace('in_3dref ""', "in_3dref half1.mrc"))
    pipeliner("--addJobFromStar", str(path))
    run("External/job001/")
    assert status("External/job001/") == FINISHED


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
