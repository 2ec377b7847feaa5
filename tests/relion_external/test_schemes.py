"""The example Schemes: every name in them leads to a job, a file or a variable."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from relion_external.job_form import read_form
from relion_external.jobs.schemes import END, schemes
from spisonet.commands.main import main as spisonet
from spisonet.io.star import StarFile

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
