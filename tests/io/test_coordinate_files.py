"""Files of coordinates and the tomograms to which they belong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spisonet.errors import SpisonetError
from spisonet.io.coordinate_files import match_coordinates
from spisonet.io.coordinates import read_coordinates
from tests.commands.test_tomograms_of_other_programs import table_row
from tests.io.test_coordinates import CENTRED, POINTS, SHAPE, VOXEL_SIZE, columns, star

SERIES = ["TS_1", "TS_2", "TS_3"]


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def particles(*names: str, column: str = "rlnTomoName") -> str:
    """A STAR file of RELION 5 with a particle of each tomogram in turn."""
    points = (np.resize(POINTS, (len(names), 3)) - (30, 20, 10)) * 10
    return star(columns(points, CENTRED) | {column: list(names)})


@pytest.mark.parametrize(
    "name", ["TS_1.txt", "TS_1_coords.txt", "TS_1.mrc.txt", "TS_1.mod", "TS_1.coords", "TS_1_picks.tbl"]
)
def test_files_that_name_no_tomogram_are_matched_by_their_names(tmp_path, name):
    for other in (name, "TS_7.txt", "._TS_1.txt"):
        write(tmp_path / other, table_row(4, (5, 6, 7)) if other.endswith(".tbl") else "5 6 7\n")
    matched = match_coordinates(tmp_path, SERIES)
    assert matched.by_series == {"TS_1": tmp_path / name}
    assert [item.path.name for item in matched.left_out] == ["TS_7.txt"]
    assert matched.without == ("TS_2", "TS_3")


@pytest.mark.parametrize("of_folder", [True, False])
@pytest.mark.parametrize(
    ("name", "content", "tomograms"),
    [
        ("particles.star", particles("TS_2", "TS_1", "TS_2"), ["TS_1", "TS_2"]),
        (
            "TS_2_10.00Apx_ribo.star",
            particles("TS_2.tomostar", "TS_2.tomostar", column="rlnMicrographName"),
            ["TS_2"],
        ),
        ("TS_1.star", particles("TS_2"), ["TS_2"]),  # what the file says precedes its name
        ("TS_1.star", particles("tomogram"), ["TS_1"]),
        ("all.tbl", table_row(2, (5, 6, 7)) + "\n" + table_row(3, (8, 9, 3)), ["TS_2", "TS_3"]),
    ],
)
def test_names_of_tomograms_in_a_file_are_used(tmp_path, name, content, tomograms, of_folder):
    path = write(tmp_path / name, content)
    write(tmp_path / "all.doc", "1 f/TS_1.mrc\n2 f/TS_2.mrc\n3 f/TS_3_rec.mrc\n")
    matched = match_coordinates(tmp_path if of_folder else path, SERIES)
    assert matched.by_series == dict.fromkeys(tomograms, path)
    for series in tomograms:
        assert len(read_coordinates(path, SHAPE, VOXEL_SIZE, [series]))


def test_a_changed_file_is_read_again(tmp_path):
    path = write(tmp_path / "a.star", particles("TS_1"))
    assert list(match_coordinates(path, SERIES).by_series) == ["TS_1"]
    write(path, particles("TS_2", "TS_3"))
    assert list(match_coordinates(path, SERIES).by_series) == ["TS_2", "TS_3"]


def test_two_files_of_one_tomogram_are_refused(tmp_path):
    write(tmp_path / "TS_1.txt", "5 6 7\n")
    for other, content in (("TS_1_picks.txt", "5 6 7\n"), ("particles.star", particles("TS_1"))):
        path = write(tmp_path / other, content)
        with pytest.raises(SpisonetError, match=rf"TS_1\.txt and .*{other} both contain .* of TS_1"):
            match_coordinates(tmp_path, SERIES)
        path.unlink()
    for name in ("a.star", "b.star"):
        write(tmp_path / name, particles("TS_2", "TS_3"))
    with pytest.raises(SpisonetError, match=r"a\.star and .*b\.star both contain .* of TS_2"):
        match_coordinates(tmp_path, SERIES)


@pytest.mark.parametrize("name", ["TS_1.txt", "TS_1.star"])
def test_a_file_of_one_tomogram_precedes_one_of_several(tmp_path, name):
    own = write(tmp_path / name, particles("TS_1") if name.endswith(".star") else "5 6 7\n")
    both = write(tmp_path / "all.star", particles("TS_1", "TS_2"))
    matched = match_coordinates(tmp_path, SERIES)
    assert matched.by_series == {"TS_1": own, "TS_2": both}
    (left_out,) = matched.left_out
    assert (left_out.path, left_out.reason) == (both, "for TS_1: a file of one tomogram precedes")


def test_a_table_without_map_is_left_out_beside_other_files(tmp_path):
    table = write(tmp_path / "all.tbl", table_row(2, (5, 6, 7)) + "\n" + table_row(3, (8, 9, 3)))
    with pytest.raises(SpisonetError, match=r"all\.tbl has no \.doc file beside it"):
        match_coordinates(tmp_path, SERIES)
    own = write(tmp_path / "TS_1.tbl", table_row(1, (5, 6, 7)))
    matched = match_coordinates(tmp_path, SERIES)
    assert matched.by_series == {"TS_1": own}
    (left_out,) = matched.left_out
    assert (left_out.path, "without a table map" in left_out.reason) == (table, True)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("b_mask.mrc", "", "an image file, not one of coordinates"),
        ("TS_1.cs", "", "a cryoSPARC file; write its coordinates to a text file"),
        ("TS_1.xml", "", "an XML file"),
        ("TS_1.json", "", "a JSON file"),
        ("TS_1.tlt", "", "a file of a tilt series"),
        ("TS_1.star", star({"rlnTomoYTilt": [3, 6]}), "a STAR file without coordinates"),
        ("p.star", particles("L_1", "L_2"), "its coordinates are of other tomograms: L_1, L_2"),
        ("p.txt", "5 6 7", "its name is that of no tomogram"),
    ],
)
def test_the_refusal_names_what_was_found_and_what_was_expected(tmp_path, name, content, reason):
    path = write(tmp_path / "p" / name, content)
    expected = "names such as TS_1, TS_2, TS_3 are expected"
    with pytest.raises(SpisonetError) as refusal:
        match_coordinates(path.parent, SERIES)
    assert f"p contains no coordinates of a tomogram, but {name} ({reason}" in str(refusal.value)
    assert str(refusal.value).endswith(f"; {expected}.")
    with pytest.raises(SpisonetError) as refusal:
        match_coordinates(path, SERIES)
    assert str(path) in str(refusal.value)
    assert reason in str(refusal.value)
    write(tmp_path / "p" / "TS_2.txt", "5 6 7")
    (left_out,) = match_coordinates(path.parent, SERIES).left_out
    assert left_out.path == path


def test_missing_and_empty_folders_are_named(tmp_path):
    with pytest.raises(SpisonetError, match="nowhere does not exist"):
        match_coordinates(tmp_path / "nowhere", SERIES)
    with pytest.raises(SpisonetError, match=r"is empty; names such as T0, T1, T2, T3, T4 and 4 others are"):
        match_coordinates(tmp_path, [f"T{number}" for number in range(9)])
