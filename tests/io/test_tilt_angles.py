"""Names of tilt series and tilt ranges of tilt files."""

from __future__ import annotations

from pathlib import Path

import pytest

from spisonet.errors import SpisonetError
from spisonet.io.tilt_angles import core_name, find_tilt_file, read_tilt_range


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
