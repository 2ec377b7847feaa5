"""Slow and numerous connections do not keep others out."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request  # noqa: TC002 - evaluated by starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from spisonet.gui import connections, security
from spisonet.gui.security import SecurityMiddleware

TOKEN = "token"
LARGE = 64 * 2**20  # more than the buffers of a connection
HEAD = f"/{TOKEN}/%s HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A server with short limits; returns its port."""
    for name, value in {"REQUEST_SECONDS": 0.6, "STALLED_SECONDS": 0.8, "CHECK_SECONDS": 0.1}.items():
        monkeypatch.setattr(connections, name, value)
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 20)
    monkeypatch.setattr(security, "BODY_SECONDS", 0.6)

    async def body(request: Request) -> Response:
        return PlainTextResponse(str(len(await request.body())))

    async def large(request: Request) -> Response:
        return Response(bytes(LARGE))

    routes = [Route("/body", body, methods=["GET", "POST"]), Route("/large", large)]
    application = SecurityMiddleware(Starlette(routes=routes), TOKEN)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(
            application, http=connections.LimitedProtocol, lifespan="off", ws="none", log_level="error"
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join(20)
    listener.close()


def connect(port: int) -> socket.socket:
    for _ in range(100):
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=20)
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise TimeoutError


def answer(port: int) -> bytes:
    with connect(port) as connection:
        connection.sendall(f"GET {HEAD % 'body'}Connection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(4096), b""))


def ends(connection: socket.socket, sent: bytes = b"") -> bytes:
    """Send byte after byte; return what is received until the connection is closed."""
    received = b""
    deadline = time.monotonic() + 20
    connection.settimeout(0.1)
    while time.monotonic() < deadline:
        try:
            if sent:
                connection.sendall(sent)
            part = connection.recv(4096)
        except TimeoutError:
            continue
        except OSError:
            return received
        if not part:
            return received
        received += part
    raise AssertionError("the connection is still open")


def test_a_header_that_comes_byte_by_byte_is_not_awaited(port):
    with connect(port) as slow:
        slow.sendall(b"GET /")
        assert ends(slow, b"a") == b""


def test_a_silent_connection_is_closed(port):
    with connect(port) as silent:
        assert ends(silent) == b""


def test_a_body_that_comes_byte_by_byte_is_refused(port):
    with connect(port) as slow:
        fields = "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
        slow.sendall(f"POST {HEAD % 'body'}{fields}".encode())
        assert b"408" in ends(slow, b" ").split(b"\r\n")[0]


def test_a_response_that_nobody_reads_is_given_up(port):
    with connect(port) as deaf:
        deaf.sendall(f"GET {HEAD % 'large'}\r\n".encode())
        time.sleep(3)
        received = 0
        try:
            while part := deaf.recv(2**20):
                received += len(part)
        except ConnectionError:
            pass
        assert received < LARGE


def test_many_idle_connections_leave_room_for_others(port):
    idle = [connect(port) for _ in range(60)]
    started = time.monotonic()
    assert answer(port).startswith(b"HTTP/1.1 200")
    assert time.monotonic() - started < 5
    for connection in idle:
        connection.close()


def test_honest_requests_follow_one_another_on_a_connection(port):
    connect(port).close()  # the server is there
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    for _ in range(5):
        connection.request("GET", f"/{TOKEN}/body", headers={"Host": "localhost"})
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"0")
        time.sleep(0.2)
    connection.close()
