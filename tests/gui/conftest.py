"""A real server of a project folder, and requests to it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import mrcfile
import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCRIPTS = Path(sys.executable).parent
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/\S+/")
ACTIVE = ("queued", "running", "stopping")


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)


@dataclass
class Server:
    """The interface of a project."""

    project: Path
    address: str
    process: subprocess.Popen[str]

    @property
    def host(self) -> str:
        return urlsplit(self.address).netloc

    @property
    def prefix(self) -> str:
        return urlsplit(self.address).path

    def request(
        self, path: str, method: str = "GET", body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Reply:
        """Send a request to a path, which has to contain the token."""
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Reply(
                response.status,
                {name.lower(): value for name, value in response.getheaders()},
                response.read(),
            )
        finally:
            connection.close()

    def get(self, path: str, **values: Any) -> Reply:
        query = f"?{urlencode(values)}" if values else ""
        return self.request(f"{self.prefix}{path}{query}")

    def post(self, path: str, body: object) -> Reply:
        return self.request(
            self.prefix + path, "POST", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )

    def start(self, program: str, command: str, values: dict[str, Any], key: str, **target: Any) -> Reply:
        body = {"program": program, "command": command, "values": values, "target": target, "key": key}
        return self.post("api/start", body)

    def wait(self, name: str, condition: Callable[[dict[str, Any]], bool] | None = None) -> dict[str, Any]:
        """Wait until a job has ended, or until a condition on it is met."""
        reached = condition or (lambda job: job["state"] not in ACTIVE)
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            job = self.get("api/job", name=name).json
            if reached(job):
                return dict(job)
            time.sleep(0.2)
        raise AssertionError(f"{job}\n{self.get('api/log', name=name).json['text']}")


def serve(project: Path, *options: str) -> Server:
    process = subprocess.Popen(
        [SCRIPTS / "spisonet.py", "gui", project, "--port", "0", *options],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # The queue for devices is in the temporary folder: these jobs do not wait for other tests.
        env={**os.environ, "TMPDIR": str(project.parent)},
    )
    assert process.stdout is not None
    for line in process.stdout:
        if found := ADDRESS.search(line):
            return Server(project, found[0], process)
    raise AssertionError(f"the server ended with {process.wait()}")


def end(server: Server) -> None:
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(20) == 0
    assert server.process.stdout is not None
    server.process.stdout.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Server of a project with a small map, shared by the tests of a module."""
    project = tmp_path_factory.mktemp("project")
    write_map(project / "map.mrc")
    served = serve(project)
    yield served
    end(served)


def write_map(
    path: Path, shape: tuple[int, ...] = (32, 32, 32), dtype: str = "float32"
) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(0)
    data = (20 * rng.normal(size=shape)).astype(dtype)
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(data)
        mrc.voxel_size = 4.0
    return data
