"""How a session stands, read from the end of its log: idle, at work, or waiting for its user."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from parlour.events import (
    AnyEvent,
    MessageAdded,
    QuestionAnswered,
    QuestionAsked,
    QuestionClosed,
    RoundFinished,
    RoundStarted,
    UnknownEvent,
    decode_chunk,
)
from parlour.stores.store import Reading

_FIRST, _MOST = 16, 2048

Doing = Literal["rests", "works", "asks"]


class Standing(Struct, frozen=True):
    """What a session does, and the number of the newest record its user may want to see.

    `asks`: its user is to answer a question. `told` is 0 where the bot has said nothing for long.
    """

    doing: Doing = "rests"
    told: int = 0


async def read_standing(store: Reading, session: str, head: int) -> Standing:
    """How a session with `head` records stands. Raises `StoreError`."""
    count, first = _FIRST, head + 1
    look = _Look()
    while first > 1 and head - first < _MOST and not look.done:
        until, first = first, max(1, first - count)
        records: list[tuple[int, AnyEvent | UnknownEvent]] = []
        place = first - 1
        while place < until - 1 and (chunks := await store.read(session, place, until - first)):
            for chunk in chunks:
                records += enumerate(decode_chunk(chunk.data), chunk.first)
            place = records[-1][0]
        look.go_back(record for record in reversed(records) if first <= record[0] < until)
        count *= 4
    return look.standing


class _Look:
    """What is known after reading a log backwards."""

    def __init__(self) -> None:
        self._settled: set[int] = set()
        self._asks = False
        self._doing: Doing | None = None
        self._told = 0

    @property
    def done(self) -> bool:
        return self._doing is not None and self._told > 0

    @property
    def standing(self) -> Standing:
        return Standing(self._doing or "rests", self._told)

    def go_back(self, records: Iterable[tuple[int, AnyEvent | UnknownEvent]]) -> None:
        for seq, event in records:
            self._see(seq, event)
            if self.done:
                return

    def _see(self, seq: int, event: AnyEvent | UnknownEvent) -> None:
        match event:
            case MessageAdded(role="bot"):
                self._told = self._told or seq
            case QuestionAsked():
                self._told = self._told or seq
                self._asks = self._asks or seq not in self._settled
            case QuestionAnswered() | QuestionClosed():
                self._settled.add(event.question)
            case RoundFinished():
                if event.status != "done":
                    self._told = self._told or seq
                self._doing = self._doing or "rests"
            case RoundStarted():
                self._doing = self._doing or ("asks" if self._asks else "works")
            case _:
                pass
