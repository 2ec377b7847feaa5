"""The table of tomograms: added, edited, saved, and read by the commands."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from spisonet.commands.main import isonet
from spisonet.errors import SpisonetError
from spisonet.gui.allowed_folders import AllowedFolders
from spisonet.gui.tables import Tables
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
def tables(tmp_path, monkeypatch) -> Tables:
    monkeypatch.chdir(tmp_path)
    for kind in ("even", "odd", "full"):
        (tmp_path / "data" / kind).mkdir(parents=True)
        for name in ("TS_01", "TS_02", "TS_03"):
            write_map(tmp_path / "data" / kind / f"{name}.mrc", (8, 16, 16))
    return Tables(AllowedFolders(tmp_path, []))


def values(table: dict, column: str) -> list[str]:
    return [row["values"][column] for row in table["rows"]]


def words(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return " ".join(line for line in lines if not line.startswith("#")).split()  # without the date


def listed(tables: Tables) -> dict:
    isonet("prepare_star data/full --output_star t.star".split())
    return tables.show("t.star")


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
    ("column", "text", "sentence"),
    [
        ("rlnDefocus", "two", "two is no number"),
        ("rlnDefocus", "", "Nothing is no number"),
        ("rlnDefocus", "nan", "nan is not within"),
        ("rlnDefocus", "-1", "-1 is not within"),
        ("rlnTiltMin", "70", "not below the largest"),
        ("rlnTiltMax", "-75", "not below the largest"),
        ("rlnTiltMax", "95", "not within -90 to 90"),
        ("rlnPixelSize", "0", "above 0"),
        ("rlnMaskBoundary", "none.mod", "does not exist"),
        ("rlnMaskBoundary", "../b.mod", "outside"),
        ("rlnVoltage", "200", "has no rlnVoltage"),
    ],
)
def test_what_is_no_value_is_refused_and_the_table_stays(tables, tmp_path, column, text, sentence):
    shown = listed(tables)
    before = (tmp_path / "t.star").read_bytes()
    with pytest.raises(SpisonetError, match=sentence):
        tables.edit("t.star", 0, column, text, shown["version"])
    assert (tmp_path / "t.star").read_bytes() == before


def test_a_page_that_shows_an_old_table_does_not_write_over_the_new_one(tables):
    old = listed(tables)
    tables.edit("t.star", 0, "rlnDefocus", "1000", old["version"])
    with pytest.raises(SpisonetError, match="changed by another page"):
        tables.edit("t.star", 0, "rlnDefocus", "2000", old["version"])
    assert values(tables.show("t.star"), "rlnDefocus")[0] == "1000"


def test_a_table_of_relion5_keeps_what_it_holds(tables, tmp_path):
    (tmp_path / "tomograms.star").write_text(RELION5, encoding="utf-8")
    shown = tables.show("tomograms.star")
    assert shown["relion5"]
    assert values(shown, "rlnPixelSize") == ["10", "10"]
    copy = tables.save_as("tomograms.star", "own.star")
    tables.edit("own.star", 0, "rlnTiltMin", "-50", copy["version"])
    table = TomogramTable.read(tmp_path / "own.star")
    assert [row.values["rlnVoltage"] for row in table.rows] == ["300.000000"] * 2
    assert [row.number_of("rlnTiltMin") for row in table.rows] == [-50, -50]  # a column of numbers throughout
    assert (tmp_path / "tomograms.star").read_text(encoding="utf-8") == RELION5
    with pytest.raises(SpisonetError, match="there already"):
        tables.save_as("tomograms.star", "own.star")


def test_rows_are_removed_but_not_all(tables, tmp_path):
    shown = listed(tables)
    left = tables.remove("t.star", [0, 2], shown["version"])
    assert [(row["number"], row["name"]) for row in left["rows"]] == [(0, "TS_02.mrc")]
    assert (tmp_path / "data/full/TS_01.mrc").is_file()
    with pytest.raises(SpisonetError, match="would list no tomogram"):
        tables.remove("t.star", [0], left["version"])


def test_a_dropped_folder_is_found_by_its_files(tables, tmp_path):
    size = (tmp_path / "data/even/TS_01.mrc").stat().st_size
    assert tables.locate("even", {"TS_01.mrc": size, "notes.txt": 3}) == "data/even"
    assert tables.locate("data", {"even/TS_01.mrc": size}) == "data"
    for folder, files in (
        ("even", {"TS_01.mrc": size + 1}),
        ("even", {"x.mrc": 3}),
        ("other", {"TS_01.mrc": size}),
    ):
        with pytest.raises(SpisonetError, match="No folder"):
            tables.locate(folder, files)


def test_what_prepare_star_says_is_passed_on(tables, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SpisonetError, match=r"^empty holds no tomograms"):
        tables.add("t.star", "empty", [], {})
    with pytest.raises(SpisonetError, match=r"^defocus: |^--defocus"):
        tables.add("t.star", "data/full", [], {"defocus": "much"})
    assert not (tmp_path / "t.star").exists()


def test_a_drawn_boundary_bounds_the_mask(tables, tmp_path):
    """Drawn on the page, written for IMOD, read by make_mask."""
    square = [[4.0, 4.0, 3.0], [11.0, 4.0, 3.0], [11.0, 11.0, 3.0], [4.0, 11.0, 3.0]]
    assert tables.save_boundary("b/TS_01.mod", [square], "data/full/TS_01.mrc") == "b/TS_01.mod"
    assert tables.boundary("b/TS_01.mod") == [square]
    shown = listed(tables)
    tables.edit("t.star", 0, "rlnMaskBoundary", "b/TS_01.mod", shown["version"])
    isonet("make_mask t.star --tomo_idx 1 --density_percentage 100 --std_percentage 100".split())
    import mrcfile

    with mrcfile.open(tmp_path / "mask" / "TS_01_mask.mrc") as mrc:
        inside = np.argwhere(mrc.data.any(axis=0))
    assert inside.min() == 4
    assert inside.max() == 11


@pytest.mark.parametrize(
    ("name", "contours"),
    [
        ("b.txt", [[[1, 2, 3]]]),
        ("b.mod", []),
        ("b.mod", [[]]),
        ("b.mod", [[[1, float("nan"), 3]]]),
        ("b.mod", [[[1, 2]]]),
    ],
)
def test_a_boundary_that_is_none_is_refused(tables, tmp_path, name, contours):
    with pytest.raises(SpisonetError):
        tables.save_boundary(name, contours, "data/full/TS_01.mrc")
    assert not (tmp_path / name).exists()


def test_a_model_of_another_program_is_not_written_over(tables, tmp_path):
    square = [[[4, 4, 3], [11, 4, 3], [11, 11, 3]]]
    tables.save_boundary("b.mod", square, "data/full/TS_01.mrc")
    tables.save_boundary("b.mod", square * 2, "data/full/TS_01.mrc")
    content = (tmp_path / "b.mod").read_bytes()
    (tmp_path / "b.mod").write_bytes(content.replace(b"boundary drawn", b"gold beads    "))
    with pytest.raises(SpisonetError, match="not drawn here"):
        tables.save_boundary("b.mod", square, "data/full/TS_01.mrc")
    assert len(tables.boundary("b.mod")) == 2


def test_a_model_has_the_lengths_of_imods_format(tables, tmp_path):
    tables.save_boundary("b.mod", [[[1, 2, 3]] * 5, [[4, 5, 6]] * 3], "data/full/TS_01.mrc")
    content = Path("b.mod").read_bytes()
    assert content[:8] == b"IMODV1.2"
    assert content[136:152] == b"".join(n.to_bytes(4, "big") for n in (16, 16, 8, 1))  # x, y, z, objects
    assert content[240:244] == b"OBJT"
    assert content[240 + 4 + 176 :].startswith(b"CONT" + (5).to_bytes(4, "big"))
    assert content.endswith(b"IEOF")
    assert len(content) == 240 + 4 + 176 + 2 * (4 + 16) + 12 * 8 + 4


def test_missing_files_are_marked(tables, tmp_path):
    isonet("prepare_star --even data/even --odd data/odd --full data/full --output_star t.star".split())
    shutil.rmtree(tmp_path / "data/odd")
    files = tables.show("t.star")["rows"][0]["files"]
    assert {kind: file["exists"] for kind, file in files.items()} == {
        "full": True,
        "even": True,
        "odd": False,
    }
