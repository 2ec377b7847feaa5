"""Values of a STAR file that are replaced, and everything else that is kept."""

import numpy as np
import pytest
import starfile
from hypothesis import given, settings
from hypothesis import strategies as st

from spisonet.errors import SpisonetError
from spisonet.io.star import read_blocks, write_with_columns

RELION = """
# version 50001

data_optics

loop_
_rlnOpticsGroupName #1
_rlnOpticsGroup #2
"optics group 1"            1


# version 50001

data_particles

loop_
_rlnAngleRot #1
_rlnMicrographName #2
_rlnAngleTilt #3
_rlnOriginXAngst #4
  -12.500000 'my file.mrc'    70.123456     0.500000
   12.500000  other.mrc       -1.000000     1.500000

data_other

loop_
_rlnAngleRot
_rlnAngleTilt
_rlnOriginXAngst
1 2 3
""".replace("\n", " \n")  # RELION ends its lines with a blank
COLUMNS = {"rlnAngleTilt": ["1.5", "-123.456789"], "rlnOriginXAngst": ["7.000000", "8"]}


def test_only_the_values_of_the_columns_change(tmp_path):
    source, target = tmp_path / "in.star", tmp_path / "new" / "out.star"
    source.write_text(RELION, encoding="utf-8")
    write_with_columns(source, target, COLUMNS)
    expected = RELION.replace("   70.123456     0.500000", "         1.5     7.000000")
    expected = expected.replace("       -1.000000     1.500000", "     -123.456789            8")
    assert target.read_text(encoding="utf-8") == expected
    assert list(starfile.read(target)) == ["optics", "particles", "other"]


@given(
    values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5),
    gap=st.sampled_from([" ", "\t", "     "]),
    end=st.sampled_from(["\n", "\r\n", " \n"]),
)
@settings(deadline=None)
def test_rows_of_any_spacing_are_read_back(tmp_path_factory, values, gap, end):
    folder = tmp_path_factory.mktemp("star")
    rows = [f"name{i}.mrc{gap}{i}{gap}'a b'" for i in range(len(values))]
    source, target = folder / "in.star", folder / "out.star"
    lines = ["data_", "", "loop_", "_rlnImageName", "_rlnAngleRot", "_rlnNote", *rows, ""]
    source.write_bytes(end.join(lines).encode())
    write_with_columns(source, target, {"rlnAngleRot": [f"{value:.6f}" for value in values]})
    table = starfile.read(target, always_dict=True)[""]
    np.testing.assert_allclose(table["rlnAngleRot"], values, atol=1e-6)
    assert table["rlnImageName"].tolist() == [f"name{i}.mrc" for i in range(len(values))]
    assert table["rlnNote"].tolist() == ["a b"] * len(values)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"rlnAngleTilt": ["1"]}, "1 were expected"),
        ({"rlnAngleTilt": ["1"] * 3}, "3 were expected"),
        ({"rlnAnglePsi": ["1", "2"]}, "0 rows"),
    ],
)
def test_a_file_that_does_not_fit_is_not_written(tmp_path, columns, words):
    source, target = tmp_path / "in.star", tmp_path / "out.star"
    source.write_text(RELION.split("data_other", maxsplit=1)[0], encoding="utf-8")
    with pytest.raises(SpisonetError, match=words):
        write_with_columns(source, target, columns)
    assert [path.name for path in tmp_path.iterdir()] == ["in.star"]


def test_the_input_is_not_overwritten(tmp_path):
    source = tmp_path / "in.star"
    source.write_text(RELION, encoding="utf-8")
    with pytest.raises(SpisonetError, match="is also an input"):
        write_with_columns(source, source, COLUMNS)
    assert source.read_text(encoding="utf-8") == RELION


def test_a_table_below_single_values_of_the_same_block_is_refused(tmp_path):
    path = tmp_path / "t.star"
    path.write_text("data_\n\n_rlnVersion 3\n\nloop_\n_rlnTomoName #1\nTS_1\n\n")
    with pytest.raises(SpisonetError, match=r"t\.star has a table below other values of data_ \(line 5\)"):
        read_blocks(path)


def test_a_row_with_a_missing_value(tmp_path):
    source = tmp_path / "in.star"
    source.write_text(RELION.replace(" 0.500000", ""), encoding="utf-8")
    with pytest.raises(SpisonetError, match="a row of 3 values for 4 columns"):
        write_with_columns(source, tmp_path / "out.star", COLUMNS)
