"""The tomogram table: added to, edited, saved, and read by the commands."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from spisonet.commands.main import isonet
from spisonet.errors import SpisonetError
from spisonet.gui.allowed_folders import AllowedFolders
from spisonet.gui.tables import TomogramTables
from spisonet.gui.trash import Trash
from spisonet.io.tomogram_table import TomogramTable
from tests.gui.conftest import write_map

RELION5 = """
# version 50001

data_global

loop_
_rlnTomoName #1
_rlnVoltage #2
_rlnTomoTiltSeriesPixelSize #3
_rlnTomoTiltSeriesStarFile #4
_rlnTomoTomogramBinning #5
_rlnTomoReconstructedTomogram #6
TS_01 300.000000 1.350000 tilt_series/TS_01.star 7.407407 full/TS_01.mrc
TS_02 300.000000 1.350000 tilt_series/TS_02.star 7.407407 full/TS_02.mrc
"""


@pytest.fixture
def tables(tmp_path, monkeypatch) -> TomogramTables:
    monkeypatch.chdir(tmp_path)
    for kind in ("even", "odd", "full"):
        (tmp_path / "data" / kind).mkdir(parents=True)
        for name in ("TS_01", "TS_02", "TS_03"):
            write_map(tmp_path / "data" / kind / f"{name}.mrc", (8, 16, 16))
    return TomogramTables(AllowedFolders(tmp_path, []), Trash(tmp_path, tmp_path / "trash"))


def values(table: dict, column: str) -> list[str]:
    return [row["values"][column] for row in table["rows"]]


def words(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return " ".join(line for line in lines if not line.startswith("#")).split()  # without the date


def listed(tables: TomogramTables) -> dict:
    isonet("prepare_star data/full --output_star t.star".split())
    return tables.read("t.star")


def test_a_folder_with_halves_is_added_as_prepare_star_lists_it(tables, tmp_path):
    added = tables.add("t.star", "data", [], {"defocus": "30000", "tilt_max": "50"})
    isonet(
        "prepare_star --even data/even --odd data/odd --full data/full --output_star direct.star "
        "--defocus 30000 --tilt_max 50".split()
    )
    assert words(tmp_path / "t.star") == words(tmp_path / "direct.star")
    assert added["line"][:2] == ["isonet.py", "prepare_star"]
    assert "t.star" in added["line"]
    assert [row["name"] for row in added["rows"]] == ["TS_01.mrc", "TS_02.mrc", "TS_03.mrc"]
    assert set(added["rows"][0]["files"]) == {"full", "even", "odd"}
    assert values(added, "rlnTiltMax") == ["50"] * 3


def test_single_files_are_added_to_what_is_there_and_none_twice(tables):
    tables.add("t.star", "data/full", ["TS_02.mrc"], {"defocus": "20000"})
    both = tables.add("t.star", "data/full", ["TS_01.mrc", "TS_02.mrc"], {})
    assert [(row["index"], row["name"]) for row in both["rows"]] == [("2", "TS_02.mrc"), ("3", "TS_01.mrc")]
    assert values(both, "rlnDefocus") == ["20000", "0"]
    with pytest.raises(SpisonetError, match="already"):
        tables.add("t.star", "data/full", ["TS_01.mrc"], {})


def test_values_are_edited_in_place_and_nothing_else_changes(tables, tmp_path):
    shown = listed(tables)
    before = words(tmp_path / "t.star")
    edited = tables.edit("t.star", 1, "rlnDefocus", " 25000 ", shown["version"])
    assert values(edited, "rlnDefocus") == ["0", "25000", "0"]
    after = words(tmp_path / "t.star")
    assert [new for old, new in zip(before, after, strict=True) if old != new] == ["25000"]


@pytest.mark.parametrize(
    ("column", "text", "message"),
    [
        ("rlnDefocus", "two", "two is not a valid number"),
        ("rlnDefocus", "", "Enter a number"),
        ("rlnDefocus", "nan", "nan is outside the valid range"),
        ("rlnDefocus", "-1", "-1 is outside the valid range"),
        ("rlnDefocus", "3", "for 3 µm enter 30000"),
        ("rlnTiltMin", "70", "tilt range 70 to 60 degrees"),
        ("rlnTiltMax", "-75", "tilt range -60 to -75 degrees"),
        ("rlnTiltMax", "95", "valid range -90 to 90"),
        ("rlnPixelSize", "0", "valid range 0.001 to 10000"),
        ("rlnMaskBoundary", "none.mod", "does not exist"),
        ("rlnMaskBoundary", "../b.mod", "outside"),
        ("rlnVoltage", "200", "does not have rlnVoltage"),
    ],
)
def test_an_invalid_value_is_rejected_and_the_table_is_kept(tables, tmp_path, column, text, message):
    shown = listed(tables)
    before = (tmp_path / "t.star").read_bytes()
    with pytest.raises(SpisonetError, match=message):
        tables.edit("t.star", 0, column, text, shown["version"])
    assert (tmp_path / "t.star").read_bytes() == before


def test_a_page_with_an_old_table_does_not_overwrite_the_new_one(tables):
    old = listed(tables)
    tables.edit("t.star", 0, "rlnDefocus", "1000", old["version"])
    with pytest.raises(SpisonetError, match="changed by another page"):
        tables.edit("t.star", 0, "rlnDefocus", "2000", old["version"])
    assert values(tables.read("t.star"), "rlnDefocus")[0] == "1000"


def test_a_table_of_relion5_keeps_its_other_columns(tables, tmp_path):
    (tmp_path / "tomograms.star").write_text(RELION5, encoding="utf-8")
    shown = tables.read("tomograms.star")
    assert shown["relion5"]
    assert values(shown, "rlnPixelSize") == ["10", "10"]
    copy = tables.save_as("tomograms.star", "own.star")
    tables.edit("own.star", 0, "rlnTiltMin", "-50", copy["version"])
    table = TomogramTable.read(tmp_path / "own.star")
    assert [row.values["rlnVoltage"] for row in table.rows] == ["300.000000"] * 2
    assert [row.number_of("rlnTiltMin") for row in table.rows] == [-50, None]  # only what was edited
    assert (tmp_path / "tomograms.star").read_text(encoding="utf-8") == RELION5
    with pytest.raises(SpisonetError, match="already exists"):
        tables.save_as("tomograms.star", "own.star")


@pytest.mark.parametrize(
    ("column", "value", "other"),
    [("rlnDefocus", "25000", None), ("rlnTiltMax", "48", None), ("rlnPixelSize", "9.5", 10.0)],
)
def test_an_edit_of_relion5_s_table_without_that_column_changes_one_row(
    tables, tmp_path, column, value, other
):
    """The other tomogram keeps its values: none, or the pixel size that RELION 5 lists otherwise."""
    (tmp_path / "tomograms.star").write_text(RELION5, encoding="utf-8")
    shown = tables.read("tomograms.star")
    edited = tables.edit("tomograms.star", 0, column, value, shown["version"])
    assert values(edited, column)[1] == values(shown, column)[1]
    table = TomogramTable.read(tmp_path / "tomograms.star")
    assert [row.number_of(column) for row in table.rows] == [float(value), other]


def test_rows_are_removed_and_with_the_last_one_the_table(tables, tmp_path):
    shown = listed(tables)
    left = tables.remove("t.star", [0, 2], shown["version"])
    assert [(row["number"], row["name"]) for row in left["rows"]] == [(0, "TS_02.mrc")]
    before = (tmp_path / "t.star").read_bytes()
    removed = tables.remove("t.star", [0], left["version"])
    assert removed["rows"] == []
    assert not (tmp_path / "t.star").exists()
    assert Trash(tmp_path, tmp_path / "trash").restore(removed["trashed"]) == "t.star"
    assert (tmp_path / "t.star").read_bytes() == before
    assert (tmp_path / "data/full/TS_01.mrc").is_file()


def test_the_last_row_of_a_table_of_relion5_is_not_removed(tables, tmp_path):
    (tmp_path / "tomograms.star").write_text(RELION5, encoding="utf-8")
    shown = tables.read("tomograms.star")
    with pytest.raises(SpisonetError, match="would list no tomogram"):
        tables.remove("tomograms.star", [0, 1], shown["version"])
    assert (tmp_path / "tomograms.star").is_file()


def test_a_folder_of_one_half_lists_both_halves_once(tables):
    """Also with single files, and the parent folder adds nothing that is listed."""
    added = tables.add("t.star", "data/even", ["TS_02.mrc"], {})
    assert [set(row["files"]) for row in added["rows"]] == [{"full", "even", "odd"}]
    added = tables.add("t.star", "data/odd", [], {})
    assert [row["name"] for row in added["rows"]] == ["TS_02.mrc", "TS_01.mrc", "TS_03.mrc"]
    with pytest.raises(SpisonetError, match="already lists these tomograms"):
        tables.add("t.star", "data", [], {})


def test_tomograms_that_are_listed_as_full_ones_are_not_listed_again_as_halves(tables, tmp_path):
    isonet("prepare_star data/even --output_star t.star".split())
    with pytest.raises(SpisonetError, match="already lists these tomograms"):
        tables.add("t.star", "data", [], {})


def test_a_missing_file_can_be_cleared_but_no_other(tables, tmp_path):
    shown = listed(tables)
    table = TomogramTable.read(tmp_path / "t.star")
    table.set(table.rows[1], "rlnMaskName", "jobs/002_make_mask/TS_02_mask.mrc")
    table.write()
    shown = tables.read("t.star")
    assert shown["rows"][1]["files"]["mask"]["exists"] is False
    for row, kind in ((1, "full"), (0, "mask"), (1, "none"), (7, "mask")):
        with pytest.raises(SpisonetError, match="lists no missing file"):
            tables.clear("t.star", row, kind, shown["version"])
    cleared = tables.clear("t.star", 1, "mask", shown["version"])
    assert [set(row["files"]) for row in cleared["rows"]] == [{"full"}] * 3


def test_errors_of_prepare_star_are_passed_on(tables, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SpisonetError, match=r"^empty .*tomograms"):
        tables.add("t.star", "empty", [], {})
    with pytest.raises(SpisonetError, match=r"^defocus: |^--defocus"):
        tables.add("t.star", "data/full", [], {"defocus": "much"})
    assert not (tmp_path / "t.star").exists()


def test_missing_files_are_marked(tables, tmp_path):
    isonet("prepare_star --even data/even --odd data/odd --full data/full --output_star t.star".split())
    shutil.rmtree(tmp_path / "data/odd")
    files = tables.read("t.star")["rows"][0]["files"]
    assert {kind: file["exists"] for kind, file in files.items()} == {
        "full": True,
        "even": True,
        "odd": False,
    }


def test_invalid_numbers_of_a_table_are_marked_and_can_be_corrected(tables, tmp_path):
    shown = listed(tables)
    table = TomogramTable.read(tmp_path / "t.star")
    first, second, _ = table.rows
    for column, value in (("rlnTiltMin", "nan"), ("rlnTiltMax", "95"), ("rlnPixelSize", "-1")):
        table.set(first, column, value)
    table.set(second, "rlnPixelSize", "nan")
    table.write()
    shown = tables.read("t.star")
    assert values(shown, "rlnTiltMin") == ["nan", "-60", "-60"]
    assert [sorted(row["errors"]) for row in shown["rows"]] == [
        ["rlnPixelSize", "rlnTiltMax", "rlnTiltMin"],
        ["rlnPixelSize"],
        [],
    ]
    assert "'nan'; the valid range is -90 to 90" in shown["rows"][0]["errors"]["rlnTiltMin"]
    for column, value in (("rlnTiltMin", "-50"), ("rlnTiltMax", "50"), ("rlnPixelSize", "8")):
        shown = tables.edit("t.star", 0, column, value, shown["version"])
    assert [sorted(row["errors"]) for row in shown["rows"]] == [[], ["rlnPixelSize"], []]
    with pytest.raises(SpisonetError, match="Invalid tilt range"):
        tables.edit("t.star", 0, "rlnTiltMin", "60", shown["version"])


def test_an_invalid_pixel_size_in_other_columns_of_relion5_is_marked(tables, tmp_path):
    (tmp_path / "r5.star").write_text(RELION5.replace("1.350000 tilt_series/TS_02", "inf tilt_series/TS_02"))
    shown = tables.read("r5.star")
    assert values(shown, "rlnPixelSize") == ["10", None]
    assert [sorted(row["errors"]) for row in shown["rows"]] == [[], ["rlnPixelSize"]]
