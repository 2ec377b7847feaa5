"""The summary by iteration."""

from __future__ import annotations

import json

import numpy as np
import pytest

from relion_external.call import read_call
from relion_external.refinement import read_refinement
from relion_external.summary import _chart, write_summary
from relion_external.workspace import CORRECTED, IterationRecord, Workspace
from tests.relion_external.conftest import uneven_sums

FACTS = {
    "seconds": 3.0,
    "loss": 0.1,
    "resolution": 12.0,
    "sparse": 0.4,
    "hidden": 0.5,
    "inferred": 0.1,
    "direction": 20.0,
    "joint": False,
    "kept": None,
    "last_shell": 13,
}


def write(job, iteration: int, half: int, **facts) -> Workspace:
    call = read_call(job.write_call(iteration, f"_half{half}_class001", uneven_sums(half)))
    workspace = Workspace(call)
    workspace.prepare()
    record = IterationRecord(iteration, f"half{half}", "class001", CORRECTED, facts=FACTS | facts)
    workspace.write_record(record)
    write_summary(call, read_refinement(call), workspace, uneven_sums(half))
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


def test_an_iteration_is_summed_up_when_the_next_one_comes(three):
    table = rows(three)
    assert [row["iteration"] for row in table] == [3, 4, 5]
    assert len(table[0]["corrections"]) == 2
    # Directions of iteration 3 are known from iteration 4 on, of iteration 5 not yet.
    assert table[0]["sphericity"] < 1
    assert table[0]["best_direction"] < table[0]["worst_direction"]
    assert "sphericity" not in table[2]
    assert 0 < table[1]["median_angle"] < 60
    assert table[1]["median_change"] == pytest.approx(1, abs=0.2)  # the fixture tilts by a degree
    left = [path.name for path in (three.folder / "spisonet").glob("*_plain.mrc")]
    assert sorted(left) == ["run_it005_half1_class001_plain.mrc", "run_it005_half2_class001_plain.mrc"]


def test_the_page_tells_the_same(three):
    page = (three.folder / "spisonet" / "summary.html").read_text()
    assert page.count("<tr>") == 4
    assert "corrected in 3 s, 10 % inferred" in page
    assert "<svg" in page
    assert "NOT independent" not in page
    write(three, 6, 1, joint=True)
    assert "NOT independent" in (three.folder / "spisonet" / "summary.html").read_text()


def test_views_are_judged_with_their_symmetry_mates(make_job):
    job = make_job()
    sampling = job.folder / "run_it002_sampling.star"
    sampling.write_text(sampling.read_text().replace("Group C1", "Group C3"))
    # All views are 20 degrees from z, in one third of the circle: the axis is z for C3.
    rows = "\n".join(f"{4 * i} 20 0 1" for i in range(20))
    labels = "_rlnAngleRot #1\n_rlnAngleTilt #2\n_rlnAnglePsi #3\n_rlnRandomSubset #4"
    (job.folder / "run_it002_data.star").write_text(f"\ndata_particles\n\nloop_\n{labels}\n{rows}\n\n")
    write(job, 3, 1, kept=30.0)
    facts = json.loads((job.folder / "spisonet" / "it002_class001.directions.json").read_text())
    assert facts["preferred_axis"] == pytest.approx([0, 0, 1], abs=1e-3)
    assert facts["median_angle"] == pytest.approx(20, abs=0.1)
    assert "ISONET_KEEP_LOWRES" in (job.folder / "spisonet" / "summary.html").read_text()


def test_charts_span_their_figures():
    assert _chart([(1, 2.0)], "one point is no curve") == ""
    chart = _chart([(1, 2.0), (2, 8.0), (4, 4.0)], "a <title>")
    assert "&lt;title&gt;" in chart
    heights = [float(part.split(",")[1]) for part in chart.split("points='")[1].split("'")[0].split()]
    assert np.argmin(heights) == 1
