"""The commands ``reconstruct --validate``, ``validate`` and ``nulltest``: what they leave, and bad input."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spisonet.commands.main import main
from spisonet.errors import SpisonetError
from spisonet.io.mrc import read_volume, write_volume

QUICK = ["--limit_res", "6", "--epochs", "2", "--n_subvolume", "8", "--cube_size", "16", "--filter_base", "4"]
QUICK += ["--ncpus", "1"]  # such small work is not worth sharing


def run(case, out, *more: str):
    main(["reconstruct", *case.inputs, *QUICK, "--output_dir", str(out), *more])
    return out


def failure(words: list[str], capsys) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main(words)
    message = capsys.readouterr().err.strip()
    assert stopped.value.code == 1
    assert "\n" not in message
    return message


def test_a_validated_run_says_what_was_recovered_and_how_certain_every_voxel_is(small_case, tmp_path):
    out = run(small_case, tmp_path / "out", "--validate", "--validation_cones", "2")
    found = json.loads((out / "validation" / "validation.json").read_text())
    assert len(found["by_cone"]) == 2
    assert found["settings"]["epochs"] == 1
    assert -1 < found["recovery"] < 1.2
    curve = found["by_resolution"]
    assert len({len(values) for values in curve.values()}) == 1
    assert all(0 < value <= 1 for value in curve["ceiling"])
    uncertainty = read_volume(out / "validation" / "uncertainty.mrc")
    assert uncertainty.nstart == read_volume(small_case.half1).nstart
    assert (uncertainty.data > 0).all()
    assert read_volume(out / "validation" / "uncertainty_fourier.mrc").data.max() <= 1
    script = (out / "validation" / "uncertainty.cxc").read_text().splitlines()
    assert len(script) == 2
    assert script[1].startswith("hide #2 models; color sample #1 map #2 palette")
    report = json.loads((out / "report.json").read_text())
    assert report["held_out"]["recovery"] == found["recovery"]
    assert max(report["held_out"]["uncertainty"]["by_resolution"]["all_directions"]) <= 1
    assert "Held-out validation: correlation with the signal" in report["verdict"]
    assert 0 < report["inferred"]["inferred_power_fraction"] < 1
    assert read_volume(out / "inferred_fraction.mrc").data.max() <= 1
    assert "data:image/svg+xml" in (out / "report.html").read_text()

    # What was found of one run is not said of the next in the same folder.
    run(small_case, out, "--seed", "3", "--no-validate")
    report = json.loads((out / "report.json").read_text())
    assert "held_out" not in report
    assert report["verdict_code"] == "too_short"
    assert "Not validated yet" in report["verdict"]


def logged(folder) -> list[str]:
    return [line.split(" ", 3)[3] for line in (folder / "run.log").read_text().splitlines()]


def test_a_validation_can_be_repeated_and_resumed(small_case, tmp_path, capsys):
    out = run(small_case, tmp_path / "out", "--no-report", "--independent")
    words = ["validate", str(out), "--cones", "1", "--turns", "2", "--epochs", "1", "--ncpus", "1"]
    capsys.readouterr()
    main(words)
    shown = capsys.readouterr().out.splitlines()
    assert shown[-1].startswith("Report: ")
    assert logged(out / "validation") == shown
    record = out / "validation" / "validation.json"
    first = json.loads(record.read_text())
    main([*words, "--resume"])
    again = json.loads(record.read_text())
    assert again["recovery"] == pytest.approx(first["recovery"], abs=1e-5)


def test_a_correction_whose_validation_fails_can_be_reported(small_case, tmp_path, capsys, monkeypatch):
    def fail(*_: object) -> None:
        raise SpisonetError("The cones are empty.")

    monkeypatch.setattr("spisonet.commands.reconstruct.validate_into_folder", fail)
    words = ["reconstruct", *small_case.inputs, *QUICK, "--validate", "--output_dir", str(tmp_path / "out")]
    assert "The cones are empty." in failure(words, capsys)
    record = json.loads((tmp_path / "out" / "job.json").read_text())
    assert (record["status"], record["error"]["message"]) == ("finished", "The cones are empty.")
    assert logged(tmp_path / "out")[-1] == "stopped: The cones are empty."
    main(["report", str(tmp_path / "out")])


def test_null_tests_tell_what_appears(small_case, tmp_path, capsys):
    out = run(small_case, tmp_path / "out", "--no-report")
    mask = read_volume(small_case.mask)
    domain = np.zeros_like(mask.data)
    domain[12:17, 10:15, 10:15] = 1
    write_volume(tmp_path / "domain.mrc", mask.with_data(domain))
    capsys.readouterr()
    main(["nulltest", str(out), "--delete", str(tmp_path / "domain.mrc"), "--epochs", "1", "--ncpus", "1"])
    shown = capsys.readouterr().out.splitlines()
    assert any(line.startswith("Null test noise: ") for line in shown)
    assert logged(out / "null_tests") == shown
    found = json.loads((out / "null_tests" / "null_tests.json").read_text())
    assert found["noise"]["result"] in {"passed", "not_attempted"}
    assert abs(found["noise"]["after"] - found["noise"]["before"]) < 0.05
    assert found["phases"]["beyond_angstrom"] == pytest.approx(9)
    assert found["deletion"]["after"] < found["deletion"]["original"]
    assert json.loads((out / "report.json").read_text())["null_tests"] == found
    assert "noise only" in (out / "report.html").read_text()
    assert "must be coarser than the resolution limit" in failure(
        ["nulltest", str(out), "--phase_res", "6"], capsys
    )


def test_what_cannot_be_validated_is_said_so(small_case, tmp_path, capsys):
    out = tmp_path / "one"
    words = [str(small_case.half1), "--aniso_file", str(small_case.fsc3d), "--mask", str(small_case.mask)]
    main(["reconstruct", *words, *QUICK, "--no-report", "--output_dir", str(out)])
    assert "Held-out validation needs two half maps" in failure(["validate", str(out)], capsys)
    assert "Null tests need two half maps" in failure(["nulltest", str(out)], capsys)
    assert "contains no job.json" in failure(["validate", str(tmp_path)], capsys)
    assert not (out / "validation").exists()
