"""Files whose names are not UTF-8 are listed, viewed, used in jobs and downloaded."""

from __future__ import annotations

import os
from pathlib import Path

from spisonet.gui.file_names import escape_bytes, restore_bytes
from tests.gui.conftest import write_map

BYTES = b"m\xe4p.mrc"
SHOWN = r"m\xe4p.mrc"


def test_escaped_names_are_restored(tmp_path):
    for name in (BYTES, b"plain.mrc", "mäp.mrc".encode(), rb"literal\xe4.mrc", b"\xff\xfe"):
        path = Path(os.fsdecode(bytes(tmp_path) + b"/" + name))
        path.touch()
        shown = escape_bytes(path.name)
        shown.encode()
        assert restore_bytes(shown, tmp_path) == path


def test_a_file_of_any_name_is_browsed_viewed_and_used(server):
    write_map(server.project / "other.mrc")
    folder = Path(os.fsdecode(bytes(server.project) + b"/f\xf6lder"))
    folder.mkdir()
    path = Path(os.fsdecode(bytes(folder) + b"/" + BYTES))
    (server.project / "other.mrc").rename(path)
    assert r"f\xf6lder" in [entry["name"] for entry in server.get("api/folder").json["entries"]]
    listed = server.get("api/folder", name=r"f\xf6lder").json
    assert [entry["name"] for entry in listed["entries"]] == [SHOWN]
    name = f"{listed['name']}/{SHOWN}"
    assert server.get("api/volume", name=name).json["shape"] == [32, 32, 32]
    download = server.get("file", name=name, download=True)
    assert (download.status, download.content) == (200, path.read_bytes())
    values = {"h1": name, "high_res": "12", "low_res": "40", "o": "{job}/w.mrc"}
    started = server.start("spisonet", "whitening", values, "a-key-of-bytes")
    assert started.status == 200, started.content
    job = server.wait(started.json["name"])
    assert job["state"] == "finished", server.get("api/log", name=job["name"]).json["text"]
    assert job["inputs"] == [name]
    assert name in job["line"]
    missing = server.get("api/volume", name=rf"{listed['name']}/\xff")
    assert (missing.status, missing.json["code"]) == (400, "file_not_found")
