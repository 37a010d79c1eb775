"""`parlour sessions`: what is in a store, read and shown; nothing is woken and nothing changed.

Reads logs through the store; knows no engine and no app.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import cast

import msgspec
from msgspec import Raw

from parlour.engine.fork import state_at
from parlour.errors import Refused
from parlour.events import (
    AnswerRejected,
    ComponentShown,
    FeedbackGiven,
    FileRef,
    MessageAdded,
    QuestionAnswered,
    QuestionAsked,
    QuestionClosed,
    Record,
    RoundFinished,
    SessionClosed,
    decode_chunk,
    encode_event,
)
from parlour.state import RoundState, State, Window
from parlour.stores.address import open_reader
from parlour.stores.store import Reading, SessionInfo
from parlour.stores.sweep import sessions_of
from parlour.transports.terminal.visible import one_line, visible

_PAGE = 500


class SessionLine(msgspec.Struct, kw_only=True):
    """A session as `--json` tells it. Times are in Unix seconds."""

    id: str
    user: str
    created: float
    updated: float
    records: int
    closed: bool
    title: str


class RecordLine(msgspec.Struct, kw_only=True):
    """A record as `--json` tells it."""

    seq: int
    at: float
    event: Raw


@asynccontextmanager
async def opened(address: str) -> AsyncGenerator[Reading]:
    """The store at an address, which must be there already; somebody may be serving it."""
    store = open_reader(address)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def list_sessions(address: str, *, user: str | None, as_json: bool) -> list[str]:
    """A line for each session, last updated first."""
    async with opened(address) as store:
        infos = [info async for info in sessions_of(store, user)]
    if as_json:
        return [msgspec.json.encode(_line_of(info)).decode() for info in infos]
    if not infos:
        return ["No conversations yet."]
    users = max(4, *(len(one_line(info.user, 32)) for info in infos))
    rows = [f"{'SESSION':32}  {'USER':{users}}  {'UPDATED':16}  RECORDS  TITLE"]
    for info in infos:
        title = one_line(info.title, 60) + (" (closed)" if info.closed else "")
        rows.append(
            f"{info.id}  {one_line(info.user, 32):{users}}  {_when(info.updated)}  "
            f"{info.head:7}  {title.strip()}".rstrip()
        )
    return rows


async def show_session(
    address: str, beginning: str, *, as_json: bool, at: int | None = None
) -> AsyncGenerator[str]:
    """A session's transcript, or its records; its id may be given by its first letters.

    With `at` as it was after that record; then its state follows the transcript.
    """
    async with opened(address) as store:
        info = await find_session(store, beginning)
        state = None if at is None else await state_at(store, info.id, at, Window())
        if not as_json:
            yield f"{info.id}, user {one_line(info.user)}, begun {_when(info.created)}"
            yield ""
        async for record in _records(store, info.id):
            if at is not None and record.seq > at:
                break
            if as_json:
                yield msgspec.json.encode(_record_line(record)).decode()
            else:
                for line in _told(record):
                    yield line
    if state is not None and not as_json:
        yield ""
        for line in _state_lines(state):
            yield line


def _state_lines(state: State) -> Iterator[str]:
    """What a session is, besides what was said in it."""
    running = state.round
    doing = "" if running is None else f", round {running.number} ({running.cause}) runs"
    yield f"After record {state.seq}: {state.phase}{doing}, {len(state.queue)} waiting"
    for path in () if running is None else running.questions.values():
        asked = cast("QuestionAsked", cast("RoundState", running).journal[path].event)
        yield f"  asks  {one_line(asked.text)}"
    for name, stored in sorted(state.variables.items()):
        value = bytes(stored.value).decode("utf-8", "replace")
        kind = f" ({stored.kind})" if stored.kind else ""
        yield f"  {one_line(name)} = {one_line(value)}{kind}"
    for file in state.files:
        yield f"  [{one_line(file.name)}, {file.size:,} bytes]"


async def find_session(store: Reading, beginning: str, user: str | None = None) -> SessionInfo:
    """The session whose id begins so. Raises `Refused` if there is none, or are many."""
    info = await store.find(beginning)
    if info is not None and user in {None, info.user}:
        return info
    found = [one async for one in sessions_of(store, user) if one.id.startswith(beginning)]
    match found:
        case [only]:
            return only
        case []:
            raise Refused(
                "unknown_session",
                f"there is no session {beginning}; `parlour sessions ls` lists those that are",
            )
        case _:
            raise Refused(
                "unknown_session", f"{len(found)} sessions begin with {beginning}; give more of it"
            )


async def _records(store: Reading, session: str) -> AsyncGenerator[Record]:
    place = 0
    while chunks := await store.read(session, place, _PAGE):
        for chunk in chunks:
            for seq, event in enumerate(decode_chunk(chunk.data), chunk.first):
                if seq > place:
                    yield Record(seq=seq, at=chunk.at, event=event)
                    place = seq


def _told(record: Record) -> Iterator[str]:
    """How a record reads in a transcript; most of them do not."""
    match record.event:
        case MessageAdded(role="user") as said:
            yield from _said(record, "user", said.text, said.files)
        case MessageAdded() as said:
            yield from _said(record, "bot", said.text, said.files)
        case ComponentShown() | FeedbackGiven() as offered:
            yield from _offered(record, offered)
        case QuestionAsked() as asked:
            note = f" ({asked.note})" if asked.note else ""
            yield from _said(record, "asks", f"{asked.text}{note}")
        case QuestionAnswered() as answered:
            yield from _said(record, "user", answered.text, answered.files)
        case AnswerRejected() as rejected:
            yield from _said(record, "user", rejected.text)
            yield from _said(record, "-", f"no answer: {rejected.reason}")
        case QuestionClosed() as closed:
            yield from _said(record, "-", f"question {closed.question} closed: {closed.reason}")
        case RoundFinished(status="failed" | "stopped" | "diverged") as finished:
            why = " ".join(part for part in (finished.reason, finished.error) if part)
            yield from _said(record, "-", f"round {finished.round} {finished.status}: {why}")
        case SessionClosed() as over:
            yield from _said(record, "-", f"the session is {over.reason}")
        case _:
            return


def _offered(record: Record, offered: ComponentShown | FeedbackGiven) -> Iterator[str]:
    if isinstance(offered, ComponentShown):
        yield from _said(record, "bot", offered.text or offered.name)
    else:
        about = f"({offered.rating or 'no'} rating of {offered.message})"
        yield from _said(record, "user", f"{about} {offered.reason}".strip())


def _said(record: Record, who: str, text: str, files: tuple[FileRef, ...] = ()) -> Iterator[str]:
    lines = [line for line in visible(text).split("\n") if line] if text else []
    lines += [f"[{one_line(file.name)}, {file.size:,} bytes]" for file in files]
    head = f"{_when(record.at)}  {who:>4}  "
    for number, line in enumerate(lines):
        yield f"{head if number == 0 else ' ' * len(head)}{line}"


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def _line_of(info: SessionInfo) -> SessionLine:
    return SessionLine(
        id=info.id,
        user=info.user,
        created=info.created,
        updated=info.updated,
        records=info.head,
        closed=info.closed,
        title=info.title,
    )


def _record_line(record: Record) -> RecordLine:
    return RecordLine(seq=record.seq, at=record.at, event=Raw(encode_event(record.event)))
