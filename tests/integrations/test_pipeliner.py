"""Jobs of the CCP-EM Pipeliner and Doppio, with the real package."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import tomllib
import warnings
from pathlib import Path

import numpy as np
import pytest

from spisonet.io.mrc import Volume, read_volume, write_volume
from spisonet.io.tomogram_table import TomogramTable
from tests.anisotropy.small_case import make_case
from tests.integrations.plugin_host import require_plugin_host
from tests.tomography.simulation import write_halves

require_plugin_host("pipeliner", "ccpem-pipeliner is not installed (extra doppio)")

from pipeliner.api.manage_project import PipelinerProject  # noqa: E402
from pipeliner.job_factory import create_job_from_proc, get_job_types, job_from_dict  # noqa: E402
from pipeliner.project_graph import ProjectGraph  # noqa: E402

from relion_external.jobs.definitions import JOBS  # noqa: E402
from spisonet.integrations.external_jobs import class_name  # noqa: E402
from spisonet.integrations.pipeliner.jobs import process_name  # noqa: E402
from spisonet.integrations.pipeliner.options import pipeliner_parameters  # noqa: E402

FSC3D, DIAGNOSE = "spisonet.map_analysis.fsc3d", "spisonet.map_analysis.diagnose"
ANISOTROPY, REPORT = "spisonet.map_correction.anisotropy", "spisonet.map_analysis.report"
WHITENING = "spisonet.map_utilities.whitening"
TOMOGRAMS = "isonet.tomogram_correction"
TIMEOUT_SECONDS = 1800


def make_job(kind: str, **options):
    return job_from_dict({"_rlnJobTypeLabel": kind, **options})


# --- jobs and their options ----------------------------------------------------------------------------


def test_the_entry_points_are_the_external_jobs():
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    points = tomllib.loads(text)["project"]["entry-points"]["ccpem_pipeliner.jobs"]
    assert points == {
        process_name(job): f"spisonet_plugins.pipeliner:{class_name(job)}" for job in JOBS.values()
    }


def test_the_job_factory_lists_every_job_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = {job.PROCESS_NAME: job for job in get_job_types("sonet")}
    assert set(found) == {process_name(job) for job in JOBS.values()}
    for job in found.values():
        assert job.jobinfo.is_available, job.jobinfo.unavailable_message
        assert job.jobinfo.short_desc
        assert job.jobinfo.references[0].doi.startswith("10.")
        labels = [option.label for option in job.joboptions.values()]
        assert len(labels) == len(set(labels))
        assert all(option.help_text for name, option in job.joboptions.items() if name != "other_args")


@pytest.mark.parametrize("external", JOBS.values(), ids=JOBS)
def test_only_required_inputs_are_missing_at_first(external, project):
    job = make_job(process_name(external))
    errors = [found for found in job.validate_joboptions() if found.type == "error"]
    missing = {option.label for found in errors for option in found.raised_by}
    assert missing == {option.label for option in job.joboptions.values() if option.is_required}
    job.output_dir = "Folder/job001/"
    job.create_output_nodes()
    assert job.output_nodes[-1].name == "Folder/job001/logfile.pdf"


def test_only_changed_options_are_passed_on(project):
    job = make_job(ANISOTROPY, in_3dref="a.mrc", half2="b.mrc", epochs=30, n_subvolume=8, validate=True)
    job.output_dir = "Folder/job001/"
    assert job.get_commands()[-1].cmd[1:] == [
        *("--o", "Folder/job001/", "--in_3dref", "a.mrc", "--half2", "b.mrc"),
        *("--n_subvolume", "8", "--validate", "True", "--j", "1"),
    ]


def test_invalid_values_are_shown_at_their_option(project):
    job = make_job(ANISOTROPY, in_3dref="a.mrc", limit_res=0, apix=1e12, gpuID="0")
    errors = {
        found.raised_by[0].label: found.message
        for found in job.validate_joboptions()
        if found.type == "error"
    }
    assert "Resolution limit in Å (limit_res)" in errors
    assert "too large" in errors["Voxel size in Å (apix)"]


def test_options_without_effect_are_deactivated():
    job = make_job(ANISOTROPY, validate=False, sharpen=True, method="deconvolve")
    assert job.check_joboption_is_now_deactivated("validation_cones")
    assert job.check_joboption_is_now_deactivated("prior")
    assert not job.check_joboption_is_now_deactivated("b_factor")
    assert job.check_joboption_is_now_deactivated("alpha")


def test_a_copied_half_map_needs_the_other(project):
    job = make_job(FSC3D, in_3dref="/elsewhere/half1.mrc")
    messages = [found.message for found in job.validate_joboptions()]
    assert any("is outside the project and will be copied: give half map 2 too" in text for text in messages)


def test_every_parameter_is_an_option_or_set_by_the_job():
    for external in JOBS.values():
        options = {external.aliases.get(name, name) for name in pipeliner_parameters(external)}
        left = {external.aliases.get(name, name) for name in external.parameters} - options
        assert left <= {"mask", "mask_file", "star", "star_file", "ncpus"}, external.name


# --- a project -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project in which five jobs were scheduled by the API and run by the command line."""
    folder = tmp_path_factory.mktemp("doppio")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        make_case(folder)
        project = PipelinerProject(make_new_project=True)
        halves = {"in_3dref": "half1.mrc", "half2": "half2.mrc", "in_mask": "mask.mrc", "limit_res": 6.0}
        fsc = project.schedule_job({"_rlnJobTypeLabel": FSC3D, **halves})
        diagnosis = project.schedule_job({"_rlnJobTypeLabel": DIAGNOSE, **halves})
        small = {"epochs": 1, "n_subvolume": 2, "cube_size": 16, "filter_base": 2, "report": False}
        correction = project.schedule_job(
            {
                "_rlnJobTypeLabel": ANISOTROPY,
                **(halves | small),
                "prior": "none",
                "aniso_file": f"{fsc.output_dir}FSC3D.mrc",
            }
        )
        full = f"{correction.output_dir}corrected_full.mrc"
        whitening = project.schedule_job(
            {"_rlnJobTypeLabel": WHITENING, "in_3dref": full, "high_res": 6.0, "low_res": 20.0}
        )
        report = project.schedule_job({"_rlnJobTypeLabel": REPORT, "in_3dref": full})
        names = [job.output_dir for job in (fsc, diagnosis, correction, whitening, report)]
        run_schedule(names)
        yield dict(zip(("fsc", "diagnosis", "correction", "whitening", "report"), names, strict=True))


def run_schedule(names: list[str]) -> None:
    """Run scheduled jobs by the command line."""
    words = ["--run_schedule", "--name", "all", "--jobs", *names, "--wait_sec_after", "0"]
    program = Path(sys.executable).with_name("pipeliner")
    done = subprocess.run([str(program), *words], capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr


def processes() -> dict[str, object]:
    with ProjectGraph() as graph:
        return {process.name: process for process in graph.process_list}


@pytest.mark.slow
def test_five_jobs_from_half_maps_to_report_are_connected(finished):
    found = processes()
    assert {found[name].status for name in finished.values()} == {"Succeeded"}
    inputs = {name: {node.name for node in found[path].input_nodes} for name, path in finished.items()}
    full = f"{finished['correction']}corrected_full.mrc"
    assert f"{finished['fsc']}FSC3D.mrc" in inputs["correction"]
    assert full in inputs["whitening"]
    assert full in inputs["report"]
    outputs = {node.name: node.type for node in found[finished["correction"]].output_nodes}
    assert outputs[full] == "DensityMap.mrc.spisonet.anisotropy"
    assert "halfmap" not in " ".join(outputs.values())  # one network was trained on both halves
    assert all(Path(name).is_file() for name in outputs)


@pytest.mark.slow
def test_results_are_displayed(finished):
    kinds = {}
    for name, path in finished.items():
        job = create_job_from_proc(processes()[path])
        displayed = job.create_results_display()
        kinds[name] = [found.dobj_type for found in displayed]
        assert displayed[0].dobj_type == "table"
        assert "pending" not in kinds[name]
    assert kinds["fsc"] == ["table", "graph", "histogram", "image", "pdffile"]
    assert kinds["correction"].count("mapmodel") == 3
    assert kinds["report"] == ["table", "html", "pdffile"]
    job = create_job_from_proc(processes()[finished["correction"]])
    assert "Unmeasured" in job.gather_metadata()
    checkpoints, _ = job.prepare_clean_up_lists()
    assert checkpoints


@pytest.mark.slow
def test_a_finished_training_is_continued_in_its_folder(finished):
    project = PipelinerProject()
    before = Path(finished["correction"], "network.safetensors").stat().st_mtime_ns
    job = project.continue_job(finished["correction"], run_in_foreground=True)
    assert project.wait_for_job_to_finish(job, timeout=TIMEOUT_SECONDS) == "Succeeded"
    log = Path(job.output_dir, "run.out").read_text(encoding="utf-8")
    assert "--resume" in log
    assert Path(finished["correction"], "network.safetensors").stat().st_mtime_ns >= before


@pytest.mark.slow
def test_a_failed_job_leaves_the_reason_and_no_output(finished):
    project = PipelinerProject()
    volume = read_volume(Path("half1.mrc"))
    write_volume(Path("small.mrc"), Volume(np.ones((8, 8, 8), np.float32), volume.voxel_size_angstrom))
    words = {"in_3dref": "half1.mrc", "half2": "small.mrc"}
    job = project.run_job({"_rlnJobTypeLabel": FSC3D, **words}, run_in_foreground=True)
    assert project.wait_for_job_to_finish(job, timeout=TIMEOUT_SECONDS) == "Failed"
    assert "small.mrc" in Path(job.output_dir, "run.err").read_text(encoding="utf-8")
    assert not Path(job.output_dir, "FSC3D.mrc").exists()
    assert processes()[finished["fsc"]].status == "Succeeded"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")  # of the Pipeliner
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_aborted_job_ends_and_the_project_is_unharmed(finished):
    project = PipelinerProject()
    words = {"in_3dref": "half1.mrc", "half2": "half2.mrc", "in_mask": "mask.mrc", "limit_res": 6.0}
    words |= {"epochs": 1000, "n_subvolume": 100, "cube_size": 16, "filter_base": 2, "prior": "none"}
    job = project.run_job({"_rlnJobTypeLabel": ANISOTROPY, **words})
    progress = Path(job.output_dir, "progress.jsonl")
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not progress.is_file():
        assert time.monotonic() < deadline, Path(job.output_dir, "run.err").read_text(encoding="utf-8")
        time.sleep(0.2)
    project.abort_job(job.output_dir)
    assert project.wait_for_job_to_finish(job, timeout=TIMEOUT_SECONDS) == "Aborted"
    with ProjectGraph(read_only=False) as graph:
        graph.check_process_completion()
    assert processes()[job.output_dir].status == "Aborted"
    assert not list(Path(job.output_dir).glob("corrected_*"))


# --- a project of tomograms ----------------------------------------------------------------------------

TABLE_HEADER = """data_global

loop_
_rlnTomoName #1
_rlnTomoTiltSeriesStarFile #2
_rlnPixelSize #3
_rlnDefocus #4
_rlnTomoReconstructedTomogramHalf1 #5
_rlnTomoReconstructedTomogramHalf2 #6
_rlnTomoReconstructedTomogram #7
"""


@pytest.fixture(scope="module")
def corrected_tomograms(tmp_path_factory):
    """A project in which four tomogram jobs, each with the table of the one before, were run."""
    folder = tmp_path_factory.mktemp("tomograms")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        for index in (1, 2):
            write_halves(folder, f"TS_{index}", shape=(24, 32, 32), n=4, seed=index)
        rows = [f"TS_{i} x.star 10 30000 even/TS_{i}.mrc odd/TS_{i}.mrc even/TS_{i}.mrc\n" for i in (1, 2)]
        Path("tomograms.star").write_text(TABLE_HEADER + "".join(rows), encoding="utf-8")
        project = PipelinerProject(make_new_project=True)
        small = {"filter_base": 4, "cube_size": 16, "epochs": 1, "n_subvolume": 8, "device": "cpu"}
        table, found = "tomograms.star", {}
        for name, options in (
            ("deconv", {}),
            ("mask", {"z_crop": 0.1}),
            ("refine", small | {"with_predict": False}),
            ("predict", {"device": "cpu"}),
        ):
            if name == "predict":
                options["model"] = f"{found['refine']}network.safetensors"
            job = project.schedule_job(
                {"_rlnJobTypeLabel": f"{TOMOGRAMS}.{name}", "in_mics": table, **options}
            )
            found[name] = job.output_dir
            table = f"{job.output_dir}tomograms.star"
        run_schedule(list(found.values()))
        yield found


@pytest.mark.slow
def test_tomogram_jobs_use_the_tables_of_each_other(corrected_tomograms):
    found = processes()
    assert {found[name].status for name in corrected_tomograms.values()} == {"Succeeded"}
    tables = ["tomograms.star", *(f"{path}tomograms.star" for path in corrected_tomograms.values())]
    for table, path in zip(tables, corrected_tomograms.values(), strict=False):
        assert table in {node.name for node in found[path].input_nodes}
        outputs = {node.name: node.type for node in found[path].output_nodes}
        assert outputs[f"{path}tomograms.star"].startswith("TomogramGroupMetadata.star.relion")
        assert all(Path(name).is_file() for name in outputs)
    network = f"{corrected_tomograms['refine']}network.safetensors"
    assert network in {node.name for node in found[corrected_tomograms["predict"]].input_nodes}
    for row in TomogramTable.read(Path(tables[-1])).rows:
        assert row.path("rlnTomoReconstructedTomogramDenoised").is_file()
        assert row.path("rlnMaskName").is_file()
        assert row.path("rlnDeconvTomoName").is_file()


@pytest.mark.slow
def test_results_of_tomogram_jobs_are_displayed(corrected_tomograms):
    for name, path in corrected_tomograms.items():
        displayed = create_job_from_proc(processes()[path]).create_results_display()
        kinds = [found.dobj_type for found in displayed]
        assert kinds[0] == "table"
        assert kinds[-1] == "pdffile"
        assert "pending" not in kinds, name


@pytest.mark.slow
def test_a_tomogram_job_without_its_tomograms_fails_with_the_reason(corrected_tomograms):
    project = PipelinerProject()
    text = Path("tomograms.star").read_text(encoding="utf-8").replace("even/TS_1.mrc", "even/none.mrc")
    Path("other.star").write_text(text, encoding="utf-8")
    job = project.run_job(
        {"_rlnJobTypeLabel": f"{TOMOGRAMS}.deconv", "in_mics": "other.star"}, run_in_foreground=True
    )
    assert project.wait_for_job_to_finish(job, timeout=TIMEOUT_SECONDS) == "Failed"
    assert "even/none.mrc" in Path(job.output_dir, "run.err").read_text(encoding="utf-8")
    assert not processes()[job.output_dir].output_nodes
    assert processes()[corrected_tomograms["predict"]].status == "Succeeded"
