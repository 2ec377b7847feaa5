"""Jobs of himena-relion, with the real package."""

from __future__ import annotations

import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from relion_external.jobs.definitions import JOBS
from tests.anisotropy.small_case import make_case
from tests.integrations.plugin_host import require_plugin_host

require_plugin_host("himena_relion", "himena-relion is not installed (extra himena)")

from himena_relion._job_dir import ExternalJobDirectory  # noqa: E402
from himena_relion.external import pick_job_class  # noqa: E402

from spisonet.integrations.external_jobs import class_name  # noqa: E402
from spisonet.integrations.himena import MODULE  # noqa: E402

PIPELINE = """
data_pipeline_general

_rlnPipeLineJobCounter 2

data_pipeline_processes

loop_
_rlnPipeLineProcessName #1
_rlnPipeLineProcessAlias #2
_rlnPipeLineProcessTypeLabel #3
_rlnPipeLineProcessStatusLabel #4
External/job001/ None relion.external Running

data_pipeline_nodes

loop_
_rlnPipeLineNodeName #1
_rlnPipeLineNodeTypeLabel #2
half1.mrc DensityMap.mrc

data_pipeline_input_edges

loop_
_rlnPipeLineEdgeFromNode #1
_rlnPipeLineEdgeProcess #2
half1.mrc External/job001/
"""
TIMEOUT_SECONDS = 900


def fsc3d():
    return pick_job_class(f"{MODULE}:SpisonetFsc3d")


def test_the_entry_point_is_that_of_himena():
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert tomllib.loads(text)["project"]["entry-points"]["himena.plugin"] == {"spisonet": MODULE}


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_every_external_job_has_a_form_that_fits_into_relions(job):
    found = pick_job_class(f"{MODULE}:{class_name(job)}")
    assert found.job_title()
    assert found.job_is_tomo() == job.executable.startswith("isonet")
    parameters = found._signature().parameters
    options = [name for name in parameters if name not in {*job.inputs, "j"}]
    assert set(job.inputs) <= set(parameters)
    star = found.prep_job_star(**dict.fromkeys(parameters, "1")).to_string()  # at most ten parameters
    assert f"himena-relion {MODULE}:{class_name(job)}" in star
    assert all(f"param{number}_label\t{name}\n" in star for number, name in enumerate(options, start=1))


def test_a_form_is_read_back(tmp_path):
    folder = tmp_path / "External" / "job001"
    folder.mkdir(parents=True)
    words = {"in_3dref": "half1.mrc", "half2": "half2.mrc", "phase_randomise": "8"}
    (folder / "job.star").write_text(fsc3d().prep_job_star(**words).to_string())
    directory = ExternalJobDirectory(folder)
    assert directory.job_title() == "3D FSC of half maps"
    found = directory.get_job_params_as_dict()
    assert words.items() <= found.items()


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A project in which RELION has made the folder of a job."""
    monkeypatch.chdir(tmp_path)
    make_case(tmp_path)
    folder = Path("External/job001")
    folder.mkdir(parents=True)
    for path in (Path("default_pipeline.star"), folder / "job_pipeline.star"):
        path.write_text(PIPELINE)
    return folder


def start(name: str, folder: Path, *words: str) -> subprocess.Popen[str]:
    """Start a job as RELION does."""
    program = Path(sys.executable).with_name("himena-relion")
    command = [str(program), f"{MODULE}:{name}", *words, "--o", f"{folder}/", "--j", "1"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_job_runs_as_relion_calls_it(project):
    words = ("--in_3dref", "half1.mrc", "--in_mask", "mask.mrc", "--half2", "half2.mrc", "--limit_res", "6")
    process = start("SpisonetFsc3d", project, *words)
    _, errors = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 0, errors
    assert (project / "FSC3D.mrc").is_file()
    assert (project / "RELION_JOB_EXIT_SUCCESS").is_file()
    assert "FSC3D.mrc" in (project / "RELION_OUTPUT_NODES.star").read_text()


@pytest.mark.slow
def test_a_failed_job_writes_the_reason(project):
    process = start("SpisonetFsc3d", project, "--in_3dref", "half1.mrc", "--half2", "none.mrc")
    _, errors = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode != 0
    assert "none.mrc does not exist" in errors
    assert (project / "RELION_JOB_EXIT_FAILURE").is_file()
    assert not (project / "RELION_JOB_EXIT_SUCCESS").exists()


@pytest.mark.slow
def test_an_aborted_job_leaves_no_process(project):
    words = ("--in_3dref", "half1.mrc", "--half2", "half2.mrc", "--in_mask", "mask.mrc", "--limit_res", "6")
    small = ("--epochs", "1000", "--cube_size", "16", "--filter_base", "2")
    process = start("SpisonetAnisotropy", project, *words, *small)
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not (project / "progress.jsonl").is_file():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.2)
    (project / "RELION_JOB_ABORT_NOW").touch()
    process.communicate(timeout=TIMEOUT_SECONDS)  # to the end of its output: the External job has ended too
    assert (project / "RELION_JOB_EXIT_ABORTED").is_file()
    assert not (project / "RELION_JOB_EXIT_SUCCESS").exists()
    assert not list(project.glob("corrected_*"))


def test_empty_values_are_those_of_the_command():
    found = pick_job_class(f"{MODULE}:SpisonetAnisotropy")._signature().parameters
    assert found["independent"].default is False
    assert found["epochs"].default == ""
