"""What stands before every request: the token, the origin, the host, the size."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY = 2**20  # bytes: forms and boundaries; files are never sent
TOO_LARGE = "This is more than the interface takes: files are not sent to it."
LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")
OWN = ("same-origin", "none")  # Sec-Fetch-Site of this page, and of an address that was typed in
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",  # or links would tell the token
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class SecurityMiddleware:
    """Let only requests through that come from this interface's own page.

    The token is the first part of every path. Being no cookie, it is sent to no other program that serves
    the same host, and no foreign page can make a browser add it.

    Parameters
    ----------
    app : ASGI application
        What is guarded; it sees paths without the token.
    token : str
        The secret.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or refuse."""
        if scope["type"] != "http":
            raise ValueError(f"{scope['type']} is not served.")
        headers = Headers(scope=scope)
        given, _, rest = scope["path"].removeprefix("/").partition("/")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            await _refuse(403, "This address lacks its token: use the one that the program printed.")(
                scope, receive, send
            )
            return
        if refusal := _foreign(scope["method"], headers):
            await _refuse(403, refusal)(scope, receive, send)
            return
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > LARGEST_BODY:
            await _refuse(413, TOO_LARGE)(scope, receive, send)
            return
        await self._serve({**scope, "path": f"/{rest}", "raw_path": f"/{rest}".encode()}, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > LARGEST_BODY:
                raise HTTPException(413, TOO_LARGE, {"Connection": "close"})
            return message

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, counted, secured)


def _foreign(method: str, headers: Headers) -> str:
    """Say why a request is not of this interface's own page; empty if it is."""
    host = headers.get("host", "")
    if host.rpartition(":")[0] not in LOCAL_NAMES and host not in LOCAL_NAMES:
        return f"{host} is no name of this interface."  # another name that was made to lead here
    origin = headers.get("origin")
    if origin is not None and origin != f"http://{host}":
        return "Requests of other pages are refused."
    site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode")
    followed = method == "GET" and mode == "navigate" and headers.get("sec-fetch-dest") == "document"
    if site not in OWN and not followed:
        return "Requests of other pages are refused."
    if method not in ("GET", "HEAD") and headers.get("content-type") != "application/json":
        return "Requests are in JSON."
    return ""


def _refuse(status: int, sentence: str) -> PlainTextResponse:
    return PlainTextResponse(sentence, status, {**SECURITY_HEADERS, "Connection": "close"})
