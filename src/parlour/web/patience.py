"""A server's patience with who says nothing, says it endlessly slowly, or does not read."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


def hurried(seconds: float) -> type[H11Protocol]:
    """Uvicorn's HTTP, where a request's head must have come within so many seconds.

    Between requests, and before the first one, a connection may not stand open for longer either.
    """

    class Hurried(H11Protocol):
        _hurry: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._wait_for_a_head()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._wait_for_a_head()

        def connection_lost(self, exc: Exception | None) -> None:
            if self._hurry is not None:
                self._hurry.cancel()
            super().connection_lost(exc)

        def _wait_for_a_head(self) -> None:
            if self._hurry is not None:
                self._hurry.cancel()
            self._hurry = self.loop.call_later(seconds, self._show_out)

        def _show_out(self) -> None:
            # Who has become a WebSocket is not one of these any more.
            cycle: Any = self.cycle
            waits = cycle is None or cycle.response_complete
            if waits and self in self.connections:
                self.transport.close()

    return Hurried


def resolute(seconds: float) -> type[WebSocketsSansIOProtocol]:
    """Uvicorn's WebSocket, which is cut off if it has not been closed after so many seconds.

    A close waits until everything has been sent before it, which a client that does not read would
    make last for ever.
    """

    class Resolute(WebSocketsSansIOProtocol):
        _cut: asyncio.TimerHandle | None = None

        async def run_asgi(self) -> None:
            await super().run_asgi()
            self._cut_off_soon()

        def keepalive_timeout(self) -> None:
            super().keepalive_timeout()
            self._cut_off_soon()

        def connection_lost(self, exc: Exception | None) -> None:
            if self._cut is not None:
                self._cut.cancel()
            super().connection_lost(exc)

        def _cut_off_soon(self) -> None:
            if self._cut is None and self in self.connections:
                self._cut = self.loop.call_later(seconds, self.transport.abort)

    return Resolute
