"""Names of tilt series and tilt ranges of tilt files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from spisonet.errors import SpisonetError
from spisonet.io.tilt_angles import complete_tilt_range, core_name, find_tilt_file, read_tilt_range


@pytest.mark.parametrize(
    "name",
    [
        *("TS_01.mrc", "TS_01_EVN.mrc", "TS_01_ODD_Vol.mrc", "rec_TS_01_half1.mrc", "TS_01_10.00Apx.mrc"),
        *("TS_01_even_bin4.rec", "TS_01.mrc.gz"),
    ],
)
def test_all_files_of_a_tilt_series_have_its_name(name):
    assert core_name(Path(name)) == "TS_01"


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".tlt", "-50.00\n0.00\n66.01\n"),
        (".rawtlt", " -50\n 66.01\n"),
        (".mdoc", "[ZValue = 0]\nTiltAngle = -50\nDose = 3\n[ZValue = 1]\nTiltAngle = 66.01\n"),
        (".star", "data_TS_01\n\nloop_\n_rlnTomoNominalStageTiltAngle #1\n-50\n3\n66.01\n\n"),
    ],
)
def test_tilt_ranges_are_read_from_every_kind_of_tilt_file(tmp_path, suffix, text):
    (tmp_path / f"TS_01{suffix}").write_text(text)
    found = find_tilt_file(tmp_path / "TS_01_EVN.mrc")
    assert found == tmp_path / f"TS_01{suffix}"
    assert read_tilt_range(found) == (-50.0, 66.01)


def test_tilt_angles_of_warp_are_not_confused_with_its_tilt_axis(tmp_path):
    text = "data_\n\nloop_\n_wrpMovieName #1\n_wrpAngleTilt #2\n_wrpAxisAngle #3\na -58 84.1\nb 60 85.3\n\n"
    (tmp_path / "TS_01.tomostar").write_text(text)
    (tmp_path / "TS_01.star").write_text(
        "data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n1 2\n3 4\n\n"
    )
    found = find_tilt_file(tmp_path / "TS_01_10.00Apx.mrc")
    assert read_tilt_range(found) == (-58.0, 60.0)


@pytest.mark.parametrize("text", ["", "-60\n", "no angles\n", "-120\n120\n"])
def test_invalid_tilt_files_are_refused(tmp_path, text):
    path = tmp_path / "a.tlt"
    path.write_text(text)
    with pytest.raises(SpisonetError, match=r"a\.tlt"):
        read_tilt_range(path)


def test_missing_limits_of_a_tilt_range_come_from_the_tilt_file_or_the_default(tmp_path, caplog):
    caplog.set_level("INFO", logger="spisonet")
    path = tmp_path / "TS_1.tlt"
    path.write_text("-48\n0\n57\n")
    assert complete_tilt_range("TS_1", None, None, lambda: path) == (-48, 57)
    assert complete_tilt_range("TS_1", -40.0, None, lambda: path) == (-40, 57)
    assert complete_tilt_range("TS_1", None, 40.0, lambda: None) == (-60, 40)
    assert [record.message.partition("(")[2] for record in caplog.records] == [
        f"from {path}).",
        f"from {path}).",
        "default).",
    ]

    def unexpected() -> None:
        pytest.fail("A complete tilt range needs no tilt file")

    assert complete_tilt_range("TS_1", -40.0, 50.0, unexpected) == (-40, 50)


@pytest.mark.parametrize(("lowest", "highest"), [(70, 60), (60, 60), (-91, 60), (-60, 100)])
def test_invalid_tilt_ranges_are_refused(lowest, highest):
    message = (
        f"TS_1: invalid tilt range {lowest} to {highest} degrees "
        "(the minimum must be below the maximum, within +-90)."
    )
    with pytest.raises(SpisonetError, match=re.escape(message)):
        complete_tilt_range("TS_1", lowest, highest, lambda: None)
