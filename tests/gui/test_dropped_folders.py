from __future__ import annotations

import pytest

from spisonet.errors import SpisonetError
from spisonet.gui.allowed_folders import AllowedFolders
from spisonet.gui.dropped_folders import locate_folder


@pytest.fixture
def folders(tmp_path) -> AllowedFolders:
    for kind in ("even", "odd"):
        (tmp_path / "data" / kind).mkdir(parents=True)
        (tmp_path / "data" / kind / "TS_01.mrc").write_bytes(b"x" * 100)
    return AllowedFolders(tmp_path, [])


def test_a_folder_is_found_by_the_names_and_sizes_of_its_tomograms(folders):
    assert locate_folder("even", {"TS_01.mrc": 100, "notes.txt": 3}, folders) == "data/even"
    assert locate_folder("data", {"even/TS_01.mrc": 100}, folders) == "data"


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("even", {"TS_01.mrc": 101}),
        ("even", {"x.mrc": 3}),
        ("even", {"notes.txt": 3}),
        ("even", {}),
        ("other", {"TS_01.mrc": 100}),
    ],
)
def test_other_folders_are_not_taken_for_it(folders, name, files):
    with pytest.raises(SpisonetError, match="use Browse, or restart the interface with --allowed_folders"):
        locate_folder(name, files, folders)
