"""Boundaries that were drawn on the page: saved, read again, and used by make_mask."""

from __future__ import annotations

import mrcfile
import numpy as np
import pytest

from spisonet.commands.main import isonet
from spisonet.errors import SpisonetError
from spisonet.gui.allowed_folders import AllowedFolders
from spisonet.gui.boundaries import propose_boundary, read_boundary, write_boundary
from spisonet.gui.tables import TomogramTables
from spisonet.gui.trash import Trash
from tests.gui.conftest import write_map

SQUARE = [[4.0, 4.0, 3.0], [11.0, 4.0, 3.0], [11.0, 11.0, 3.0], [4.0, 11.0, 3.0]]
TOMOGRAM = "tomograms/TS_01.mrc"


@pytest.fixture
def folders(tmp_path, monkeypatch) -> AllowedFolders:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tomograms").mkdir()
    write_map(tmp_path / TOMOGRAM, (8, 16, 16))
    return AllowedFolders(tmp_path, [])


def test_a_drawn_boundary_limits_the_mask(folders, tmp_path):
    assert write_boundary("b/TS_01.mod", [SQUARE], TOMOGRAM, folders) == "b/TS_01.mod"
    assert read_boundary("b/TS_01.mod", TOMOGRAM, folders) == [SQUARE]
    isonet("prepare_star tomograms --output_star t.star".split())
    tables = TomogramTables(folders, Trash(tmp_path, tmp_path / "trash"))
    tables.edit("t.star", 0, "rlnMaskBoundary", "b/TS_01.mod", tables.read("t.star")["version"])
    isonet("make_mask t.star --density_percentage 100 --std_percentage 100".split())
    with mrcfile.open(tmp_path / "mask" / "TS_01_mask.mrc") as mrc:
        inside = np.argwhere(mrc.data.any(axis=0))
    assert inside.min() == 4
    assert inside.max() == 11


@pytest.mark.parametrize(
    ("name", "contours", "message"),
    [
        ("b.txt", [SQUARE], "does not end in .mod"),
        ("b.mod", [], "between 1 and 10000 points"),
        ("b.mod", [[[1.0, 2.0, 3.0]] * 10_001], "between 1 and 10000 points"),
        ("b.mod", [[]], "contour"),
        ("b.mod", [[[1, float("nan"), 3]]], "contour"),
        ("b.mod", [[[1, 2]]], "contour"),
    ],
)
def test_an_invalid_boundary_is_rejected_and_nothing_is_written(folders, tmp_path, name, contours, message):
    with pytest.raises(SpisonetError, match=message):
        write_boundary(name, contours, TOMOGRAM, folders)
    assert not (tmp_path / name).exists()


def test_a_boundary_is_shown_at_the_scale_of_the_tomogram(folders, tmp_path):
    write_map(tmp_path / "tomograms" / "unbinned.mrc", (16, 32, 32))
    write_map(tmp_path / "tomograms" / "other.mrc", (16, 32, 40))
    write_boundary("b.mod", [SQUARE], TOMOGRAM, folders)
    shown = read_boundary("b.mod", "tomograms/unbinned.mrc", folders)
    assert shown == (2 * np.array([SQUARE])).tolist()
    with pytest.raises(SpisonetError, match=r"16 x 16 x 8 voxels, but tomograms/other\.mrc has 40 x"):
        read_boundary("b.mod", "tomograms/other.mrc", folders)


def test_a_model_of_another_program_is_not_overwritten(folders, tmp_path):
    write_boundary("b.mod", [SQUARE], TOMOGRAM, folders)
    write_boundary("b.mod", [SQUARE, SQUARE], TOMOGRAM, folders, "b.mod")
    content = (tmp_path / "b.mod").read_bytes()
    (tmp_path / "b.mod").write_bytes(content.replace(b"boundary drawn", b"gold beads    "))
    with pytest.raises(SpisonetError, match="written by another program"):
        write_boundary("b.mod", [SQUARE], TOMOGRAM, folders, "b.mod")
    assert len(read_boundary("b.mod", TOMOGRAM, folders)) == 2


def test_tomograms_of_the_same_name_have_boundaries_of_their_own(folders, tmp_path):
    (tmp_path / "session2").mkdir()
    write_map(tmp_path / "session2" / "TS_01.mrc", (8, 16, 16))
    written = []
    for tomogram in (TOMOGRAM, "session2/TS_01.mrc", "session2/TS_01.mrc"):
        written.append(propose_boundary(tomogram, folders))
        write_boundary(written[-1], [SQUARE], tomogram, folders)
    names = ["TS_01", "session2_TS_01", "session2_TS_01_2"]
    assert written == [f"boundary/{name}.mod" for name in names]
    for replaced in ("", "boundary/session2_TS_01.mod"):
        with pytest.raises(SpisonetError, match="already exists, perhaps for another tomogram"):
            write_boundary("boundary/TS_01.mod", [SQUARE, SQUARE], "session2/TS_01.mrc", folders, replaced)
    assert read_boundary("boundary/TS_01.mod", TOMOGRAM, folders) == [SQUARE]
