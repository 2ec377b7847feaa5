"""Runs of the quality benchmark, their record, tables and plots."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import benchmarks.quality.methods
from benchmarks.quality import (
    METHODS,
    PROFILES,
    ConeCase,
    CorrectedMaps,
    Method,
    Profile,
    Result,
    Training,
    case_table,
    compare,
    plot_maps,
    plot_scores,
    read_results,
    run_suite,
    score_map,
    summary_table,
    with_seeds,
)
from benchmarks.quality.cases import ParticleCase
from benchmarks.quality.run import main
from benchmarks.quality.suite import write_results
from spisonet.errors import SpisonetError

README = Path(__file__).parents[2] / "benchmarks" / "README.md"
SHORT = Training(1, 4, cube_size=16, filter_base=4, published_filter_base=4)


@pytest.fixture
def specs(blobs):
    return [ConeCase(blobs, "wedge", 45, noise=0.3), ConeCase(blobs, "cone", 60, noise=0.3)]


@pytest.fixture
def calls(monkeypatch):
    """Register a method that returns the truth; its cases are noted."""
    cases = []

    def correct(case, training, folder):
        cases.append(case.name)
        return CorrectedMaps(case.truth, case.truth)

    monkeypatch.setitem(METHODS, "oracle", Method("oracle", correct, trains=True))
    return cases


def test_a_run_continues(specs, sources, calls, tmp_path):
    out = tmp_path / "out"
    first = run_suite(specs[:1], ["input", "oracle"], SHORT, sources, out)
    assert [(r.method, r.kind) for r in first] == [
        *(("input", "half"), ("input", "full"), ("oracle", "half"), ("oracle", "full")),
    ]
    results = run_suite(specs, ["oracle", "input"], SHORT, sources, out)
    assert calls == [spec.name for spec in specs]
    assert len(results) == 8
    repeated = [r for r in results if r.case == specs[0].name and r.method == "input"]
    assert [r.seconds for r in repeated] == [r.seconds for r in first[:2]]
    # Other trainings are other runs.
    run_suite(specs[:1], ["oracle"], replace(SHORT, epochs=2), sources, out)
    assert len(calls) == 3
    assert len(read_results(out / "scores.json")) == 10


def test_a_failed_method_is_reported_and_the_run_continues(specs, sources, calls, tmp_path, monkeypatch):
    def fail(case, training, folder):
        raise SpisonetError("no correlation")

    monkeypatch.setitem(METHODS, "failing", Method("failing", fail))
    reports = []
    results = run_suite(specs[:1], ["failing", "oracle"], SHORT, sources, tmp_path / "out", reports.append)
    assert [str(event) for event in reports if isinstance(event, SpisonetError)] == ["no correlation"]
    assert {result.method for result in results} == {"oracle"}
    with pytest.raises(SpisonetError, match="other is unknown"):
        run_suite(specs, ["other"], SHORT, sources, tmp_path / "out")


def result(case="a", method="input", kind="half", **scores):
    names = ("empty", "weak", "good", "all", "fine_empty", "power", "optimal_power", "ccmask")
    return Result(case, method, kind, 0, 2.0, dict.fromkeys(names, 0.5) | scores)


def test_results_survive_the_record(tmp_path):
    written = [result(empty=float("nan"), ccmask=0.25)]
    write_results(tmp_path / "scores.json", written)
    assert json.loads((tmp_path / "scores.json").read_text())[0]["scores"]["empty"] is None
    read = read_results(tmp_path / "scores.json")
    assert np.isnan(read[0].scores.pop("empty"))
    written[0].scores.pop("empty")
    assert read == written
    (tmp_path / "scores.json").write_text('[{"case": "a"}]')
    with pytest.raises(SpisonetError, match=r"scores\.json"):
        read_results(tmp_path / "scores.json")


def test_methods_are_compared_over_all_cases():
    nan = float("nan")
    results = [
        *(result("a", empty=0.2), result("b", empty=0.4), result("c", empty=nan)),
        *(result("a", "x", empty=0.6, weak=0.45, ccmask=0.6), result("b", "x", empty=0.3, good=0.48)),
        result("c", "x", empty=nan, weak=nan, power=nan, optimal_power=nan, ccmask=0.4),
        result("d", "x"),  # the input is missing
    ]
    before, x = compare(results, "half")
    assert (before.method, x.method, x.n_cases) == ("input", "x", 3)
    assert (x.ahead_empty, before.ahead_empty) == (0.5, 0.5)
    assert (x.ahead_ccmask, before.ahead_ccmask) == pytest.approx((1 / 3, 1 / 3))
    assert x.gap_closed == pytest.approx(((0.6 - 0.2) / 0.8 + (0.3 - 0.4) / 0.6) / 2)
    assert (x.worst_weak, x.worst_good) == pytest.approx((-0.05, -0.02))
    assert x.power_ratio == (1, 1, 1)
    assert compare(results, "full") == []


def test_tables_and_plots_show_every_method(specs, sources, calls, tmp_path):
    results = run_suite(specs, ["input", "oracle"], SHORT, sources, tmp_path, keep_maps=True)
    table = case_table(results)
    assert table.count("\n") == 9
    assert f"| {specs[1].name} | full map | average |" in table
    assert f"| {specs[0].name} | half map 1 | oracle | 1.000 | – | 1.000 |" in table
    assert "| full map | oracle | 2 | 100 % | 100 % |" in summary_table(results)
    panels = plot_scores(results).axes
    assert len(panels) == 8
    assert {line.get_label() for line in panels[0].lines} == {"input", "oracle"}
    case = sources.case(specs[0])
    assert len(plot_maps(case, {"average": case.average}).axes) == 6
    kept = tmp_path / specs[0].name / "maps"
    assert len(list(kept.glob("oracle_*.mrc"))) == 3


def test_the_command_writes_tables_and_a_plot(specs, sources, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(PROFILES, "cpu", Profile(tuple(specs), (1, 2), SHORT))
    folders = ["--models", str(sources.models), "--maps", str(sources.maps), "--cases", str(sources.cases)]
    options = [*folders, "--out", str(tmp_path / "out"), "--methods", "input", "lowpass"]
    assert main([*options, "--only", "cone60", "--seeds", "2"]) == 0
    shown = capsys.readouterr().out
    assert "cone60_noise0.3_seed2 | half map 1 | lowpass" in shown
    assert "wedge" not in shown
    assert (tmp_path / "out" / "tables.md").read_text() in shown
    assert (tmp_path / "out" / "scores.png").is_file()
    (sources.maps / "blobs.mrc").unlink()
    assert main(options) == 1
    assert "--maps" in capsys.readouterr().err


def test_cases_can_be_made_alone(specs, sources, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(PROFILES, "cpu", Profile(tuple(specs), (1,), SHORT))
    out = tmp_path / "out"
    folders = ["--maps", str(sources.maps), "--cases", str(sources.cases), "--out", str(out)]
    assert main([*folders, "--make_only"]) == 0
    assert sorted(path.name for path in sources.cases.iterdir()) == sorted(spec.name for spec in specs)
    assert not out.exists()


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_span_particles_views_and_errors(name):
    profile = PROFILES[name]
    specs = with_seeds(profile.cases, profile.seeds)
    assert len({spec.name for spec in specs}) == len(specs)
    assert len({spec.particle.name for spec in specs}) == 6
    particles = [spec for spec in specs if isinstance(spec, ParticleCase)]
    assert {spec.views for spec in particles} >= {"top", "side", "two", "ring"}
    for values in (
        {spec.noise for spec in particles},
        {spec.pose_error_degrees for spec in particles},
        {spec.drift_degrees for spec in particles},
        {spec.symmetric for spec in particles},
        {spec.shape for spec in specs if isinstance(spec, ConeCase)},
    ):
        assert len(values) >= 2


def test_the_documented_program_compares_a_method(specs, sources, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.quality.methods.METHODS", dict(METHODS))
    monkeypatch.setattr("benchmarks.quality.suite.METHODS", benchmarks.quality.methods.METHODS)
    monkeypatch.setitem(PROFILES, "cpu", Profile(tuple(specs[:1]), (1,), SHORT))
    monkeypatch.chdir(tmp_path)
    (program,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(program, str(README), "exec"), {})
    shown = capsys.readouterr().out
    assert "| full map | smooth | " in shown
    found = {(r.method, r.kind): r.scores for r in read_results(tmp_path / "results" / "scores.json")}
    assert len(found) == 6
    case = sources.case(specs[0])
    expected = score_map(case, gaussian_filter(case.average, 1)).record()
    assert found["smooth", "full"]["ccmask"] == pytest.approx(expected["ccmask"])
    assert found["smooth", "full"]["ccmask"] != pytest.approx(found["input", "full"]["ccmask"])
    assert (tmp_path / "results" / "scores.png").is_file()
