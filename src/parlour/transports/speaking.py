"""Saying something for a client that knows requests and replies, and finding what answers it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

from msgspec import Struct

from parlour.engine import Engine
from parlour.errors import Refused
from parlour.events import (
    Answer,
    AnyEvent,
    Delta,
    FileRef,
    QuestionAsked,
    Say,
    UnknownEvent,
)
from parlour.state import State
from parlour.stores.files import one_chunk
from parlour.transports.codecs.reply import Asked, Reply
from parlour.transports.replies import Collector

_OPENING_SECONDS = 10.0
"""How long the first message waits for what a new session has to say first."""


class Begun(Struct, frozen=True):
    """A reply that is on its way, from record `seq` of `session`."""

    session: str
    seq: int
    reply: Reply


class Given(Struct, frozen=True):
    """A file that came with a message."""

    name: str
    type: str
    data: bytes


class _Opening:
    """Looks at the round with which a session begins."""

    def __init__(self) -> None:
        self._reply = Reply(1, opening=True)
        self.asks = False

    @property
    def over(self) -> bool:
        return self._reply.over

    def begin(self) -> str:
        return ""

    def record(self, seq: int, at: float, event: AnyEvent | UnknownEvent) -> str:
        del at
        pieces = self._reply.record(seq, event)
        self.asks = self.asks or any(isinstance(piece, Asked) for piece in pieces)
        return ""

    def settle(self) -> str:
        return ""

    def delta(self, delta: Delta) -> str:
        del delta
        return ""

    def broken(self, refusal: Refused) -> str:
        del refusal
        return ""


async def opens(engine: Engine, session: str) -> bool:
    """Whether a round of its own begins the session."""
    profile = (await engine.state_of(session)).profile
    return "open" in engine.beginnings.rules_for(profile).causes


async def asks_first(engine: Engine, session: str) -> Begun | None:
    """What a new session asks before it listens; None if it listens.

    Whoever woke it has not seen the question, so that what he said cannot be the answer.
    """
    if not await opens(engine, session):
        return None
    opening = _Opening()
    try:
        async with asyncio.timeout(_OPENING_SECONDS):
            await Collector(opening).wait(engine, session, 0)
    except TimeoutError:
        return None  # it works on something; the message waits for its turn
    return Begun(session, 1, Reply(1, opening=True)) if opening.asks else None


async def say(engine: Engine, session: str, user: str, command: Say | Answer) -> Begun:
    """Say something, which answers the oldest open question if there is one. Raises `Refused`."""
    await engine.authorise(session, user)
    asked = open_questions(await engine.state_of(session))
    accepted = await engine.send(session, user, command)
    if accepted.repeated:
        asked = await _asked_before(engine, session, accepted.seq)
    return Begun(session, accepted.seq, Reply(accepted.seq, asked=asked))


async def reply_at(engine: Engine, session: str, seq: int) -> Reply:
    """The reply to what record `seq` said, to be followed again from there. Raises `Refused`."""
    if seq == 1:
        return Reply(1, opening=True)
    return Reply(seq, asked=await _asked_before(engine, session, seq))


async def _asked_before(engine: Engine, session: str, seq: int) -> dict[int, QuestionAsked]:
    return open_questions(await engine.state_of(session, at=seq - 1))


def open_questions(state: State) -> dict[int, QuestionAsked]:
    """The questions that wait in the running round, by their numbers."""
    running = state.round
    if running is None:
        return {}
    return {
        seq: cast("QuestionAsked", running.journal[path].event)
        for seq, path in running.questions.items()
    }


async def keep_files(engine: Engine, session: str, given: Sequence[Given]) -> list[FileRef]:
    """Store what came with a message. Raises `Refused` and `StoreError`."""
    if not given:
        return []
    limits = engine.settings.limits
    if len(given) > limits.files_per_message:
        raise Refused("too_large", f"A message may have {limits.files_per_message} files.")
    if await asyncio.to_thread(engine.files.count, session) >= 2 * limits.files_per_session:
        raise Refused("too_many", "This session has too many files.")
    return [
        await engine.files.add(
            session,
            one_chunk(file.data),
            name=file.name,
            type_=file.type,
            limit=limits.upload_bytes,
        )
        for file in given
    ]
