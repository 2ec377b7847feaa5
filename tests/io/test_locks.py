"""Files that several programs change at once lose no change."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from spisonet.io import locks
from spisonet.io.locks import FileLock, lock_for_update, private_folder

ADD = """
import sys
from pathlib import Path
from spisonet.io.locks import lock_for_update
from spisonet.io.atomic import write_text
path = Path(sys.argv[1])
for _ in range(50):
    with lock_for_update(path):
        write_text(path, str(int(path.read_text()) + 1), durable=False)
"""


def test_changes_of_several_processes_are_all_kept(tmp_path):
    path = tmp_path / "count.txt"
    path.write_text("0")
    writers = [subprocess.Popen([sys.executable, "-c", ADD, path]) for _ in range(4)]
    assert [writer.wait() for writer in writers] == [0] * 4
    assert path.read_text() == "200"
    assert os.listdir(tmp_path) == ["count.txt"]


def test_a_lock_file_is_not_made_through_a_link(tmp_path):
    (tmp_path / "link.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="link"):
        FileLock(tmp_path / "link.lock").acquire(wait=False)
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_cannot_be_written_is_not_locked(tmp_path):
    with lock_for_update(tmp_path / "missing" / "table.star"):
        pass


def test_a_folder_that_others_prepared_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(locks.tempfile, "gettempdir", lambda: str(tmp_path))
    folder = private_folder()
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    with pytest.raises(PermissionError, match="others can write"):
        private_folder()
    folder.rmdir()
    Path(folder).symlink_to(tmp_path)
    with pytest.raises(PermissionError):
        private_folder()
