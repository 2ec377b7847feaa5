"""Names of tilt series and tilt ranges of tilt files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from spisonet.errors import SpisonetError
from spisonet.io.series_names import series_name
from spisonet.io.tilt_angles import TiltRange, complete_tilt_range, find_tilt_file, read_tilt_range


@pytest.mark.parametrize(
    "name",
    [
        *("TS_01.mrc", "TS_01_EVN.mrc", "TS_01_ODD_Vol.mrc", "rec_TS_01_half1.mrc", "TS_01_10.00Apx.mrc"),
        *("TS_01_even_bin4.rec", "TS_01.mrc.gz"),
    ],
)
def test_all_files_of_a_tilt_series_have_its_name(name):
    assert series_name(Path(name)) == "TS_01"


SERIALEM = (
    "PixelSpacing = 1.35\nT = a = b\n\n[ZValue = 0]\nTiltAngle = -50\nDose = 3\n"
    "[ZValue = 1]\nTiltAngle = 66.01\n"
)
ARETOMO = """# AreTomo Alignment / Priims bprmMn
# RawSize = 4092 5760 3
# NumPatches = 1
# DarkFrame =     0    1   -80.00
{}# SEC     ROT         GMAG       TX          TY      SMEAN     SFIT    SCALE     BASE     TILT
    0    84.5000    1.00000      0.100      0.200     1.00     1.00     1.00     0.00    -50.00
    1    84.5000    1.00000      0.100      0.200     1.00     1.00     1.00     0.00     66.01
# Local Alignment
   0   0   500.00   -800.00    100.00     99.00   1.0
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("TS_01.tlt", "-50.00\n0.00\n66.01\n"),
        ("TS_01.rawtlt", " -50\n 66.01\n"),
        ("TS_01.rawtlt", "-50 117.0 3\n66.01 3.0 1\n"),  # angle, dose, order
        ("TS_01.tlt", "\ufeff-50\n66.01\n"),
        ("TS_01.tlt", "-50 0 66.01"),
        ("TS_01.tlt", "-50,120\n66.01,3\n"),
        ("TS_01_st.tlt", "-50\n66.01\n"),
        ("TS_01_TLT.txt", "# tilt dose\n  -50.00  1\n  66.01  2\n"),
        ("TS_01_Imod/TS_01_st.tlt", "-50\n66.01\n"),
        ("TS_01/TS_01.tlt", "-50\n66.01\n"),
        ("TS_01.aln", ARETOMO.format("# AlphaOffset =     0.00\n# BetaOffset =     0.00\n")),
        ("TS_01.st.aln", ARETOMO.format("")),  # of AreTomo 1
        ("TS_01.aln", "\ufeff" + ARETOMO.format("")),
        ("TS_01.mdoc", SERIALEM),
        ("TS_01.mrc.mdoc", "\ufeff" + SERIALEM.partition("\n\n")[2].replace("\n", "\r\n")),
        ("TS_01.mdoc", SERIALEM.replace("ZValue", "FrameSet")),
        ("TS_01.st.rawtlt", "-50\n66.01\n"),
        ("TS_01_EVN.tlt", "-50\n66.01\n"),
        ("TS_01.star", "data_TS_01\n\nloop_\n_rlnTomoNominalStageTiltAngle #1\n-50\n3\n66.01\n\n"),
    ],
)
def test_tilt_ranges_are_read_from_every_kind_of_tilt_file(tmp_path, name, text):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")
    found = find_tilt_file([tmp_path / "TS_01_EVN_Vol.mrc"])
    assert found == path
    assert read_tilt_range(found) == (-50.0, 66.01)


def test_refined_angles_precede_nominal_ones_and_other_series_are_not_taken(tmp_path):
    for name in ("TS_01.rawtlt", "TS_01.aln", "TS_01.mdoc", "TS_010.tlt", "S_01.tlt"):
        (tmp_path / name).touch()
    assert find_tilt_file([tmp_path / "TS_01.mrc"]).name == "TS_01.aln"
    assert find_tilt_file([tmp_path / "TS_0.mrc"]) is None


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("a.mdoc", "[FrameSet = 0]\nTiltAngle = 32.99\nTiltAngle = 33\n", "frames of one image (FrameSet)"),
        ("a.tlt", "32.99\n33\n", "from 32.99 to 33 degrees, too small a range"),
        ("a.tlt", "".join(f"{i} {3 * i - 60}\n" for i in range(1, 42)), "The first column of"),
        (
            "a.txt",
            "".join(f"{i}\n" for i in (11, 10, 12, *range(10), 13)),
            "from 0 to 13, which appear to be numbers",
        ),
        ("a.tlt", "3.1\n30\n62\n", "or doses, not tilt angles"),
        ("a.mdoc", "TiltAngle = -60\nTiltAngle = -20\n", "The TiltAngle column of"),
        ("a.aln", "# SEC ROT TILT\n0 84.5\n", "line without a tilt angle"),
        (
            "a.rawtlt",
            "".join(f"{3.1 * i:.1f}\n" for i in range(20)),
            "from 0 to 58.9, which appear to be numbers",
        ),
        ("a.rawtlt", "3.1 -60\n105 0\n60 60\n", "or doses, not tilt angles"),
        ("a.txt", "87.5 -60\n1.5 0\n60 60\n", "appear to be doses, and column 2 the tilt angles"),
        ("a.rawtlt", "tilt\n-60\n60\n", "contains 'tilt' instead of a tilt angle"),
        ("a.mdoc", "[FrameSet = 0]\nTiltAngle = 33\n", "no tilt angles of a tilt series, since it describes"),
    ],
)
def test_files_that_are_not_of_a_tilt_series_are_named(tmp_path, name, text, part):
    (tmp_path / name).write_text(text)
    with pytest.raises(SpisonetError, match=re.escape(part)):
        read_tilt_range(tmp_path / name)


def test_tilt_angles_of_warp_are_not_confused_with_its_tilt_axis(tmp_path):
    text = "data_\n\nloop_\n_wrpMovieName #1\n_wrpAngleTilt #2\n_wrpAxisAngle #3\na -58 84.1\nb 60 85.3\n\n"
    (tmp_path / "TS_01.tomostar").write_text(text)
    (tmp_path / "TS_01.star").write_text(
        "data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n1 2\n3 4\n\n"
    )
    found = find_tilt_file([tmp_path / "TS_01_10.00Apx.mrc"])
    assert read_tilt_range(found) == (-58.0, 60.0)


@pytest.mark.parametrize("text", ["", "-60\n", "no angles\n", "-120\n120\n"])
def test_invalid_tilt_files_are_refused(tmp_path, text):
    path = tmp_path / "a.tlt"
    path.write_text(text)
    with pytest.raises(SpisonetError, match=r"a\.tlt"):
        read_tilt_range(path)


def test_missing_limits_of_a_tilt_range_come_from_the_tilt_file_or_are_assumed(tmp_path):
    path = tmp_path / "TS_1.tlt"
    path.write_text("-48\n0\n57\n")
    assert complete_tilt_range("TS_1", None, None, lambda: path) == TiltRange(-48, 57, path)
    assert complete_tilt_range("TS_1", -40.0, None, lambda: path).degrees == (-40, 57)
    assumed = complete_tilt_range("TS_1", None, 40.0, lambda: None)
    assert assumed == TiltRange(-60, 40, is_assumed=True)
    assert assumed.origin == "assumed, no tilt file found"

    def unexpected() -> None:
        pytest.fail("A complete tilt range needs no tilt file")

    assert complete_tilt_range("TS_1", -40.0, 50.0, unexpected) == TiltRange(-40, 50)


@pytest.mark.parametrize(("lowest", "highest"), [(70, 60), (60, 60), (-91, 60), (-60, 100)])
def test_invalid_tilt_ranges_are_refused(lowest, highest):
    message = (
        f"TS_1: invalid tilt range {lowest} to {highest} degrees "
        "(the minimum must be below the maximum, within +-90)."
    )
    with pytest.raises(SpisonetError, match=re.escape(message)):
        complete_tilt_range("TS_1", lowest, highest, lambda: None)


def test_tilt_files_are_found_beside_any_tomogram_of_the_series_and_one_folder_above(tmp_path):
    tomograms = [tmp_path / "full" / "TS_01.mrc", tmp_path / "even" / "TS_01.mrc"]
    for path in tomograms:
        path.parent.mkdir()
    assert find_tilt_file(tomograms) is None
    above, beside, first = (
        tmp_path / name for name in ("TS_01.tlt", "even/TS_01.rawtlt", "tilts/TS_01.mdoc")
    )
    first.parent.mkdir()
    for path in (above, beside, first):
        path.touch()
        assert find_tilt_file(tomograms, [first.parent]) == path


def test_tilts_of_lamellae_and_star_files_in_upper_case_are_read(tmp_path):
    (tmp_path / "a.tlt").write_text("2.5\n20\n65\n")
    assert read_tilt_range(tmp_path / "a.tlt") == (2.5, 65)
    (tmp_path / "a_TLT.txt").write_text("2.5 0.3\n20 -0.3\n65 0.1\n")
    assert read_tilt_range(tmp_path / "a_TLT.txt") == (2.5, 65)
    (tmp_path / "a.mdoc").write_text("[ZValue = 0]\nTiltAngle = 0\n[ZValue = 1]\nTiltAngle = 60\n")
    assert read_tilt_range(tmp_path / "a.mdoc") == (0, 60)
    (tmp_path / "A.STAR").write_text("data_\n\nloop_\n_wrpAngleTilt #1\n-58\n60\n\n")
    assert read_tilt_range(tmp_path / "A.STAR") == (-58, 60)
    with pytest.raises(SpisonetError, match="is not a file"):
        read_tilt_range(tmp_path)


def test_the_frames_of_one_image_do_not_hide_the_tilt_series(tmp_path):
    (tmp_path / "TS_01.mdoc").write_text("[FrameSet = 0]\nTiltAngle = 33\n")
    assert find_tilt_file([tmp_path / "TS_01.mrc"]) == tmp_path / "TS_01.mdoc"  # to say what it is
    (tmp_path / "TS_01.mrc.mdoc").write_text(SERIALEM)
    assert find_tilt_file([tmp_path / "TS_01.mrc"]) == tmp_path / "TS_01.mrc.mdoc"


def test_tilt_series_of_a_relion_5_job_are_found_from_its_tomograms(tmp_path):
    (tmp_path / "job005" / "tilt_series").mkdir(parents=True)
    series = tmp_path / "job005" / "tilt_series" / "TS_01.star"
    series.write_text("data_\n\nloop_\n_rlnTomoNominalStageTiltAngle #1\n-50\n0\n66.01\n\n")
    found = find_tilt_file([tmp_path / "job005" / "tomograms" / "rec_TS_01.mrc"])
    assert found == series
    assert read_tilt_range(found) == (-50, 66.01)
