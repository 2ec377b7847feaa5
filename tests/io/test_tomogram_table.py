"""Tables of tomograms: what is kept, changed and refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from spisonet.errors import SpisonetError
from spisonet.io.tomogram_table import TomogramTable

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


def test_comments_and_single_values_are_kept_and_special_characters_refused(tmp_path):
    path = tmp_path / "t.star"
    single = "# version 50001\n\ndata_general\n\n_rlnTomoSubTomosAre2DStacks 1\n\n"
    path.write_text(single + RELION5.replace("# version 50001", ""))
    TomogramTable.read(path).write()
    text = path.read_text()
    assert text.startswith("# version 50001\n")
    assert "_rlnTomoSubTomosAre2DStacks" in text.partition("data_global")[0]
    assert "loop_" not in text.partition("data_global")[0]
    assert len(TomogramTable.read(path).rows) == 2
    path.write_text(RELION5.replace("even/rec_TS_01", "even/rec#TS_01"))
    with pytest.raises(SpisonetError, match="contains '#', which a STAR value"):
        TomogramTable.read(path)
    with pytest.raises(SpisonetError, match="contains a space, # or quotation mark"):
        TomogramTable.new(path, [{"rlnMicrographName": "my tomo.mrc"}]).write()


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
