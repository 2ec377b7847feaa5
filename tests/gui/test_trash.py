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
