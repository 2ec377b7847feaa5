"""What is removed can be restored until the trash is emptied."""

from __future__ import annotations

import json

import pytest

from spisonet.errors import SpisonetError
from spisonet.gui.trash import Trash


@pytest.fixture
def trash(tmp_path) -> Trash:
    (tmp_path / "jobs" / "001_refine").mkdir(parents=True)
    (tmp_path / "jobs" / "001_refine" / "job.json").write_text("{}")
    return Trash(tmp_path, tmp_path / "jobs" / ".trash")


def test_a_folder_is_restored_or_deleted(trash, tmp_path):
    folder = tmp_path / "jobs" / "001_refine"
    name = trash.put(folder)
    assert not folder.exists()
    assert [(entry["name"], entry["path"]) for entry in trash.entries()] == [(name, "jobs/001_refine")]
    assert trash.restore(name) == "jobs/001_refine"
    assert (folder / "job.json").is_file()
    assert trash.entries() == []
    with pytest.raises(SpisonetError, match="does not contain"):
        trash.restore(name)
    name = trash.put(folder)
    folder.mkdir()
    with pytest.raises(SpisonetError, match="exists again"):
        trash.restore(name)
    trash.empty()
    assert trash.entries() == []


def test_a_foreign_entry_restores_nothing_outside(trash, tmp_path):
    entry = tmp_path / "jobs" / ".trash" / "1"
    entry.mkdir(parents=True)
    (entry / "passwd").touch()
    for path in ("../passwd", "/etc/passwd2"):
        (entry / "entry.json").write_text(json.dumps({"path": path, "time": 1.0}))
        with pytest.raises(SpisonetError, match="outside the project"):
            trash.restore("1")


def test_entries_without_a_record_are_listed_and_deleted(trash, tmp_path):
    restorable = trash.put(tmp_path / "jobs" / "001_refine")
    folder = tmp_path / "jobs" / ".trash"
    (folder / "17").mkdir()
    (folder / "17" / "002_refine").mkdir()
    (folder / "stray").touch()
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder / "link").symlink_to(outside)
    listed = {entry["name"]: entry for entry in trash.entries()}
    assert set(listed) == {restorable, "17", "stray", "link"}
    assert (listed["17"]["path"], listed["17"]["content"]) == (None, ["002_refine"])
    with pytest.raises(SpisonetError, match="record of 17 in the trash is missing"):
        trash.restore("17")
    trash.empty()
    assert list(folder.iterdir()) == []
    assert outside.is_dir()
