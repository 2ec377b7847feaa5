"""Summary of a refinement by iteration."""

from __future__ import annotations

import json

import pytest

from relion_external.call import read_call
from relion_external.refinement import read_refinement
from relion_external.summary import write_summary
from relion_external.workspace import CORRECTED, IterationRecord, Workspace, read_records
from tests.relion_external.conftest import uneven_back_projector

METRICS = {
    "seconds": 3.0,
    "loss": 0.1,
    "resolution_angstrom": 12.0,
    "undersampled_fraction": 0.4,
    "unmeasured_fraction": 0.5,
    "inferred_fraction": 0.1,
    "inferred_angle_degrees": 20.0,
    "initial_reference_to_angstrom": None,
    "r_max": 13,
}


def write(job, iteration: int, half: int, halves: str = "independent", **metrics) -> Workspace:
    call = read_call(job.write_call(iteration, f"_half{half}_class001", uneven_back_projector(half)))
    workspace = Workspace(call)
    workspace.prepare()
    record = IterationRecord(
        iteration, f"half{half}", "class001", CORRECTED, halves=halves, metrics=METRICS | metrics
    )
    workspace.write_record(record)
    write_summary(call, read_refinement(call), workspace, uneven_back_projector(half))
    return workspace


def rows(job) -> list[dict]:
    return json.loads((job.folder / "spisonet" / "summary.json").read_text())["rows"]


@pytest.fixture
def three(make_job):
    """Three iterations of both halves."""
    job = make_job()
    for iteration in (3, 4, 5):
        for half in (2, 1):
            write(job, iteration, half)
        job.write_iteration(iteration)
    return job


def test_an_iteration_is_summarised_in_the_next_one(three):
    table = rows(three)
    assert [row["iteration"] for row in table] == [3, 4, 5]
    assert len(table[0]["corrections"]) == 2
    # Directions of iteration 3 are measured in iteration 4, those of iteration 5 not yet.
    assert table[0]["sphericity"] < 1
    assert table[0]["best_direction_angstrom"] is None  # to the end of the accumulators
    assert table[0]["worst_direction_angstrom"] > 4
    assert "sphericity" not in table[2]
    assert 0 < table[1]["median_view_angle_degrees"] < 60
    assert table[1]["median_view_change_degrees"] == pytest.approx(
        1, abs=0.2
    )  # the fixture tilts by a degree
    left = [path.name for path in (three.folder / "spisonet").glob("*_uncorrected.mrc")]
    assert sorted(left) == [
        "run_it005_half1_class001_uncorrected.mrc",
        "run_it005_half2_class001_uncorrected.mrc",
    ]


def test_the_page_has_the_same_rows_and_a_figure(three):
    page = (three.folder / "spisonet" / "summary.html").read_text()
    assert page.count("<tr>") == 4
    assert "corrected in 3 s, 10 % of the power inferred" in page
    assert "data:image/svg+xml" in page
    assert "NOT independent" not in page
    write(three, 6, 1, halves="coupled")
    assert "NOT independent" in (three.folder / "spisonet" / "summary.html").read_text()


def test_symmetry_mates_of_the_views_are_considered(make_job):
    job = make_job()
    sampling = job.folder / "run_it002_sampling.star"
    sampling.write_text(sampling.read_text().replace("Group C1", "Group C3"))
    # All views are 20 degrees from z, in one third of the circle: the axis is z for C3.
    rows = "\n".join(f"{4 * i} 20 0 1" for i in range(20))
    labels = "_rlnAngleRot #1\n_rlnAngleTilt #2\n_rlnAnglePsi #3\n_rlnRandomSubset #4"
    (job.folder / "run_it002_data.star").write_text(f"\ndata_particles\n\nloop_\n{labels}\n{rows}\n\n")
    write(job, 3, 1, initial_reference_to_angstrom=30.0)
    metrics = json.loads((job.folder / "spisonet" / "it002_class001.directions.json").read_text())
    assert metrics["preferred_axis"] == pytest.approx([0, 0, 1], abs=1e-3)
    assert metrics["median_view_angle_degrees"] == pytest.approx(20, abs=0.1)
    assert "ISONET_KEEP_LOWRES" in (job.folder / "spisonet" / "summary.html").read_text()


def test_records_of_other_versions_are_left_out(three):
    path = three.folder / "spisonet" / "it003_half1_class001.json"
    path.write_text('{"iteration": 3, "half": "half1", "part": "class001", "outcome": "corrected"}')
    assert [record.half for record in read_records(three.folder)] == ["half2", *2 * ["half1", "half2"]]


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({}, "20° from z)."),
        (
            {"initial_reference_class": "trusted", "initial_reference_to_angstrom": 30.0},
            "from z; initial reference trusted, kept to 30 Å: 40 % of the change of the map).",
        ),
        ({"initial_reference_class": "anisotropic"}, "from z; initial reference anisotropic, not kept)."),
    ],
)
def test_the_line_of_an_iteration_names_the_initial_reference(metrics, expected):
    found = METRICS | {"kept_fraction_of_change": 0.4} | metrics
    sentence = IterationRecord(3, "half1", "class001", CORRECTED, metrics=found).sentence()
    assert sentence.endswith(expected)


def test_classes_are_summarised_with_their_own_views(make_job):
    job = make_job()
    for iteration in (3, 4):
        job.write_iteration(iteration - 1, rlnDoSplitRandomHalves=0)
        for part in ("class001", "class002"):
            call = read_call(job.write_call(iteration, f"_{part}"))
            workspace = Workspace(call)
            workspace.prepare()
            workspace.write_record(IterationRecord(iteration, "", part, CORRECTED, metrics=dict(METRICS)))
            write_summary(call, read_refinement(call), workspace, uneven_back_projector())
    first, second = (row for row in rows(job) if row["iteration"] == 3)
    assert (first["part"], second["part"]) == ("class001", "class002")
    assert first["median_view_angle_degrees"] != second["median_view_angle_degrees"]
    assert "median_view_change_degrees" in second
    page = (job.folder / "spisonet" / "summary.html").read_text()
    assert "maps of the classes in the last iteration" in page
    assert "FSC /" not in page
    assert "sphericity" not in page.lower()
