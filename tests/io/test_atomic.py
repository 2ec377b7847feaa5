"""Outputs appear whole or not at all."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from spisonet.errors import SpisonetError
from spisonet.io.atomic import (
    MAX_NAME_BYTES,
    PARTIAL,
    atomic_path,
    open_for_appending,
    prepare_output_file,
    prepare_output_folder,
    rename_marker,
    write_bytes,
    write_text,
)

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


def test_content_reaches_the_disk_before_the_name_and_the_name_before_the_next_step(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace

    def recorded_fsync(descriptor):
        calls.append(f"fsync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name}")
        fsync(descriptor)

    def recorded_replace(source, target):
        calls.append(f"rename {Path(target).name}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    write_bytes(tmp_path / "a.txt", b"a")
    assert PARTIAL.fullmatch(calls.pop(0).removeprefix("fsync "))
    assert calls == ["rename a.txt", f"fsync {tmp_path.name}"]
    calls.clear()
    write_bytes(tmp_path / "a.txt", b"a", durable=False)
    assert calls == ["rename a.txt"]
    calls.clear()
    rename_marker(tmp_path / "missing", tmp_path / "DONE")
    assert calls == ["rename DONE", f"fsync {tmp_path.name}"]
    rename_marker(tmp_path / "DONE", tmp_path / "SUCCESS")
    assert set(os.listdir(tmp_path)) == {"a.txt", "SUCCESS"}


def test_a_file_is_created_once(tmp_path):
    path = tmp_path / "out.txt"
    write_bytes(path, b"first", replace=False)
    with pytest.raises(FileExistsError):
        write_bytes(path, b"second", replace=False)
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["out.txt"]


def test_threads_that_write_the_same_file_do_not_share_a_temporary_name(tmp_path):
    path = tmp_path / "out.txt"
    texts = [str(number) * 100_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: write_text(path, text, durable=False), texts * 10))
    assert path.read_text() in texts
    assert os.listdir(tmp_path) == ["out.txt"]


def test_the_longest_name_can_be_written(tmp_path):
    path = tmp_path / ("Å" * 125 + "a.mrc")
    assert len(os.fsencode(path.name)) == MAX_NAME_BYTES
    write_bytes(path, b"x")
    assert os.listdir(tmp_path) == [path.name]


def test_partial_files_of_killed_processes_are_removed_and_those_of_running_ones_kept(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from spisonet.io.atomic import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as path: path.write_bytes(b'half'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "out.mrc"], check=False)
    (killed,) = os.listdir(tmp_path)
    assert PARTIAL.fullmatch(killed)
    match = PARTIAL.fullmatch(killed)
    assert match is not None
    begin = killed.index(f".{match['host']}.")
    other_host = f"{killed[:begin]}.elsewhere.{match['pid']}.0.partial.mrc"
    old, own = tmp_path / f"{other_host}2", ".not_one.partial.mrc"
    for name in (other_host, own):
        (tmp_path / name).touch()
    old.touch()
    os.utime(old, (0, 0))
    with atomic_path(tmp_path / "running.mrc") as running:
        running.touch()
        prepare_output_folder(tmp_path)
        assert set(os.listdir(tmp_path)) == {other_host, own, running.name}


def test_a_line_that_a_killed_process_left_incomplete_is_ended(tmp_path):
    path = tmp_path / "run.log"
    path.write_text("whole\nhal")
    for line in ("next\n", "last\n"):
        with open_for_appending(path) as file:
            file.write(line)
    assert path.read_text() == "whole\nhal\nnext\nlast\n"
