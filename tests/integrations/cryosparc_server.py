"""A server that answers as cryosparc-tools expects: its OpenAPI description, jobs, datasets and files."""

from __future__ import annotations

import io
import json
import re
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryosparc.dataset import Dataset

if TYPE_CHECKING:
    from collections.abc import Callable

PREFIX = "/api/cmd"
JOB = "/projects/{project_uid}/jobs/{job_uid}"
TIME = "2026-01-01T00:00:00+00:00"
DATASET, BYTES = Dataset.media_type, "application/octet-stream"
REFERENCES = {"Job", "GridFSAsset", "TextEvent", "ImageEvent", "Token"}
# Name in the client, method, path, names in the query, type of the body, type of the answer.
ENDPOINTS: tuple[tuple[str, str, str, tuple[str, ...], str, str], ...] = (
    ("login", "post", "/login", (), "form", "Token"),
    ("users.me", "get", "/users/me", (), "", "json"),
    ("config.get_version", "get", "/config/version", (), "", "json"),
    ("jobs.find_one", "get", JOB, (), "", "Job"),
    (
        "jobs.create",
        "post",
        "/projects/{project_uid}/workspaces/{workspace_uid}/jobs",
        ("type", "title", "description"),
        "",
        "Job",
    ),
    ("jobs.load_output", "get", JOB + "/outputs/{name}", ("slots", "version"), "", DATASET),
    ("jobs.add_external_output", "post", JOB + "/outputs/{name}", (), "json", "Job"),
    ("jobs.get_output_fields", "post", JOB + "/outputs/{name}/fields", (), "json", "json"),
    ("jobs.save_output", "put", JOB + "/outputs/{name}", ("version",), DATASET, "Job"),
    ("jobs.mark_running", "post", JOB + "/running", ("status",), "", "Job"),
    ("jobs.mark_completed", "post", JOB + "/completed", (), "", "Job"),
    ("jobs.mark_failed", "post", JOB + "/failed", ("error",), "", "Job"),
    ("jobs.add_event_log", "post", JOB + "/log", ("type",), "json", "TextEvent"),
    ("jobs.add_image_log", "post", JOB + "/images", ("text", "flags"), "json", "ImageEvent"),
    ("projects.download_file", "get", "/projects/{project_uid}/files", ("path",), "", BYTES),
    ("projects.upload_file", "post", "/projects/{project_uid}/files", ("path", "overwrite"), BYTES, "none"),
    ("assets.upload", "post", JOB + "/assets", ("filename", "format"), BYTES, "GridFSAsset"),
)
FIELDS = {"path": ["O"], "shape": ["<u4", [3]], "psize_A": ["<f4"]}


def description() -> dict[str, Any]:
    """Return the OpenAPI description from which the client makes its functions."""
    paths: dict[str, Any] = {}
    for name, method, path, query, body, answer in ENDPOINTS:
        found: dict[str, Any] = {"summary": name, "parameters": []}
        for place, names in (("path", re.findall(r"{(\w+)}", path)), ("query", query)):
            found["parameters"] += [{"name": n, "in": place, "required": place == "path"} for n in names]
        kinds = {"json": "application/json", "form": "application/x-www-form-urlencoded"}
        if body:
            found["requestBody"] = {"content": {kinds.get(body, body): {"schema": {}}}}
        schema = {"$ref": f"#/components/schemas/{answer}"} if answer in REFERENCES else {}
        mime = answer if answer in (DATASET, BYTES) else "application/json"
        found["responses"] = {
            "200": {"description": ""} if answer == "none" else {"content": {mime: {"schema": schema}}}
        }
        paths.setdefault(path, {})[method] = found
    return {"info": {}, "components": {}, "paths": paths}


class Server:
    """A cryoSPARC instance with one project folder.

    Parameters
    ----------
    folder : Path
        Project folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.version = folder, "v5.0.3"
        self.jobs: dict[str, dict[str, Any]] = {}
        self.datasets: dict[tuple[str, str], Dataset] = {}
        self.slots: dict[tuple[str, str], list[str]] = {}
        self.log: list[str] = []
        self.fails: dict[str, int] = {}  # status by name of an endpoint
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def answer(self) -> None:
                outer.handle(self)

            do_GET = do_POST = do_PUT = answer  # noqa: N815 - of the base class

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self.http.shutdown()
        self.http.server_close()

    def add_job(self, uid: str, outputs: dict[str, tuple[str, Dataset]], status: str = "completed") -> None:
        """Add a job with datasets by output: type and rows."""
        self.jobs[uid] = job_record(uid, status, {name: kind for name, (kind, _) in outputs.items()})
        self.datasets |= {(uid, name): rows for name, (_, rows) in outputs.items()}

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        """Answer a request by the table of endpoints."""
        length = request.headers.get("Content-Length")
        content = request.rfile.read(int(length)) if length else read_chunks(request)
        url = urllib.parse.urlsplit(request.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        path = url.path.removeprefix(PREFIX)
        if path == "/openapi.json":
            return send(request, 200, "application/json", json.dumps(description()).encode())
        for name, method, template, _, _, answer in ENDPOINTS:
            pattern = re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", template)
            match = re.fullmatch(pattern, path)
            if match is None or method != request.command.lower():
                continue
            status = self.fails.get(name, 200)
            if status == 0:
                return request.connection.close()
            uid = match.groupdict().get("job_uid")
            if uid is not None and uid not in self.jobs:
                status = 404
            if status != 200:
                return send(request, status, "application/json", b'{"detail": "refused"}')
            found = self.respond(name, match.groupdict(), query, content)
            mime = answer if answer in (DATASET, BYTES) else "application/json"
            return send(request, 200, mime, found if isinstance(found, bytes) else json.dumps(found).encode())
        return send(request, 404, "application/json", b"{}")

    def respond(self, name: str, parts: dict[str, str], query: dict[str, str], content: bytes) -> Any:
        """Return the body of an answer."""
        self.log.append(name)
        uid, output = parts.get("job_uid", ""), parts.get("name", "")
        if name in ("projects.download_file", "projects.upload_file"):
            return self.file(name, self.folder / query["path"], content)
        if name == "jobs.create":
            uid = f"J{len(self.jobs) + 100}"
            self.jobs[uid] = job_record(uid, "building", {}, query["type"])
        elif name == "jobs.add_external_output":
            self.slots[uid, output] = [slot["name"] for slot in json.loads(content)["slots"]]
        elif name == "jobs.save_output":
            self.datasets[uid, output] = Dataset.load(io.BytesIO(content))
        elif name.startswith("jobs.mark_"):
            self.jobs[uid]["status"] = name.removeprefix("jobs.mark_")
        event = {"project_uid": "P1", "job_uid": uid, "type": "text", "text": "", "created_at": TIME}
        fixed: dict[str, Callable[[], Any]] = {
            "login": lambda: {"access_token": "token", "token_type": "bearer"},
            "users.me": lambda: {"name": "tester"},
            "config.get_version": lambda: self.version,
            "jobs.load_output": lambda: b"".join(self.datasets[uid, output].stream()),
            "jobs.get_output_fields": lambda: [
                [f"{slot}/{field}", *kind]
                for slot in self.slots[uid, output]
                for field, kind in FIELDS.items()
            ],
            "jobs.add_event_log": lambda: event,
            "jobs.add_image_log": lambda: event | {"type": "image"},
            "assets.upload": lambda: {"fileid": "1", "filename": "figure.png", "filetype": "image/png"},
        }
        return fixed.get(name, lambda: self.jobs[uid])()

    @staticmethod
    def file(name: str, path: Path, content: bytes) -> bytes | None:
        """Read or write a file of the project."""
        if name == "projects.download_file":
            return path.read_bytes()
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return None


def job_record(
    uid: str, status: str, outputs: dict[str, str], kind: str = "nonuniform_refine_new"
) -> dict[str, Any]:
    """Return a job as the server describes it."""
    details = {"title": "", "slots": [], "results": [], "num_items": 1, "image": None}
    spec = {
        "type": kind,
        "params": {"refine_symmetry": "C3"},
        "outputs": {name: {"type": output, **details} for name, output in outputs.items()},
        "ui_tile_width": 1,
        "ui_tile_height": 1,
        "resource_spec": {},
    }
    record = {"uid": uid, "project_uid": "P1", "spec": spec, "job_dir": uid, "status": status}
    numbers = {"uid_num": int(uid[1:]), "project_uid_num": 1, "status_num": 0, "build_errors": []}
    return record | numbers | {"job_dir_size_last_updated": TIME}


def read_chunks(request: BaseHTTPRequestHandler) -> bytes:
    """Read a body that is sent in chunks."""
    if "chunked" not in request.headers.get("Transfer-Encoding", ""):
        return b""
    parts = []
    while size := int(request.rfile.readline().split(b";")[0], 16):
        parts.append(request.rfile.read(size))
        request.rfile.readline()
    request.rfile.readline()
    return b"".join(parts)


def send(request: BaseHTTPRequestHandler, status: int, mime: str, content: bytes) -> None:
    """Send an answer."""
    request.send_response(status)
    request.send_header("Content-Type", mime)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)
