"""A lean WebSocket client for measuring: text messages, no extensions, on one asyncio.Protocol.

The mask is always zero, which RFC 6455 allows a client to choose, so that masking costs nothing
here and the server as much as ever. A measuring tool, not a client to build on.
"""

from __future__ import annotations

import asyncio
import base64
import os
import struct
from typing import cast

_TEXT = 0x1
_CLOSE = 0x8
_PING = 0x9
_PONG = 0xA
_NO_MASK = b"\0\0\0\0"


class Closed(ConnectionError):
    """The server closed the connection, or never opened it."""


def frame(payload: bytes, opcode: int = _TEXT) -> bytes:
    """One whole masked message."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, 0xFE, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0xFF, size)
    return head + _NO_MASK + payload


class WebSocket(asyncio.Protocol):
    """Calls `heard(payload)` for each message; subclasses say what that means."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._parts: list[bytes] = []
        self._upgraded = asyncio.get_running_loop().create_future()
        self.closed = False

    def heard(self, payload: bytes) -> None:
        raise NotImplementedError

    def lost(self) -> None:
        """The connection ended without our asking."""

    async def connect(self, host: str, port: int, path: str) -> None:
        """Open the connection; raises `Closed`."""
        await asyncio.get_running_loop().create_connection(lambda: self, host, port)
        key = base64.b64encode(os.urandom(16)).decode()
        self._write(
            f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        await self._upgraded

    def send(self, payload: bytes) -> None:
        self._write(frame(payload))

    def close(self) -> None:
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    def _write(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            raise Closed("the connection is closed")
        self._transport.write(data)

    # -- asyncio.Protocol ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if not self._upgraded.done():
            self._upgraded.set_exception(Closed("the server closed the connection at once"))
        if not self.closed:
            self.closed = True
            self.lost()

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        place = 0 if self._upgraded.done() else self._upgrade(data)
        size = len(data)
        while size - place >= 2:
            length = data[place + 1]
            start = place + 2
            if length == 126:
                start += 2
                if size < start:
                    break
                length = int.from_bytes(data[place + 2 : start])
            elif length == 127:
                start += 8
                if size < start:
                    break
                length = int.from_bytes(data[place + 2 : start])
            if size < start + length:
                break
            first = data[place]
            place = start + length
            if first == 0x80 | _TEXT:
                self.heard(data[start:place])
            else:
                self._take(first, data[start:place])
        self._rest = data[place:] if place < size else b""

    def _upgrade(self, data: bytes) -> int:
        """Where the frames begin, after the answer to the handshake; 0 if it is not complete."""
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return 0
        if not data.startswith(b"HTTP/1.1 101"):
            line = data.partition(b"\r\n")[0].decode("latin-1")
            self._upgraded.set_exception(Closed(f"the server answered {line}"))
            self.close()
            return len(data)
        self._upgraded.set_result(None)
        return end + 4

    def _take(self, first: int, payload: bytes) -> None:
        """Any frame but a whole text message."""
        opcode = first & 0xF
        if opcode == _PING:
            self._write(frame(payload, _PONG))
        elif opcode == _CLOSE:
            if self._transport is not None:
                self._transport.close()
        elif opcode != _PONG:
            self._parts.append(payload)
            if first & 0x80:
                whole = b"".join(self._parts)
                self._parts.clear()
                self.heard(whole)
