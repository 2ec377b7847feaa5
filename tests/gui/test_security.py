"""Attacks and malformed requests are refused, and the server keeps running."""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import shutil
import socket
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

import spisonet.gui
from spisonet.gui.processes import host_name, process_identity
from tests.gui.conftest import Server, end, serve, write_map

SLICE = {"name": "map.mrc", "axis": "z", "index": 3, "low": -50, "high": 50}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def still_running(server: Server):
    """After each test, the server still responds."""
    yield
    assert server.get("api/jobs").status == 200


pytestmark = pytest.mark.usefixtures("still_running")


@pytest.mark.parametrize(
    "path", ["/", "/api/jobs", "/wrong/api/jobs", "/static/app.js", "//api/jobs", "/%00/"]
)
def test_without_the_token_nothing_is_served(server, path):
    reply = server.request(path)
    assert reply.status == 403
    assert b"token" in reply.content


def test_the_token_is_long_and_found_only_in_the_address(server):
    token = server.prefix.strip("/")
    assert len(token) >= 32
    assert token.encode() not in server.get("").content
    reply = server.get("")
    assert "set-cookie" not in reply.headers
    assert reply.headers["referrer-policy"] == "no-referrer"
    for path in server.project.rglob("*"):
        if path.is_file():
            assert token.encode() not in path.read_bytes()


def test_only_connections_from_this_machine_are_accepted(server):
    port = int(server.host.rpartition(":")[2])
    # Port and address in hexadecimal, the latter in the machine's byte order: 127.0.0.1
    table = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    listening = [line.split()[1] for line in table if line.split()[3] == "0A"]
    assert [address for address in listening if address.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:80"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_requests_of_other_pages_are_refused_even_with_the_token(server, headers, method):
    reply = server.request(f"{server.prefix}api/jobs", method, b"{}", {**JSON, **headers})
    assert reply.status == 403


def test_a_link_to_the_page_can_be_followed(server):
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert server.request(server.prefix, headers=headers).status == 200


def test_a_form_of_another_page_cannot_be_posted(server):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert server.request(f"{server.prefix}api/stop", "POST", b"name=x", headers).status == 403


@pytest.mark.parametrize(
    "name",
    [
        "../outside.txt",
        "../../../../etc/passwd",
        "/etc/passwd",
        "jobs/../../outside.txt",
        "link",
        "folder_link/outside.txt",
        "map.mrc\0.png",
        "~/.ssh/id_rsa",
    ],
)
def test_no_file_outside_of_the_project_is_served(server, name):
    outside = server.project.parent / "outside.txt"
    outside.write_text("secret", encoding="utf-8")
    for link, target in (("link", outside), ("folder_link", outside.parent)):
        if not (server.project / link).is_symlink():
            (server.project / link).symlink_to(target)
    for path, values in (
        ("file", {}),
        ("api/volume", {}),
        ("api/table", {}),
        ("api/job", {}),
        ("api/folder", {}),
        ("api/boundary", {"volume": "map.mrc"}),
        ("api/refinement", {}),
        ("api/slice", {"axis": "z", "index": 0, "low": 0, "high": 1}),
    ):
        reply = server.get(path, name=name, **values)
        assert reply.status == 400, path
        assert b"secret" not in reply.content
        assert b"root:" not in reply.content


@pytest.mark.parametrize(
    "path", ["static/../server.py", "static/%2e%2e/server.py", "static/..%2fserver.py", "static//etc/passwd"]
)
def test_static_files_are_those_of_the_page(server, path):
    assert server.get(path).status == 404


def test_nothing_is_written_outside_of_the_project(server):
    before = set(server.project.parent.iterdir())
    point = [[1.0, 2.0, 3.0]] * 3
    boundary = {"name": "../b.mod", "contours": [point], "volume": "map.mrc"}
    assert server.post("api/boundary", boundary).status == 400
    assert server.post("api/table/copy", {"name": "map.mrc", "target": "/tmp/x.star"}).status == 400
    values = {"h1": "map.mrc", "o": "../whitened.mrc"}
    reply = server.start("spisonet", "whitening", values, "key-outside")
    assert reply.status == 422
    assert "outside" in reply.json["field_errors"]["o"]
    assert set(server.project.parent.iterdir()) == before
    assert server.get("api/jobs").json == []


@pytest.mark.parametrize("option", ["--allowed_folders", "--allowed-folders", "--roots"])
def test_additional_folders_are_served_under_both_spellings_of_the_option(tmp_path, option):
    project, data = tmp_path / "project", tmp_path / "data"
    project.mkdir()
    data.mkdir()
    write_map(data / "map.mrc")
    served = serve(project, option, str(data))
    try:
        assert served.get("api/volume", name=str(data / "map.mrc")).status == 200
        assert served.get("api/volume", name=str(tmp_path / "other.mrc")).status == 400
    finally:
        end(served)


def test_ten_gigabytes_are_refused_at_once(server):
    connection = http.client.HTTPConnection(server.host, timeout=20)
    connection.putrequest("POST", f"{server.prefix}api/boundary")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(10 * 2**30))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_a_stream_without_a_length_is_cut_off(server):
    connection = http.client.HTTPConnection(server.host, timeout=20)
    connection.putrequest("POST", f"{server.prefix}api/boundary")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    sent, part = 0, b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    try:
        while sent < 10 * 2**30:
            connection.send(part)
            sent += len(part)
    except OSError:  # it has hung up
        pass
    assert sent < 2**26
    connection.close()
    assert memory_megabytes(server.process.pid) < 400


def test_malformed_requests_are_answered_with_an_error(server):
    for body in (b"", b"{", b"[]", b'{"name": 3}', b"\xff\xfe", b'{"name": "x", "more": 1}'):
        assert server.request(f"{server.prefix}api/stop", "POST", body, JSON).status == 400
    with socket.create_connection(server.host.split(":"), timeout=10) as raw:
        raw.sendall(b"\x00\x01nonsense\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 400")


def test_fifty_slices_at_once_are_drawn(server):
    with ThreadPoolExecutor(50) as pool:
        replies = list(pool.map(lambda z: server.get("api/slice", **{**SLICE, "index": z % 32}), range(50)))
    assert {reply.status for reply in replies} == {200}
    first = {index % 32: reply.content for index, reply in enumerate(replies)}
    assert all(first[index % 32] == reply.content for index, reply in enumerate(replies))
    assert len(set(first.values())) == 32


@pytest.mark.parametrize(
    "changes",
    [
        {"index": 32},
        {"index": -1},
        {"axis": "q"},
        {"low": "nan"},
        {"high": "inf"},
        {"thickness": 1000},
        {"name": "none.mrc"},
        {"name": ""},
    ],
)
def test_an_invalid_slice_is_refused(server, changes):
    reply = server.get("api/slice", **{**SLICE, **changes})
    assert reply.status == 400
    assert reply.json["error"]


def test_pages_of_the_project_run_no_scripts(server):
    (server.project / "page.html").write_text("<script>alert(1)</script>", encoding="utf-8")
    (server.project / "drawing.svg").write_text("<svg onload='alert(1)'/>", encoding="utf-8")
    policy = server.get("file", name="page.html").headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "script-src" not in policy
    drawing = server.get("file", name="drawing.svg").headers
    assert drawing["content-type"] == "application/octet-stream"
    assert drawing["content-disposition"].startswith("attachment")
    assert drawing["x-content-type-options"] == "nosniff"


def test_large_planes_are_binned_or_refused(server):
    path = server.project / "deep.mrc"
    write_map(path, (2, 2, 2))
    with path.open("r+b") as file:  # 20,000 x 20,000 x 4 voxels, a hole on the disk
        file.write((20000).to_bytes(4, "little") * 2 + (4).to_bytes(4, "little") + (2).to_bytes(4, "little"))
        file.truncate(1024 + 4 * 20000 * 20000 * 4)
    try:
        reply = server.get("api/slice", name="deep.mrc", axis="y", index=7, low=0, high=1)
        assert reply.status == 200
        assert max(Image.open(io.BytesIO(reply.content)).size) <= 1536
        assert server.get("api/slice", name="deep.mrc", axis="z", index=1, low=0, high=1).status == 400
        assert server.get("api/surface", name="deep.mrc").status == 400
    finally:
        path.unlink()


def test_special_files_do_not_block(server):
    os.mkfifo(server.project / "pipe.mrc")
    try:
        assert stat.S_ISFIFO((server.project / "pipe.mrc").stat().st_mode)
        for path in ("file", "api/volume", "api/table"):
            assert server.get(path, name="pipe.mrc").status == 400
    finally:
        (server.project / "pipe.mrc").unlink()


def memory_megabytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    resident = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(resident.split()[1]) / 1000


def test_the_token_is_in_no_process_list_and_no_environment(server):
    token = server.prefix.strip("/").encode()
    server.get("api/jobs")
    for process in Path("/proc").glob("[0-9]*"):
        try:
            texts = [(process / name).read_bytes() for name in ("cmdline", "environ")]
        except OSError:
            continue
        assert not any(token in text for text in texts), process


def test_scripts_run_only_from_the_files_of_the_page(server):
    policy = server.get("").headers["content-security-policy"]
    assert policy.startswith("default-src 'self'")
    assert "unsafe" not in policy
    assert "script-src" not in policy
    page = server.get("").content.decode()
    assert re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL) == [""]
    assert not re.search(r"\son\w+\s*=|<style|\sstyle\s*=|javascript:", page)


def test_names_of_files_never_become_markup_or_code():
    static = Path(spisonet.gui.__file__).parent / "static"
    dangerous = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|javascript:"
    for path in static.glob("*.js"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(dangerous, text), path.name
        assert not re.search(r"set(Timeout|Interval)\(\s*[\"'`]", text), path.name


def test_hostile_names_are_listed_as_data(server):
    name = "<img src=x onerror=alert(1)>'\"&.mrc"
    write_map(server.project / name)
    try:
        reply = server.get("api/folder", name=".")
        assert reply.headers["content-type"] == "application/json"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert name in [entry["name"] for entry in reply.json["entries"]]
        assert server.get("api/volume", name=name).status == 200
        shown = server.get("file", name=name).headers
        assert shown["content-type"] == "application/octet-stream"
    finally:
        (server.project / name).unlink()


@pytest.fixture
def hostile_job(server):
    """Write the files of a job as a stranger could; they are removed afterwards."""
    folder = server.project / "jobs" / "001_whitening"
    folder.mkdir(parents=True)

    def write(record=(), launch=(), process=None) -> str:
        config = {"h1": "map.mrc", "o": "jobs/001_whitening/out.mrc"}
        job = {"program": "spisonet", "command": "whitening", "status": "failed", "config": config}
        start = {"program": "spisonet", "submitted": 1.0, "key": "k", "requested_line": [], "target": {}}
        (folder / "job.json").write_text(json.dumps(job | dict(record)))
        (folder / "launch.json").write_text(json.dumps(start | dict(launch)))
        if process is not None:
            (folder / "process.json").write_text(json.dumps(process))
        return "jobs/001_whitening"

    yield write
    shutil.rmtree(folder.parent)


@pytest.mark.parametrize(
    ("record", "launch"),
    [
        (
            {"command": "refine"},
            {"program": "sh", "arguments": ["touch", "pwned"], "line": ["touch", "pwned"]},
        ),
        ({"command": "refine; touch pwned"}, {}),
        ({"command": "gui"}, {}),
        ({"command": "../../bin/sh"}, {"program": "../../bin/sh"}),
    ],
)
def test_commands_in_the_files_of_a_job_are_not_run(server, hostile_job, record, launch):
    name = hostile_job(record, launch)
    reply = server.post("api/resume", {"name": name})
    assert reply.status == 400
    assert server.get("api/jobs").status == 200
    assert not (server.project / "pwned").exists()


@pytest.mark.parametrize("link", ["run.out", "run.log", "job.json", "corrected/a.mrc"])
def test_a_job_does_not_write_through_links_out_of_the_project(server, hostile_job, tmp_path, link):
    config = {"star_file": "t.star", "output_dir": "jobs/001_whitening"}
    name = hostile_job({"command": "refine", "config": config}, {"program": "isonet"})
    victim, path = tmp_path / "victim", server.project / name / link
    path.parent.mkdir(exist_ok=True)
    if path.exists():
        path.rename(victim)
    else:
        victim.write_text("mine")
    path.symlink_to(victim)
    before = victim.read_bytes()
    reply = server.post("api/resume", {"name": name})
    assert reply.status == 400
    assert "outside" in reply.json["error"]
    assert victim.read_bytes() == before


def test_notes_and_settings_are_not_written_through_links_out_of_the_project(server, hostile_job, tmp_path):
    name = hostile_job()
    victim = tmp_path / "victim"
    victim.write_text("{}")
    for path, request, body in (
        (
            server.project / name / "notes.json",
            "api/notes",
            {"name": name, "title": "x", "text": "", "version": ""},
        ),
        (server.project / "jobs" / ".interface.json", "api/settings", {"folder": "x"}),
    ):
        path.unlink(missing_ok=True)
        path.symlink_to(victim)
        reply = server.post(request, body)
        path.unlink()
        assert reply.status == 400
        assert "outside" in reply.json["error"]
        assert victim.read_text() == "{}"


def test_stopping_a_job_ends_no_process_that_its_files_only_name(server, hostile_job):
    with subprocess.Popen(["sleep", "100"], start_new_session=True) as bystander:
        identity = process_identity(bystander.pid)
        common = {"host": host_name(), "state": "running", "started": 1.0}
        dead = {"pid": 2**22 + 1, "start": "x"}
        for process in ({"runner": identity}, {"runner": dead, "child": identity}):
            name = hostile_job(process=common | process)
            reply = server.post("api/stop", {"name": name})
            assert reply.status == 400
            assert "not one of this job" in reply.json["error"]
        assert bystander.poll() is None
        bystander.kill()
