"""Those who mean harm: each opens many sockets and breaks the rules of one layer on all of them.

A process of its own, so that its work is not in the way of those who measure:
`python -m faults.attackers PORT ATTACK SECONDS SOCKETS [WORD …]` prints what came of it as JSON.
"""

import asyncio
import contextlib
import json
import random
import resource
import sys
import time
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

MIB = 1024 * 1024
ARRIVALS = 500.0
"""Sockets that come in a second."""
HELLO = b'{"t":"hello","versions":[1]}'
KINDS = ("hello", "open", "attach", "detach", "say", "answer", "stop", "signal", "close", "ping")
GONE = (OSError, EOFError, TimeoutError, asyncio.IncompleteReadError)


@dataclass
class Raid:
    """Where to, for how long, with what in hand; `ends` counts how sockets ended."""

    port: int
    until: float
    words: list[str]
    dice: random.Random = field(default_factory=lambda: random.Random(3))
    ends: Counter[str] = field(default_factory=Counter)

    @property
    def over(self) -> bool:
        return time.monotonic() > self.until


class Socket:
    """A WebSocket that lets one send whatever one likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, raid: Raid, extensions: str = "") -> "Socket":
        reader, writer = await asyncio.open_connection("127.0.0.1", raid.port)
        offer = f"Sec-WebSocket-Extensions: {extensions}\r\n" if extensions else ""
        writer.write(
            f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{raid.port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Sec-WebSocket-Version: 13\r\n{offer}\r\n".encode()
        )
        status = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        if b" 101 " not in status:
            raise OSError(status[:40])
        return cls(reader, writer)

    async def send(
        self, payload: bytes, *, opcode: int = 1, more: bool = False, compressed: bool = False
    ) -> None:
        """One frame, masked with zeros, that is, as it is."""
        first = opcode | (0 if more else 0x80) | (0x40 if compressed else 0)
        self.writer.write(bytes([first]) + self._length(len(payload)) + bytes(4) + payload)
        await self.writer.drain()

    @staticmethod
    def _length(size: int) -> bytes:
        if size < 126:
            return bytes([0x80 | size])
        if size < 65536:
            return bytes([0xFE]) + size.to_bytes(2, "big")
        return bytes([0xFF]) + size.to_bytes(8, "big")

    async def announce(self, size: int) -> None:
        """The head of a frame, of which the rest may come or not."""
        self.writer.write(b"\x81" + self._length(size) + bytes(4))
        await self.writer.drain()

    async def end(self, seconds: float = 5.0) -> str:
        """Read until the server ends the socket; how it did."""
        tail = b""
        try:
            async with asyncio.timeout(seconds):
                while chunk := await self.reader.read(65536):
                    tail = (tail + chunk)[-200:]
        except TimeoutError:
            return "open"
        except ConnectionError:
            return "cut"
        place = tail.rfind(b"\x88")
        return str(int.from_bytes(tail[place + 2 : place + 4], "big")) if place >= 0 else "cut"

    def close(self) -> None:
        self.writer.transport.abort()


Attack = Callable[[Raid], Awaitable[str]]


async def fuzz(raid: Raid) -> str:
    """Frames that are nearly right."""
    socket = await Socket.connect(raid)
    try:
        await socket.send(HELLO)
        for _ in range(40):
            await socket.send(_mutated(raid.dice))
        return await socket.end(0.3)
    finally:
        socket.close()


def _mutated(dice: random.Random) -> bytes:
    frame = {"t": dice.choice(KINDS), "id": f"x{dice.random()}", "session": "5" * 32}
    frame |= {dice.choice(["text", "after", "value", "files", "round"]): dice.choice([1, [], "x"])}
    data = bytearray(json.dumps(frame).encode())
    for _ in range(dice.randrange(4)):
        place = dice.randrange(len(data))
        data[place : place + dice.randrange(3)] = bytes([dice.randrange(32, 127)])
    return bytes(data)


async def bomb(raid: Raid) -> str:
    """64 MiB of zeros in 64 KiB, as a compressed frame."""
    socket = await Socket.connect(raid, "permessage-deflate")
    try:
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        await socket.send(deflate.compress(bytes(64 * MIB)) + deflate.flush(), compressed=True)
        return await socket.end()
    finally:
        socket.close()


async def giant(raid: Raid) -> str:
    """A frame of 64 MiB, which is sent for as long as anybody takes it."""
    socket = await Socket.connect(raid)
    try:
        await socket.send(HELLO)
        await socket.announce(64 * MIB)
        with contextlib.suppress(*GONE):
            for _ in range(64):
                socket.writer.write(bytes(MIB))
                await asyncio.wait_for(socket.writer.drain(), 5)
                if socket.reader.at_eof():
                    break
        return await socket.end()
    finally:
        socket.close()


async def pieces(raid: Raid) -> str:
    """A message in pieces that never ends."""
    socket = await Socket.connect(raid)
    try:
        with contextlib.suppress(*GONE):
            await socket.send(b"x" * 65536, more=True)
            for _ in range(1000):
                await asyncio.wait_for(socket.send(b"x" * 65536, opcode=0, more=True), 5)
        return await socket.end()
    finally:
        socket.close()


async def no_text(raid: Raid) -> str:
    """Bytes that are no Unicode."""
    socket = await Socket.connect(raid)
    try:
        await socket.send(HELLO)
        await socket.send(b'{"t":"ping","x":"\xff\xfe\xc0"}')
        return await socket.end()
    finally:
        socket.close()


async def no_http(raid: Raid) -> str:
    """Bytes that are no request."""
    socket = Socket(*await asyncio.open_connection("127.0.0.1", raid.port))
    try:
        socket.writer.write(raid.dice.randbytes(200) + b"\r\n\r\n")
        return await socket.end()
    finally:
        socket.close()


async def deep(raid: Raid) -> str:
    """JSON a hundred thousand levels deep."""
    socket = await Socket.connect(raid)
    try:
        await socket.send(HELLO)
        for bracket in (b"[", b'{"a":'):
            await socket.send(b'{"t":"ping","x":' + 100_000 * bracket)
        return await socket.end(0.5)
    finally:
        socket.close()


async def others(raid: Raid) -> str:
    """Commands for the sessions of others, whose ids are known; nothing of them may come back."""
    socket = await Socket.connect(raid)
    try:
        await socket.send(HELLO)
        for word in raid.words:
            for kind in ("attach", "say", "stop", "close", "answer"):
                frame = {"t": kind, "session": word, "id": f"e{raid.dice.random()}", "after": 0}
                more = {"question": 1} if kind == "answer" else {}
                await socket.send(json.dumps(frame | {"text": "echo"} | more).encode())
        await socket.send(b'{"t":"ping"}')
        seen = b""
        async with asyncio.timeout(10):
            while b'"pong"' not in seen:
                chunk = await socket.reader.read(65536)
                if not chunk:
                    return "cut"
                seen += chunk
        leaked = b'"records"' in seen or b'"ack"' in seen or b'"live"' in seen
        return "LEAKED" if leaked else "refused"
    finally:
        socket.close()


async def tokens(raid: Raid) -> str:
    """Old tokens, changed a little: whoever shows one is nobody that is known."""
    token, user = raid.words[0], raid.words[1]
    place = raid.dice.randrange(len(token))
    changed = token[:place] + raid.dice.choice("abcXYZ019") + token[place + 1 :]
    socket = await Socket.connect(raid)
    try:
        hello = {"t": "hello", "versions": [1], "resume": changed}
        await socket.send(json.dumps(hello).encode())
        seen = b""
        async with asyncio.timeout(10):
            while b'"limits"' not in seen:
                seen += await socket.reader.read(65536)
        taken = f'"user":"{user}"'.encode() in seen
        return "LEAKED" if taken and changed != token else "new"
    finally:
        socket.close()


async def idle(raid: Raid) -> str:
    """Says hello and nothing more."""
    socket = await Socket.connect(raid)
    try:
        await socket.send(HELLO)
        await asyncio.wait_for(socket.reader.read(1000), 30)
        await asyncio.sleep(max(0.0, raid.until - time.monotonic()))
        return "open" if not socket.reader.at_eof() else "cut"
    finally:
        socket.close()


async def loris(raid: Raid) -> str:
    """Half a request, or half a frame, a byte at a time."""
    request = f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{raid.port}\r\nX-Slow: ".encode() + b"x" * 200
    if raid.dice.random() < 0.5:
        reader, writer = await asyncio.open_connection("127.0.0.1", raid.port)
        socket = Socket(reader, writer)
    else:
        socket = await Socket.connect(raid)
        request = b"\x81\xfe\xff\xff" + bytes(4) + b"x" * 200
    try:
        for byte in request:
            if raid.over or socket.reader.at_eof():
                break
            socket.writer.write(bytes([byte]))
            await asyncio.sleep(0.2)
        return "cut" if socket.reader.at_eof() else "open"
    finally:
        socket.close()


ATTACKS: dict[str, Attack] = {
    attack.__name__: attack
    for attack in (fuzz, bomb, giant, pieces, no_text, no_http, deep, others, tokens, idle, loris)
}


async def raid_with(attack: Attack, raid: Raid, sockets: int) -> None:
    async def again() -> None:
        # Not all in the same instant: the door's queue is finite.
        await asyncio.sleep(raid.dice.random() * sockets / ARRIVALS)
        while not raid.over:
            try:
                raid.ends[await attack(raid)] += 1
            except GONE as error:
                raid.ends[type(error).__name__] += 1
                await asyncio.sleep(0.05)

    await asyncio.gather(*(again() for _ in range(sockets)))


def main() -> None:
    port, name, seconds, sockets, *words = sys.argv[1:]
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    raid = Raid(int(port), time.monotonic() + float(seconds), words)
    asyncio.run(raid_with(ATTACKS[name], raid, int(sockets)))
    print(json.dumps(raid.ends))


if __name__ == "__main__":
    main()
