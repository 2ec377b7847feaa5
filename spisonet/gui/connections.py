"""Limits on connections: their number, and the time that a request and a response may take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

MAX_CONNECTIONS = 128
REQUEST_SECONDS = 10.0  # from the connection, or the last response, to the end of the next header
STALLED_SECONDS = 60.0  # without progress of a response that nobody reads
CHECK_SECONDS = 1.0
MAX_HEADER_BYTES = 2**15


class LimitedProtocol(H11Protocol):
    """HTTP/1.1 connection that is closed if it sends or reads too slowly.

    If there are too many connections, the one that has waited longest for a request is closed, so that those
    that keep connections open without requests do not keep others out.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._check: asyncio.TimerHandle | None = None
        self._waiting_since = self.loop.time()
        self._unsent, self._unsent_since = 0, self.loop.time()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection; of too many, close one."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            others = [other for other in self.connections if isinstance(other, LimitedProtocol)]
            idle = [other for other in others if not other.is_busy and other is not self]
            min(idle, key=lambda other: other._waiting_since, default=self).transport.abort()
        self._schedule()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the checks."""
        if self._check is not None:
            self._check.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Await the next request from now on."""
        self._waiting_since = self.loop.time()
        super().on_response_complete()

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def _schedule(self) -> None:
        self._check = self.loop.call_later(CHECK_SECONDS, self._close_if_slow)

    def _close_if_slow(self) -> None:
        now, unsent = self.loop.time(), self.transport.get_write_buffer_size()
        if self.is_busy:
            self._waiting_since = now
        if not unsent or unsent != self._unsent:
            self._unsent, self._unsent_since = unsent, now
        if now - self._waiting_since > REQUEST_SECONDS or now - self._unsent_since > STALLED_SECONDS:
            self.transport.abort()
        else:
            self._schedule()
