"""Outputs appear whole or not at all."""

import os
from pathlib import Path

import pytest

from spisonet.errors import SpisonetError
from spisonet.io.atomic import atomic_path, prepare_output_file, prepare_output_folder

DEVICE_FULL = Path("/dev/full")


def test_a_whole_file_replaces_the_old_one(tmp_path):
    path = tmp_path / "out.mrc"
    path.write_text("old")
    with atomic_path(path) as temporary:
        assert temporary.suffix == ".mrc"
        assert temporary.parent == tmp_path
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["out.mrc"]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file(tmp_path, fault):
    path = tmp_path / "out.txt"
    path.write_text("old")

    def write():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise fault

    with pytest.raises(fault):
        write()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.txt"]


@pytest.mark.parametrize("parent", ["missing", "file"])
def test_no_folder_to_write_to(tmp_path, parent):
    (tmp_path / "file").write_text("")
    path = tmp_path / parent / "out.txt"

    def write():
        with atomic_path(path) as temporary:
            temporary.write_text("x")

    with pytest.raises(SpisonetError, match=r"out\.txt cannot be written"):
        write()


@pytest.mark.skipif(not DEVICE_FULL.exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_sentence(tmp_path):
    def write():
        with atomic_path(tmp_path / "out.txt"), DEVICE_FULL.open("wb", buffering=0) as full:
            full.write(b"x")

    with pytest.raises(SpisonetError, match="No space left on device"):
        write()
    assert not os.listdir(tmp_path)


def test_an_output_folder_is_made_and_left_clean(tmp_path):
    prepare_output_folder(tmp_path / "a" / "b")
    assert not os.listdir(tmp_path / "a" / "b")


def test_an_output_folder_below_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SpisonetError, match="output folder"):
        prepare_output_folder(tmp_path / "file" / "b")


def test_an_output_must_not_be_an_input_or_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prepare_output_file(tmp_path / "new" / "out.mrc", tmp_path / "in.mrc", None)
    assert (tmp_path / "new").is_dir()
    with pytest.raises(SpisonetError, match="also an input"):
        prepare_output_file(Path("in.mrc"), tmp_path / "in.mrc")
    with pytest.raises(SpisonetError, match="is a folder"):
        prepare_output_file(tmp_path / "new")
