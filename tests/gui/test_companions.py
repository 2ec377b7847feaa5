"""Half map 2 and mask are proposed for a half map."""

from __future__ import annotations

from pathlib import Path

import pytest

from spisonet.gui.allowed_folders import AllowedFolders
from spisonet.gui.companions import find_companions
from spisonet.io.series_names import other_half_map
from tests.gui.conftest import write_map


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("run_half1_class001_unfil.mrc", "run_half2_class001_unfil.mrc"),
        ("J5_map_half_A.mrc", "J5_map_half_B.mrc"),
        ("emd_1234_half_map_1.map", "emd_1234_half_map_2.map"),
        ("HALF2.mrc", "HALF1.mrc"),
        ("half10.mrc", None),
        ("mask.mrc", None),
    ],
)
def test_the_other_half_by_its_name(one, two):
    assert other_half_map(Path("a") / one) == (None if two is None else Path("a") / two)


def test_mask_of_the_same_size(tmp_path):
    folders = AllowedFolders(tmp_path, [])
    (tmp_path / "MaskCreate" / "job007").mkdir(parents=True)
    (tmp_path / "maps").mkdir()
    for name in ("maps/half1.mrc", "maps/half2.mrc", "MaskCreate/job007/mask.mrc"):
        write_map(tmp_path / name, (8, 8, 8))
    write_map(tmp_path / "maps" / "small_mask.mrc", (4, 4, 4))
    found = {"half2": "maps/half2.mrc", "mask": "MaskCreate/job007/mask.mrc", "notes": []}
    assert find_companions("maps/half1.mrc", folders) == found
    write_map(tmp_path / "maps" / "mask_dilated.mrc", (8, 8, 8))
    assert find_companions("maps/half1.mrc", folders)["mask"] == "maps/mask_dilated.mrc"
    (tmp_path / "maps" / "half2.mrc").unlink()
    assert "half2" not in find_companions("maps/half1.mrc", folders)


def test_a_half_that_is_a_link_to_elsewhere_is_left_out_with_a_note(tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    for path in (project / "half1.mrc", tmp_path / "elsewhere.mrc", project / "mask.mrc"):
        write_map(path, (8, 8, 8))
    (project / "half2.mrc").symlink_to(tmp_path / "elsewhere.mrc")
    found = find_companions("half1.mrc", AllowedFolders(project, []))
    (note,) = found.pop("notes")
    assert found == {"mask": "mask.mrc"}
    assert "half2.mrc is outside the allowed folders" in note
