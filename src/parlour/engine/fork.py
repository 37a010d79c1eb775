"""Forks: a new session whose past is a copy of another one's, up to some record.

What was said and set is copied with the files it names; what only lay in the session's folder is
not, for nobody can say how it was then. Works without an engine: a store and its files will do.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from parlour.engine.outcome import Accepted
from parlour.engine.reading import fold_session
from parlour.errors import Refused, StoreError
from parlour.events import (
    Event,
    FileRef,
    RoundFinished,
    RoundStarted,
    SessionForked,
    TitleSet,
    encode_events,
)
from parlour.state import Phase, State, Window, evolve_all
from parlour.stores.files import Files
from parlour.stores.store import Append, Entry, Reading, Store

if TYPE_CHECKING:
    from parlour.engine.engine import Engine

log = logging.getLogger("parlour.engine")


class Forked(Struct, frozen=True):
    """A new session; record `seq` says where it comes from, `busy` that it has something to do."""

    session: str
    seq: int
    busy: bool


async def fork_session(
    store: Store,
    files: Files,
    origin: str,
    *,
    now: float,
    at: int | None = None,
    again: bool = False,
    branch: str = "",
    title: str = "",
    bring: Sequence[FileRef] = (),
) -> Forked:
    """Fork `origin` after its record `at` (None: the newest).

    A round that ran there is stopped in the fork, or with `again` runs anew from its start. With
    `branch`, its id, it belongs to the same thread and has its `title`. The files `bring` are
    copied besides those that are named before `at`. Raises `Refused` and `StoreError`; then nothing
    is made.
    """
    state = await state_at(store, origin, at, Window())
    now = round(now, 3)  # whole milliseconds, which every store keeps
    if state.phase is Phase.CLOSED:
        raise Refused("closed", "The session is closed there; fork it at an earlier record.")
    events = first_events(state, origin, again=again)
    if branch and title != state.name.title:
        events.append(TitleSet(title=title))
    after = evolve_all(state, events, now)
    busy = bool(after.queue) or after.round is not None
    session = branch or secrets.token_hex(16)
    append = Append(
        session=session,
        epoch=0,
        after=state.seq,
        at=now,
        entries=(Entry("", encode_events(events), len(events)),),
        due=0.0 if busy else None,
        title=after.name.text,
    )
    copied = {ref.id: ref for ref in (*state.files, *bring)}
    await asyncio.to_thread(files.copy, origin, copied.values(), session)
    try:
        claim = await store.fork(origin, state.seq, append, branch=bool(branch))
        if claim is None:
            raise Refused("unknown_session", "There is no such session.")
    except BaseException:
        await asyncio.to_thread(files.erase, session)
        raise
    await store.release(session, claim.epoch)
    return Forked(session, state.seq + 1, busy)


async def fork_here(
    engine: Engine, session: str, *, at: int | None, user: str | None, again: bool
) -> Accepted:
    """Fork a session of a running engine, which begins what the fork has to do."""
    await engine.authorise(session, user)
    try:
        await check_number(engine, session)
        fork = await fork_session(
            engine.store, engine.files, session, now=engine.time(), at=at, again=again
        )
    except StoreError as error:
        log.error("session %s could not be forked: %s", session[:8], error)
        raise Refused("unavailable", "The session could not be forked; try again.", 1.0) from error
    if fork.busy:
        engine.spawn(engine.wake(fork.session))
    return Accepted(fork.session, fork.seq)


async def check_number(engine: Engine, session: str) -> None:
    """Raises `Refused` if the session's user has too many open ones."""
    info = await engine.store.find(session)
    limit = engine.settings.limits.sessions_per_user
    if info is not None and await engine.store.count(info.user) >= limit:
        raise Refused("too_many", "There are too many open conversations; close some.")


async def state_at(store: Reading, session: str, at: int | None, window: Window) -> State:
    """The state of a session after its record `at`, as its log tells it. Raises `Refused`."""
    state = State(window=window)
    if at is None or at > 0:
        state = await fold_session(store, session, state, at)
    if state.seq and at in {None, state.seq}:
        return state
    info = await store.find(session)
    if info is None or not info.head:
        raise Refused("unknown_session", "There is no such session.")
    raise Refused("invalid", f"The session has the records 1 to {info.head}; there is no {at}.")


def first_events(state: State, origin: str, *, again: bool) -> list[Event]:
    """What a fork records first: where it comes from, and the end of the round that ran there."""
    events: list[Event] = [SessionForked(origin=origin, seq=state.seq)]
    running = state.round
    if running is not None:
        waits = again and running.source is not None
        events.append(RoundFinished(round=running.number, status="stopped", again=waits))
        if again and not waits:
            events.append(RoundStarted(round=running.number + 1, cause=running.cause))
    return events
