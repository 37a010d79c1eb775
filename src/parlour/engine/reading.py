"""Reading a session's log: its records, its messages, and the state they fold to."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from parlour.events import (
    AnyEvent,
    MessageAdded,
    QuestionAnswered,
    QuestionAsked,
    Record,
    UnknownEvent,
    decode_chunk,
)
from parlour.state import Said, State, fold
from parlour.stores.store import Store

_PAGE = 1000


async def read_records(store: Store, session: str, after: int) -> AsyncGenerator[Record]:
    """The durable records after `after`, in order, until the newest."""
    place = after
    while True:
        chunks = await store.read(session, place, _PAGE)
        before = place
        for chunk in chunks:
            for seq, event in enumerate(decode_chunk(chunk.data), chunk.first):
                if seq > place:
                    yield Record(seq=seq, at=chunk.at, event=event)
                    place = seq
        if place == before:
            return


async def fold_session(store: Store, session: str, state: State) -> State:
    """`state`, brought forward by all records that the log has after it."""
    while True:
        chunks = await store.read(session, state.seq, _PAGE)
        before = state.seq
        for chunk in chunks:
            events = decode_chunk(chunk.data)[state.seq + 1 - chunk.first :]
            state = fold(((event, chunk.at) for event in events), state)
        if state.seq == before:
            return state


async def read_history(store: Store, session: str, before: int | None, limit: int) -> list[Said]:
    """Up to `limit` messages before seq `before` (None: the newest), oldest first."""
    info = await store.find(session)
    high = (info.head if info is not None else 0) + 1
    if before is not None:
        high = min(high, before)
    found: list[Said] = []
    span = max(64, 4 * limit)
    while high > 1 and len(found) < limit:
        low = max(0, high - 1 - span)
        page: list[Said] = []
        for chunk in await store.read(session, low, high - low):
            for seq, event in enumerate(decode_chunk(chunk.data), chunk.first):
                said = _said(seq, event, chunk.at)
                if said is not None and low < seq < high:
                    page.append(said)
        found = page + found
        high, span = low + 1, span * 2
    return found[-limit:]


def _said(seq: int, event: AnyEvent | UnknownEvent, at: float) -> Said | None:
    match event:
        case MessageAdded():
            return Said(seq, event.role, event.text, event.files, at)
        case QuestionAsked():
            return Said(seq, "bot", event.text, (), at)
        case QuestionAnswered():
            return Said(seq, "user", event.text, event.files, at)
        case _:
            return None
