"""Absolute paths with all links followed."""

from __future__ import annotations

import ast
import errno

import pytest

from spisonet.io.paths import real_path
from tests.test_layers import sources


def test_links_are_followed_and_the_end_need_not_exist(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    assert real_path(tmp_path / "link/none/x.mrc") == tmp_path.resolve() / "folder/none/x.mrc"


@pytest.mark.parametrize("name", ["loop", "loop/../link/secret"])
def test_loops_of_links_are_errors_of_the_system(tmp_path, name):
    """The second one seems to be in the folder, but leads out of it."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").touch()
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "loop").symlink_to("loop")
    (folder / "link").symlink_to("../outside")
    with pytest.raises(OSError, match="symbolic") as error:
        real_path(folder / name)
    assert error.value.errno == errno.ELOOP


def test_paths_are_resolved_in_one_way():
    """`Path.resolve` raises different errors in different versions of Python."""
    found = [
        f"{module}: {ast.unparse(call)}"
        for module, tree in sources().items()
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith(".resolve") and not call.args
    ]
    assert found == []
