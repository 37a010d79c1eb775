"""What workers tell each other: wake-ups, records and deltas on their way, who owns what.

A message may be lost, late, doubled or overtaken: whoever waits for one also looks into the store
now and then, so the bus saves time and decides nothing. What it carries is signed with the
deployment's key, because whoever may write to it could else speak for a user. Knows no engine.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import Protocol

import msgspec
from msgspec import Raw, Struct

log = logging.getLogger("parlour.engine")

_SIGNATURE = 32
_MOST_WAITING = 8 * 1024 * 1024
_EVERYBODY = "all"


class Bus(Protocol):
    """Carries texts between processes, each to all that listen to its channel at that moment."""

    most: int
    """The longest text it carries, in bytes."""

    @property
    def up(self) -> bool:
        """Whether it carries anything now, as far as it knows."""
        ...

    async def open(self, channels: Sequence[str], receive: Callable[[str], None]) -> None:
        """Begin to listen; `receive` is called on the event loop.

        A bus that cannot be reached now is no error: it is tried again for as long as it is open.
        """
        ...

    async def publish(self, notes: Sequence[tuple[str, str]]) -> None:
        """Send texts, each to a channel. What cannot be sent is dropped; raises nothing."""
        ...

    async def close(self) -> None:
        """Hear nothing more. May be called twice."""
        ...


class Posted(Struct, frozen=True, tag="p", array_like=True):
    """A command waits in the inbox of a session that is yours; `sender` wants to know more."""

    session: str
    sender: str


class Settled(Struct, frozen=True, tag="d", array_like=True):
    """What became of a command that you posted (see `posting`)."""

    session: str
    command: str
    verdict: Raw


class Watching(Struct, frozen=True, tag="w", array_like=True):
    """`sender` has listeners of these sessions that are yours."""

    sender: str
    sessions: list[str]


class Told(Struct, frozen=True, tag="t", array_like=True):
    """Records of a session that have become durable."""

    session: str
    first: int
    count: int
    at: float
    data: Raw


class Reached(Struct, frozen=True, tag="r", array_like=True):
    """A session's log goes as far as `seq`."""

    session: str
    seq: int


class Shown(Struct, frozen=True, tag="s", array_like=True):
    """Deltas that were shown when the log went as far as `seq`."""

    session: str
    seq: int
    deltas: list[tuple[str, Raw]]


class Claimed(Struct, frozen=True, tag="c", array_like=True):
    """These sessions are `sender`'s now."""

    sender: str
    sessions: list[str]


class Left(Struct, frozen=True, tag="l", array_like=True):
    """`sender` serves nobody any more: its sessions are free."""

    sender: str


class Erased(Struct, frozen=True, tag="e", array_like=True):
    """Nothing is left of a session."""

    session: str


Message = Posted | Settled | Watching | Told | Reached | Shown | Claimed | Left | Erased

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[list[Message]] = msgspec.json.Decoder(list[Message])


class Courier:
    """Gathers what one turn of the loop has for each worker, and gives it to the bus.

    While the bus carries one load the next one gathers; past a bound, what is new is dropped.
    """

    def __init__(self, bus: Bus, me: str, key: bytes, take: Callable[[Message], None]) -> None:
        self._bus = bus
        self._me = me
        self._key = hmac.digest(key, b"parlour bus", "sha256")
        house = hmac.digest(key, b"parlour house", "sha256").hex()[:16]
        self._prefix = f"parlour_{house}_"
        self._take = take
        self._waiting: dict[str, list[bytes]] = {}
        self._size = 0
        self._sending: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        return self._bus.up

    @property
    def room(self) -> int:
        """How long one message may be, in bytes."""
        return self._bus.most - _SIGNATURE - 2

    async def open(self) -> None:
        channels = [self._prefix + self._me[:24], self._prefix + _EVERYBODY]
        await self._bus.open(channels, self._receive)

    async def close(self) -> None:
        """Send what waits, then hear nothing more."""
        sending = self._sending
        if sending is not None:
            await asyncio.wait([sending], timeout=1.0)
            sending.cancel()
        await self._bus.close()

    def send(self, worker: str, message: Message) -> None:
        """Tell one worker, if that may be; never waits."""
        self._put(worker[:24], message)

    def send_all(self, message: Message) -> None:
        """Tell everybody, this worker too."""
        self._put(_EVERYBODY, message)

    def _put(self, channel: str, message: Message) -> None:
        data = _encoder.encode(message)
        if len(data) > self.room or self._size + len(data) > _MOST_WAITING:
            return
        self._size += len(data)
        self._waiting.setdefault(channel, []).append(data)
        if self._sending is None:
            # In no handler's context, whatever sets it off.
            loop = asyncio.get_running_loop()
            self._sending = asyncio.Task(self._send(), loop=loop, context=Context())

    async def _send(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(0)
                waiting, self._waiting = self._waiting, {}
                self._size = 0
                notes = [
                    (self._prefix + channel, text)
                    for channel, messages in waiting.items()
                    for text in self._pack(messages)
                ]
                try:
                    await self._bus.publish(notes)
                except Exception:
                    log.exception("the bus failed; what it was to carry is found in the store")
        finally:
            self._sending = None

    def _pack(self, messages: Sequence[bytes]) -> list[str]:
        """As few texts as the bus's bound allows."""
        texts: list[str] = []
        start, size = 0, 0
        for place, message in enumerate(messages):
            if size and size + len(message) + 1 > self.room:
                texts.append(self._sign(messages[start:place]))
                start, size = place, 0
            size += len(message) + 1
        texts.append(self._sign(messages[start:]))
        return texts

    def _sign(self, messages: Sequence[bytes]) -> str:
        data = b"[" + b",".join(messages) + b"]"
        return self._signature(data) + data.decode()

    def _signature(self, data: bytes) -> str:
        return hmac.digest(self._key, data, "sha256").hex()[:_SIGNATURE]

    def _receive(self, text: str) -> None:
        """Take what is ours; all else is none of our business."""
        try:
            signature, data = text[:_SIGNATURE], text[_SIGNATURE:].encode()
            if not hmac.compare_digest(signature.encode(), self._signature(data).encode()):
                return
            messages = _decoder.decode(data)
        except (UnicodeEncodeError, msgspec.DecodeError, RecursionError):
            return  # of a later version, perhaps
        for message in messages:
            try:
                self._take(message)
            except Exception:
                log.exception("a message of another worker could not be taken")


class NoBus:
    """Carries nothing: workers find everything in the store, a little later."""

    most = 8000
    up = False

    async def open(self, channels: Sequence[str], receive: Callable[[str], None]) -> None:
        """Nothing is heard."""

    async def publish(self, notes: Sequence[tuple[str, str]]) -> None:
        """Nothing is sent."""

    async def close(self) -> None:
        """Nothing is open."""
