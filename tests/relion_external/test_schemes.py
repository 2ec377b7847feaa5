"""The example Schemes: every name in them leads to a job, a file or a variable."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from benchmarks.solvent_mask import solvent_mask
from benchmarks.subtomograms.simulate import coarsened
from benchmarks.tomograms.tilt_series import Series, simulate
from relion_external.job_form import form_text, read_form
from relion_external.jobs.schemes import END, schemes
from spisonet.commands.main import main as spisonet
from spisonet.io.mrc import read_volume, write_volume
from spisonet.io.star import StarFile
from tests.relion_external.pipeline import FINISHED, node_types, start_project, status

EXAMPLE = Path(__file__).parents[2] / "examples" / "hemagglutinin"

FILES_OF_JOBS = {
    "reconstructtomograms": {"tomograms.star"},
    "pseudosubtomo": {"optimisation_set.star"},
    "reconstructparticletomo": {"half1.mrc"},
    "refine3d": {"run_half1_class001_unfil.mrc"},
    "correct": {"tomograms.star"},
    "anisotropy": {"corrected_full.mrc"},
    "diagnose": {"recommended.sh"},
}


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("default_pipeline.star").touch()
    spisonet(["relion", "install-schemes"])
    return tmp_path


@pytest.mark.parametrize("scheme", schemes(), ids=lambda scheme: scheme.name)
def test_steps_take_the_files_of_earlier_steps_and_variables(project, scheme):
    folder = Path("Schemes", scheme.name)
    star = StarFile(folder / "scheme.star")
    variables = {
        str(name)
        for kind in ("String", "Float")
        for name in star.tables[f"scheme_{kind.lower()}s"][f"rlnScheme{kind}VariableName"]
    }
    done: set[str] = set()
    for name, step in scheme.steps.items():
        label, options = read_form(folder / name / "job.star")
        assert label == step.label
        text = " ".join(options.values())
        assert set(re.findall(r"\$\$(\w+)", text)) <= variables
        for earlier, file in re.findall(rf"Schemes/{scheme.name}/(\w+)/(\S+)", text):
            assert earlier in done
            assert file in FILES_OF_JOBS[scheme.steps[earlier].job or scheme.steps[earlier].label]
        if step.job is not None:
            assert Path(options["fn_exe"]).is_file()
        done.add(name)


@pytest.mark.parametrize("scheme", schemes(), ids=lambda scheme: scheme.name)
def test_edges_lead_through_all_steps_to_the_end(project, scheme):
    edges = StarFile(Path("Schemes", scheme.name, "scheme.star")).tables["scheme_edges"]
    columns = [f"rlnSchemeEdge{name}" for name in ("InputNodeName", "OutputNodeName", "OutputNodeNameIfTrue")]
    forward = {
        first: true if fork else then
        for first, then, true, fork in zip(
            *(edges[column] for column in columns), edges["rlnSchemeEdgeIsFork"], strict=True
        )
    }
    path = [next(iter(scheme.steps))]
    while path[-1] != END:
        path.append(forward[path[-1]])
    assert [node for node in path if node in scheme.steps] == list(scheme.steps)
    forks = edges[edges["rlnSchemeEdgeIsFork"] == 1]
    assert set(forks["rlnSchemeEdgeOutputNodeName"]) <= {END}
    assert len(forks) == len(scheme.test_after)


def test_a_scheme_that_exists_is_kept(project, capsys):
    path = Path("Schemes/spisonet_refine/scheme.star")
    path.write_text("changed")
    spisonet(["relion", "install-schemes"])
    assert path.read_text() == "changed"
    assert "is kept" in capsys.readouterr().out


@pytest.mark.relion
@pytest.mark.relion5
@pytest.mark.slow
def test_relion_schemer_runs_the_scheme_of_tomograms(project):
    """From a tilt series to a diagnosis of the average, with RELION's jobs before and after ours."""
    start_project()
    truth = coarsened(read_volume(EXAMPLE / "truth.mrc"), 48)
    series = Series(tomograms=2, edge=208, step=6.0, noise=0.1)
    simulate(project, truth, series)
    write_volume(Path("mask.mrc"), truth.with_data(solvent_mask(truth.data, truth.voxel_size_angstrom)))
    step = Path("Schemes/spisonet_tomograms/correct/job.star")
    label, options = read_form(step)
    small = {"epochs": "1", "cube_size": "16", "filter_base": "4"}
    for option, name in list(options.items()):
        if name in small:
            options[option.replace("label", "value")] = small[name]
    del options["is_continued"]  # not an option of the form
    options["other_args"] = "--n_subvolume 8 --device cpu"
    step.write_text(form_text(label, options))
    schemer = ["relion_schemer", "--scheme", "spisonet_tomograms"]
    values = {"tilt_series": "tilt_series.star", "particles": "particles.star", "tomogram_angpix": 6.93333}
    sizes = {"x_size": series.edge, "y_size": series.edge, "z_size": 64, "box": 64, "cropped_box": 48}
    for name, value in {**values, "mask": "mask.mrc", **sizes}.items():
        subprocess.run([*schemer, "--set_var", name, "--value", str(value)], check=True, capture_output=True)
    subprocess.run([*schemer, "--run"], check=True, capture_output=True, timeout=900)
    jobs = ("Tomograms/job001/", "External/job002/", "Extract/job003/", "Reconstruct/job004/")
    assert [status(job) for job in (*jobs, "External/job005/", "External/job006/")] == [FINISHED] * 6
    assert node_types()["External/job002/tomograms.star"].startswith("TomogramGroupMetadata")
    measured, diagnosed = (
        json.loads(Path(f"External/job00{name}").read_text()) for name in ("5/FSC3D.json", "6/diagnosis.json")
    )
    assert measured["cfar"] == pytest.approx(diagnosed["cfar"])
    assert diagnosed["config"]["star"] == "Extract/job003/optimisation_set.star"
