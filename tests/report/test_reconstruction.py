"""The report of a run: one page, and the same numbers as JSON."""

from __future__ import annotations

import json

import pytest

from spisonet.commands.main import main
from spisonet.io.events import read_progress
from spisonet.report.run_metadata import _factors, _gains

QUICK = ["--limit_res", "6", "--epochs", "1", "--n_subvolume", "8", "--cube_size", "16", "--filter_base", "4"]
QUICK += ["--ncpus", "1"]  # such small work is not worth sharing


@pytest.fixture
def done(small_case, tmp_path):
    """Folder of a finished run."""
    main(["reconstruct", *small_case.inputs, *QUICK, "--output_dir", str(tmp_path / "out")])
    return tmp_path / "out"


def test_a_report_sums_up_a_finished_run_and_no_other(done, tmp_path, capsys):
    out = done
    assert "NOT independent" in (out / "report.html").read_text()
    assert json.loads((out / "report.json").read_text())["halves"]
    main(["report", str(out), "-o", str(tmp_path / "sum.html")])
    page = (tmp_path / "sum.html").read_text()
    assert "halves coupled" in page
    numbers = json.loads((tmp_path / "sum.json").read_text())["fsc_by_direction"]
    assert set(numbers) == {"before", "after"}
    assert len(numbers["after"]["axes_xyz"]) == len(numbers["after"]["directional_0143_angstrom"])
    assert 0 < numbers["before"]["cfar"] <= 1
    report = json.loads((tmp_path / "sum.json").read_text())
    for name in ("cfar", "sphericity", "resolution_0143_angstrom", "worst_direction_0143_angstrom"):
        assert report["diagnosis"][name] == numbers["before"][name], name
    assert "not reached to the limit of" in page  # a given limit ends every curve
    assert report["inferred"]["unmeasured_fraction"] == report["run"]["unmeasured_fraction"]
    percent = f"{100 * report['run']['unmeasured_fraction']:.0f} % of Fourier space to"
    assert page.count(percent) >= 3  # verdict, section and table of the run
    assert report["verdict_code"] == "too_short"
    assert "The training was too short to learn" in (out / "run.log").read_text()
    assert capsys.readouterr().out.splitlines()[-2:] == [
        report["verdict"],
        f"Report: {tmp_path / 'sum.html'}",
    ]
    stages = {event.stage for event in read_progress(out)}
    assert stages >= {"training", "prediction", "figures", "report"}
    assert (tmp_path / "sum_directional_fsc.png").is_file()
    record = json.loads((out / "job.json").read_text())
    full = json.loads((out / "report.json").read_text())["full_map"]
    assert full == record["full_map"] | {"inferred_power_fraction": full["inferred_power_fraction"]}
    assert 0 < full["inferred_power_fraction"] < 1
    assert "corrected_full.mrc is the map to build into" in page
    assert (out / "full_map.png").is_file()
    assert "full_map.png" in record["figures"]
    (out / "job.json").write_text(json.dumps(record | {"status": "failed"}))
    capsys.readouterr()
    for folder, part in (
        (out, "does not contain a finished reconstruct run"),
        (tmp_path / "nowhere", "contains no job.json"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(["report", str(folder)])
        assert stopped.value.code == 1
        assert part in capsys.readouterr().err


def test_the_range_of_gains_is_that_of_the_corrected_shells():
    row = _gains({"both halves": [1.0, 0.5, 1.5, 1.9]}, [1.0, 1.0, 0.2, 0.0])
    assert list(row.values()) == ["both halves: 0.50 to 1.50"]
    assert _gains({"both halves": None}, [1.0]) == {}
    assert _gains({}, []) == {}


def test_factors_are_stated_unless_they_are_1():
    (row,) = _factors({"both halves": {"well_measured": 4.0, "poorly_measured": 0.25}}).values()
    assert row.startswith("both halves: 4.00 ")
    assert " 0.25 " in row
    assert _factors({"half1": {"well_measured": 1.0, "poorly_measured": 1.0}}) == {}
