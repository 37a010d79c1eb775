"""Reading a session's log: its records, its messages, and the state they fold to."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from itertools import chain

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
from parlour.stores.store import PAGE_BYTES, Chunk, Reading

_RECORDS = 256
_SAID = (b"MessageAdded", b"QuestionAsked", b"QuestionAnswered")


async def read_chunks(store: Reading, session: str, after: int) -> AsyncGenerator[Chunk]:
    """The chunks that hold records after `after`, in order, until the newest."""
    place = after
    while chunks := await store.read(session, place, _RECORDS):
        for chunk in chunks:
            yield chunk
        last = chunks[-1].first + chunks[-1].count - 1
        if last < place + _RECORDS and weight_of(chunks) < PAGE_BYTES:
            return
        place = last


def weight_of(chunks: Sequence[Chunk]) -> int:
    """How many bytes of records these are."""
    return sum(len(chunk.data) for chunk in chunks)


async def read_records(store: Reading, session: str, after: int) -> AsyncGenerator[Record]:
    """The durable records after `after`, in order, until the newest."""
    async for chunk in read_chunks(store, session, after):
        for seq, event in enumerate(decode_chunk(chunk.data), chunk.first):
            if seq > after:
                yield Record(seq=seq, at=chunk.at, event=event)


async def fold_session(
    store: Reading, session: str, state: State, upto: int | None = None
) -> State:
    """`state`, brought forward by all records that the log has after it, or those up to a seq."""
    async for chunk in read_chunks(store, session, state.seq):
        end = None if upto is None else max(0, upto + 1 - chunk.first)
        events = decode_chunk(chunk.data)[state.seq + 1 - chunk.first : end]
        state = fold(((event, chunk.at) for event in events), state)
        if state.seq == upto:
            break
    return state


async def read_history(store: Reading, session: str, before: int | None, limit: int) -> list[Said]:
    """Up to `limit` messages before seq `before` (None: the newest), oldest first.

    The log is read backwards, a page at a time, until there are enough of them.
    """
    info = await store.find(session)
    high = (info.head if info is not None else 0) + 1
    if before is not None:
        high = min(high, before)
    pages: list[list[Said]] = []
    missing = limit
    while high > 1 and missing > 0:
        low = max(0, high - 1 - _RECORDS)
        page = await _said_between(store, session, low, high)
        pages.append(page)
        missing -= len(page)
        high = low + 1
    found = list(chain.from_iterable(reversed(pages)))
    return found[-limit:] if missing < 0 else found


async def _said_between(store: Reading, session: str, low: int, high: int) -> list[Said]:
    """The messages after seq `low` and before seq `high`."""
    found: list[Said] = []
    while low < high - 1 and (chunks := await store.read(session, low, high - 1 - low)):
        found += [said for chunk in chunks for said in _said_in(chunk) if low < said.seq < high]
        low = chunks[-1].first + chunks[-1].count - 1
    return found


def _said_in(chunk: Chunk) -> list[Said]:
    """The messages of a chunk; one that has none, as of a working round, is not even decoded."""
    if not any(kind in chunk.data for kind in _SAID):
        return []
    events = enumerate(decode_chunk(chunk.data), chunk.first)
    found = (_said(seq, event, chunk.at) for seq, event in events)
    return [said for said in found if said is not None]


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
