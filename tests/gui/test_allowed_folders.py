from __future__ import annotations

import pytest

from spisonet.errors import SpisonetError
from spisonet.gui.allowed_folders import AllowedFolders


@pytest.fixture
def folders(tmp_path) -> AllowedFolders:
    (tmp_path / "project").mkdir()
    (tmp_path / "data").mkdir()
    return AllowedFolders(tmp_path / "project", [tmp_path / "data"])


def test_paths_are_resolved_however_they_are_written(folders, tmp_path):
    assert folders.resolve("x/../y") == tmp_path / "project" / "y"
    assert folders.resolve("../data/m.mrc") == tmp_path / "data" / "m.mrc"
    assert folders.display_name(tmp_path / "project" / "y") == "y"
    assert folders.display_name(tmp_path / "data" / "m.mrc") == str(tmp_path / "data" / "m.mrc")


@pytest.mark.parametrize("name", ["..", "../other", "/etc/passwd", "link/file", "../project2"])
def test_paths_outside_are_rejected_with_the_option_that_allows_them(folders, tmp_path, name):
    (tmp_path / "project" / "link").symlink_to(tmp_path)
    with pytest.raises(SpisonetError, match="restart the interface with --allowed_folders /"):
        folders.resolve(name)


def test_a_loop_of_links_is_rejected(folders, tmp_path):
    (tmp_path / "project" / "loop").symlink_to(tmp_path / "project" / "loop")
    with pytest.raises(SpisonetError):
        folders.resolve_file("loop/file")


def test_missing_files_are_told_apart_from_folders_by_a_code(folders, tmp_path):
    (tmp_path / "project" / "folder").mkdir()
    with pytest.raises(SpisonetError, match=r"^folder is not a file") as not_a_file:
        folders.resolve_file("folder")
    with pytest.raises(SpisonetError, match=r"^none\.mrc does not exist") as missing:
        folders.resolve_file("none.mrc")
    assert missing.value.code == "file_not_found"
    assert not_a_file.value.code != "file_not_found"
