"""Checks before every request: token, host name, origin and size."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 2**20  # for forms and boundaries; files are never uploaded
TOO_LARGE = f"The request is larger than {MAX_BODY_BYTES} bytes; files are not uploaded to the interface."
BODY_SECONDS = 20.0  # to receive it
TOO_SLOW = f"The request was not complete after {BODY_SECONDS:g} s."
LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")
SAME_ORIGIN = ("same-origin", "none")  # Sec-Fetch-Site of this page, and of an address typed by the user
OTHER_PAGE = "Requests of other web pages are refused."
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",  # otherwise links would disclose the token
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class SecurityMiddleware:
    """Pass on only the requests of this interface's own page.

    The token is the first part of every path. Unlike a cookie, the browser does not send it to other programs
    on the same host, and another web page cannot make the browser add it.

    Parameters
    ----------
    app : ASGI application
        Protected application; it receives paths without the token.
    token : str
        Secret first part of every path.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on or refuse it."""
        if scope["type"] != "http":
            raise ValueError(f"Connections of type {scope['type']} are not supported.")
        headers = Headers(scope=scope)
        given, _, rest = scope["path"].removeprefix("/").partition("/")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            await _refuse(403, "The address lacks its token; use the address that the program printed.")(
                scope, receive, send
            )
            return
        if refusal := _refusal_reason(scope["method"], headers):
            await _refuse(403, refusal)(scope, receive, send)
            return
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            await _refuse(413, TOO_LARGE)(scope, receive, send)
            return
        await self._serve({**scope, "path": f"/{rest}", "raw_path": f"/{rest}".encode()}, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        received, is_complete = 0, False
        deadline = anyio.current_time() + BODY_SECONDS

        async def limited() -> Message:
            nonlocal received, is_complete
            if is_complete:  # what follows is the end of the connection, whenever it comes
                return await receive()
            with anyio.move_on_after(deadline - anyio.current_time()) as awaiting:
                message = await receive()
            if awaiting.cancelled_caught:
                raise HTTPException(408, TOO_SLOW, {"Connection": "close"})
            if message["type"] == "http.disconnect":
                raise HTTPException(400, "The connection was closed.")
            is_complete = not message.get("more_body", False)
            received += len(message.get("body", b""))
            if received > MAX_BODY_BYTES:
                raise HTTPException(413, TOO_LARGE, {"Connection": "close"})
            return message

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, limited, secured)


def _refusal_reason(method: str, headers: Headers) -> str:
    """Return why a request is refused; empty for requests of this interface's own page."""
    host = headers.get("host", "")
    if host.rpartition(":")[0] not in LOCAL_NAMES and host not in LOCAL_NAMES:
        return f"The host name {host} is not accepted."  # DNS rebinding: another name for this address
    origin = headers.get("origin")
    if origin is not None and origin != f"http://{host}":
        return OTHER_PAGE
    site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode")
    followed_link = method == "GET" and mode == "navigate" and headers.get("sec-fetch-dest") == "document"
    if site not in SAME_ORIGIN and not followed_link:
        return OTHER_PAGE
    if method not in ("GET", "HEAD") and headers.get("content-type") != "application/json":
        return "The content type of requests is application/json."
    return ""


def _refuse(status: int, message: str) -> PlainTextResponse:
    return PlainTextResponse(message, status, {**SECURITY_HEADERS, "Connection": "close"})
