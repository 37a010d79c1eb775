"""`parlour sessions`: what is in a store, read and shown; nothing is woken and nothing changed.

Reads logs through the store; knows no engine and no app.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import unquote

import msgspec
from msgspec import Raw

from parlour.errors import BadSettings, Refused, StoreUnavailable
from parlour.events import (
    AnswerRejected,
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
from parlour.stores.address import open_store
from parlour.stores.store import SessionInfo, Store
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
async def opened(address: str) -> AsyncGenerator[Store]:
    """The store at an address, which must be there already."""
    store = open_store(address)
    _check_there(address)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def _check_there(address: str) -> None:
    """Looking must not make a store. Raises `BadSettings` or `StoreUnavailable`."""
    if address.partition(":")[0] == "memory":
        raise BadSettings("a store in memory ends with its process; give the --store of a file")
    path = Path(unquote(address.removeprefix("sqlite:///"))).expanduser()
    if not path.exists():
        raise StoreUnavailable(
            f"there is no store {path}; `parlour run` and `parlour chat` make one, or give its "
            "--store"
        )


async def list_sessions(address: str, *, user: str | None, as_json: bool) -> list[str]:
    """A line for each session, last updated first."""
    async with opened(address) as store:
        infos = [info async for info in _sessions(store, user)]
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


async def show_session(address: str, beginning: str, *, as_json: bool) -> list[str]:
    """A session's transcript, or its records; its id may be given by its first letters."""
    async with opened(address) as store:
        info = await _find(store, beginning)
        records = [record async for record in _records(store, info.id)]
    if as_json:
        return [msgspec.json.encode(_record_line(record)).decode() for record in records]
    head = f"{info.id}, user {one_line(info.user)}, begun {_when(info.created)}"
    return [head, "", *(line for record in records for line in _told(record))]


async def _sessions(store: Store, user: str | None) -> AsyncGenerator[SessionInfo]:
    before: float | None = None
    while infos := await store.sessions(user, before=before, limit=_PAGE):
        for info in infos:
            yield info
        before = infos[-1].updated


async def _find(store: Store, beginning: str) -> SessionInfo:
    info = await store.find(beginning)
    if info is not None:
        return info
    found = [one async for one in _sessions(store, None) if one.id.startswith(beginning)]
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


async def _records(store: Store, session: str) -> AsyncGenerator[Record]:
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
