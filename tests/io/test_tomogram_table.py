"""Tables of tomograms: what is kept, changed and refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from spisonet.errors import SpisonetError
from spisonet.io.star import StarFile
from spisonet.io.tomogram_table import (
    DENOISED_RELION5,
    FULL_RELION5,
    HALVES,
    TomogramTable,
    results_table,
)

RELION5 = """
# version 50001

data_global

loop_
_rlnTomoName #1
_rlnVoltage #2
_rlnOpticsGroupName #3
_rlnTomoTiltSeriesPixelSize #4
_rlnTomoTomogramBinning #5
_rlnTomoReconstructedTomogramHalf1 #6
_rlnTomoReconstructedTomogramHalf2 #7
TS_01 300.000000 optics1 1.350000 7.407407 even/rec_TS_01_half1.mrc odd/rec_TS_01_half2.mrc
TS_03 300.000000 optics1 1.350000 7.407407 even/rec_TS_03_half1.mrc odd/rec_TS_03_half2.mrc
"""


def test_a_relion_5_table_is_written_back_word_by_word(tmp_path):
    path = tmp_path / "tomograms.star"
    path.write_text(RELION5)
    table = TomogramTable.read(path)
    first, second = table.rows
    assert first.full is None
    assert first.halves == (Path("even/rec_TS_01_half1.mrc"), Path("odd/rec_TS_01_half2.mrc"))
    assert (first.shown, first.index, second.index) == ("TS_01", "1", "2")
    assert first.voxel_size_angstrom == pytest.approx(10.0, abs=1e-5)
    table.set(second, "rlnMaskName", Path("mask/TS_03.mrc"))
    table.write()
    words = [w for line in path.read_text().splitlines() if not line.startswith("#") for w in line.split()]
    before = [w for line in RELION5.splitlines() if not line.startswith("#") for w in line.split()]
    kept = [w for w in words if w not in ("_rlnMaskName", "#8", "None", "mask/TS_03.mrc")]
    assert kept == before
    assert TomogramTable.read(path).rows[0].path("rlnMaskName") is None


def test_comments_and_single_values_are_kept(tmp_path):
    path = tmp_path / "t.star"
    single = "# version 50001\n\ndata_general\n\n_rlnTomoSubTomosAre2DStacks 1\n\n"
    path.write_text(single + RELION5.replace("# version 50001", ""))
    TomogramTable.read(path).write()
    text = path.read_text()
    assert text.startswith("# version 50001\n")
    assert "_rlnTomoSubTomosAre2DStacks" in text.partition("data_global")[0]
    assert "loop_" not in text.partition("data_global")[0]
    assert len(TomogramTable.read(path).rows) == 2


def test_tables_of_two_sessions_or_versions_in_one_file_are_refused(tmp_path):
    """The rows of a RELION 5 table are known by their names; RELION 3.1 and IsoNet list files."""
    path = tmp_path / "t.star"
    own = "data_\n\nloop_\n_rlnIndex #1\n_rlnMicrographName #2\n1 tomograms/TS_01.mrc\n"
    path.write_text(RELION5 + own)
    with pytest.raises(
        SpisonetError, match=r"t.star has 2 tables of tomograms \(data_global, data_\); give each"
    ):
        TomogramTable.read(path)
    # RELION 5 needs one name for each tilt series, IsoNet2 one file.
    series = RELION5.replace("_rlnOpticsGroupName", "_rlnTomoTiltSeriesStarFile")
    path.write_text(series.replace("TS_03 ", "TS_01 "))
    with pytest.raises(SpisonetError, match="2 tilt series of the name TS_01 in column rlnTomoName; rename"):
        TomogramTable.read(path)
    path.write_text(series)
    assert len(TomogramTable.read(path).rows) == 2


VALUES = [
    "my tomo.mrc",
    "",
    "it's.mrc",
    'a"b c.mrc',
    "a#b.mrc",
    "#a.mrc",
    "_a.mrc",
    "data_1.mrc",
    "1.50",
    "None",
]


def test_values_are_quoted_and_read_as_by_relion(tmp_path):
    path = tmp_path / "t.star"
    rows = [{"rlnMicrographName": value, "rlnNote": "x", "rlnLast": value} for value in VALUES]
    TomogramTable.new(path, rows).write()
    table = TomogramTable.read(path)
    assert [row.values["rlnLast"] for row in table.rows] == VALUES
    assert [row.values["rlnMicrographName"] for row in table.rows] == VALUES
    assert '"my tomo.mrc"\tx\t"my tomo.mrc"\n""\tx\t""\nit\'s.mrc\tx\tit\'s.mrc\n' in path.read_text()
    table.write()
    assert [row.values["rlnLast"] for row in TomogramTable.read(path).rows] == VALUES
    with pytest.raises(SpisonetError, match="both kinds of quotes"):
        TomogramTable.new(path, [{"rlnMicrographName": "a\" b' c"}]).write()


@pytest.mark.parametrize(
    ("rows", "part"),
    [
        ("a.mrc 3\nb.mrc\n", "1 values for 2 columns in line 7"),
        (
            "my tomo.mrc 3\n",
            r"3 values for 2 columns in line 6; quote values that are empty \(\"\"\) or contain",
        ),
        ("a.mrc 3\n_rlnB #3\n", r"the column _rlnB below the rows of its table \(line 7\)"),
    ],
)
def test_faulty_lines_are_named(tmp_path, rows, part):
    path = tmp_path / "t.star"
    path.write_text("data_\n\nloop_\n_rlnMicrographName #1\n_rlnA #2\n" + rows)
    with pytest.raises(SpisonetError, match=part):
        TomogramTable.read(path)
    if "values" in part:
        with pytest.raises(SpisonetError, match=part):
            StarFile(path)


def test_relion_finds_a_tomogram_in_every_row_of_the_denoised_column(tmp_path):
    labels = ("rlnTomoName", FULL_RELION5, *HALVES)
    rows = [
        dict(zip(labels, values, strict=True))
        for values in (
            ("TS_1", "rec_1.mrc", "None", "None"),
            ("TS_2", "rec_2.mrc", "None", "None"),
            ("TS_3", "None", "even_3.mrc", "odd_3.mrc"),
        )
    ]
    table = TomogramTable.new(tmp_path / "tomograms.star", rows)
    table.note(table.rows[0], {DENOISED_RELION5: "corrected_1.mrc"})
    after = TomogramTable.read(tmp_path / "tomograms.star").rows
    assert [row.values[DENOISED_RELION5] for row in after] == ["corrected_1.mrc", "rec_2.mrc", "even_3.mrc"]


def test_tables_of_relions_jobs_are_not_changed(tmp_path, caplog):
    caplog.set_level("INFO", logger="spisonet")
    job = tmp_path / "Tomograms" / "job007"
    job.mkdir(parents=True)
    table, folder = job / "tomograms.star", Path("deconv")
    assert results_table(table, None, folder) is None
    (job / "job.star").touch()
    assert results_table(table, None, folder) == Path("deconv/tomograms.star")
    assert "is not changed: the results are listed in deconv/tomograms.star" in caplog.text
    assert results_table(table, Path("mine.star"), folder) == Path("mine.star")


def test_an_edit_while_a_job_runs_is_kept(tmp_path):
    path = tmp_path / "t.star"
    rows = [{"rlnIndex": str(i), "rlnMicrographName": n, "rlnTiltMin": "-60"} for i, n in enumerate("ab")]
    TomogramTable.new(path, rows).write()
    job = TomogramTable.read(path)
    second = job.rows[1]
    edited = TomogramTable.read(path)
    edited.set(edited.rows[0], "rlnTiltMin", "-50")
    edited.set(edited.rows[1], "rlnMicrographName", "moved/b")
    edited.set(edited.rows[1], "rlnNote", "my note")
    edited.append(TomogramTable.new(path, [{"rlnMicrographName": "c"}]))
    edited.write()
    job.note(second, {"rlnCorrectedTomoName": "corrected_b.mrc"})
    rows = TomogramTable.read(path).rows
    assert [row.text("rlnMicrographName") for row in rows] == ["a", "moved/b", "c"]
    assert [row.text("rlnTiltMin") for row in rows] == ["-50", "-60", None]
    assert rows[1].text("rlnNote") == "my note"
    assert [row.text("rlnCorrectedTomoName") for row in rows] == [None, "corrected_b.mrc", None]


def test_results_are_not_entered_into_the_row_of_another_tomogram(tmp_path, caplog):
    path = tmp_path / "t.star"
    rows = [{"rlnIndex": str(i), "rlnMicrographName": f"t{i}.mrc"} for i in (1, 2, 3)]
    TomogramTable.new(path, rows).write()
    job = TomogramTable.read(path)
    edited = TomogramTable.read(path)
    edited.remove([1])
    edited.set(edited.rows[1], "rlnIndex", "2")  # t3, which has the number and not the files of t2
    edited.write()
    job.note(job.rows[1], {"rlnMaskName": "t2_mask.mrc"})
    assert all("rlnMaskName" not in row.values for row in TomogramTable.read(path).rows)
    assert "no longer lists t2.mrc" in caplog.text


def test_results_that_were_never_entered_are_an_error(tmp_path):
    path = tmp_path / "t.star"
    TomogramTable.new(path, [{"rlnIndex": "1", "rlnMicrographName": "a"}]).write()
    job = TomogramTable.read(path)
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])  # an editor that saves at this moment
    job.note(job.rows[0], {"rlnMaskName": "mask.mrc"})
    with pytest.raises(SpisonetError, match=r"t\.star"):
        job.flush()
    path.write_text(whole)
    job.flush()
    assert TomogramTable.read(path).rows[0].values["rlnMaskName"] == "mask.mrc"


def test_a_row_that_was_removed_while_a_job_runs_stays_removed(tmp_path, caplog):
    path = tmp_path / "t.star"
    TomogramTable.new(path, [{"rlnMicrographName": name} for name in "abc"]).write()
    job = TomogramTable.read(path)
    edited = TomogramTable.read(path)
    edited.remove([1])
    edited.write()
    job.note(job.rows[1], {"rlnCorrectedTomoName": "corrected_b.mrc"})
    job.note(job.rows[2], {"rlnCorrectedTomoName": "corrected_c.mrc"})
    rows = TomogramTable.read(path).rows
    assert [(row.shown, row.text("rlnCorrectedTomoName")) for row in rows] == [
        ("a", None),
        ("c", "corrected_c.mrc"),
    ]
    assert "no longer lists b, whose results are not entered" in caplog.text


def test_results_wait_for_a_table_that_is_being_edited(tmp_path, caplog):
    path = tmp_path / "t.star"
    TomogramTable.new(path, [{"rlnMicrographName": name} for name in "ab"]).write()
    job, whole = TomogramTable.read(path), path.read_text()
    path.write_text(whole + "one word too many\n")
    job.note(job.rows[0], {"rlnCorrectedTomoName": "corrected_a.mrc"})
    assert path.read_text() == whole + "one word too many\n"
    assert "results of a are not entered yet" in caplog.text
    assert "4 values for 1 columns in line" in caplog.text
    path.write_text(whole)
    job.note(job.rows[1], {"rlnCorrectedTomoName": "corrected_b.mrc"})
    entered = [row.text("rlnCorrectedTomoName") for row in TomogramTable.read(path).rows]
    assert entered == ["corrected_a.mrc", "corrected_b.mrc"]


def test_rows_are_chosen_by_their_index(tmp_path):
    rows = [{"rlnIndex": str(i), "rlnMicrographName": f"t{i}.mrc"} for i in (1, 2, 3, 7)]
    table = TomogramTable.new(tmp_path / "t.star", rows)
    assert [row.index for row in table.chosen("1,2-3,2")] == ["1", "2", "3"]
    assert len(table.chosen(None)) == 4
    for wrong, part in (("5", "no tomogram 5"), ("a", "not a list")):
        with pytest.raises(SpisonetError, match=part):
            table.chosen(wrong)


@pytest.mark.parametrize("text", ["data_x\n\nloop_\n_rlnImageName #1\n1@a.mrcs\n", "nothing"])
def test_a_file_that_lists_no_tomograms_is_refused(tmp_path, text):
    path = tmp_path / "t.star"
    path.write_text(text)
    with pytest.raises(SpisonetError, match=r"t\.star"):
        TomogramTable.read(path)


def test_changes_by_other_programs_are_kept(tmp_path):
    star = tmp_path / "tomograms.star"
    listed = [{"rlnTomoName": f"TS_{i}", "rlnTomoReconstructedTomogram": f"TS_{i}.mrc"} for i in (1, 2, 3)]
    TomogramTable.new(star, [row | {"rlnDefocus": "0"} for row in listed]).write()
    slow = TomogramTable.read(star)
    other = TomogramTable.read(star)
    other.set(other.rows[2], "rlnDefocus", 30000.0)
    other.remove([0])
    other.write()
    slow.note(slow.rows[1], {"rlnMaskName": "TS_2_mask.mrc"})
    found = [row.values for row in TomogramTable.read(star).rows]
    assert [(row["rlnTomoName"], row["rlnDefocus"]) for row in found] == [("TS_2", "0"), ("TS_3", "30000")]
    assert [row["rlnMaskName"] for row in found] == ["TS_2_mask.mrc", "None"]
    # Another output begins with what was read.
    copied = TomogramTable.read(star, tmp_path / "copy.star")
    copied.note(copied.rows[0], {"rlnMaskName": "a.mrc"})
    copied.note(copied.rows[1], {"rlnMaskName": "b.mrc"})
    rows = TomogramTable.read(tmp_path / "copy.star").rows
    assert [row.values["rlnMaskName"] for row in rows] == ["a.mrc", "b.mrc"]


@pytest.mark.parametrize(("value", "expected"), [("None", None), ("<NA>", None), ("", None), ("9.5", 9.5)])
def test_empty_numbers_are_none(tmp_path, value, expected):
    assert table_with_pixel_size(tmp_path, value or '""').rows[0].number_of("rlnPixelSize") == expected


@pytest.mark.parametrize("value", ["nan", "NaN", "-1", "x"])
def test_nan_is_not_an_empty_number(tmp_path, value):
    with pytest.raises(SpisonetError, match=rf"^Row 1 \(a\.mrc\): rlnPixelSize is '{value}'"):
        table_with_pixel_size(tmp_path, value).chosen(None)


def table_with_pixel_size(folder: Path, value: str) -> TomogramTable:
    path = folder / "tomograms.star"
    path.write_text(f"data_\n\nloop_\n_rlnTomoName #1\n_rlnPixelSize #2\na.mrc {value}\n")
    return TomogramTable.read(path)
