"""Imports: conversations from an export become sessions of this store.

They get ids of their own, so nobody's session is touched, whatever the zip says; what ran there is
stopped. Everything is looked at before anything is written: each record must follow from those
before it, as in any log.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from parlour.engine.fork import first_events
from parlour.errors import IllegalEvent, Refused
from parlour.events import (
    AnyEvent,
    Event,
    FileRef,
    SessionOpened,
    UnknownEvent,
    decode_event,
    encode_chunk,
    encode_event,
    encode_events,
)
from parlour.state import Phase, State, Window, evolve_all, fold
from parlour.stores.files import Files, safe_name, safe_type
from parlour.stores.store import Append, Appended, Claim, Entry, Store, UserValue
from parlour.stores.sweep import erase_session
from parlour.stores.unpack import About, Line, Unpacked

_PORTION = 512 * 1024
_MOST_AT_ONCE = 256


class Imported(Struct, frozen=True):
    """A session that was imported: the id it had, its id here, and how many records it has."""

    origin: str
    session: str
    records: int


async def import_sessions(
    store: Store, files: Files, path: Path, *, now: float, user: str | None = None
) -> list[Imported]:
    """Make sessions of all that the zip at `path` has; they belong to `user`, or whose they were.

    The user's variables are set where there are none of that name. Raises `Refused` for a zip that
    cannot be believed, and `StoreError`; of the session that was being made then nothing is left.
    """
    with await asyncio.to_thread(Unpacked, path) as archive:
        plans = [
            await asyncio.to_thread(_look_at, archive, session, user)
            for session in archive.sessions
        ]
        if not plans:
            raise Refused("invalid", f"There is no session in {path}.")
        return [await _Import(store, files, archive, plan, round(now, 3)).run() for plan in plans]


class _Plan(Struct):
    """A session whose records have been looked at: what they fold to."""

    about: About
    user: str
    state: State
    values: tuple[UserValue, ...]


def _look_at(archive: Unpacked, session: str, user: str | None) -> _Plan:
    about = archive.about(session)
    whose = about.user if user is None else user
    if not whose:
        raise Refused("invalid", "An imported session needs a user; give --user.")
    state = State(window=Window())
    for line, event in _events(archive, session, whose):
        try:
            state = fold(((event, line.at),), state)
        except (IllegalEvent, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise _odd(session, line.seq, str(error)) from None
    if not state.seq:
        raise Refused("invalid", f"The session {session} has no records.")
    for ref in state.files:
        _check_file(archive, session, ref)
    return _Plan(about, whose, state, _values(archive, whose))


def _events(
    archive: Unpacked, session: str, user: str
) -> Iterator[tuple[Line, AnyEvent | UnknownEvent]]:
    """The records, and their events as they are of `user`."""
    for line in archive.lines(session):
        try:
            event = decode_event(line.event)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _odd(session, line.seq, str(error)) from None
        if isinstance(event, SessionOpened) != (line.seq == 1):
            raise _odd(session, line.seq, "a session is opened once, and first")
        if isinstance(event, SessionOpened):
            event = replace(event, user=user)
        yield line, event


def _check_file(archive: Unpacked, session: str, ref: FileRef) -> None:
    odd = safe_name(ref.name) != ref.name or safe_type(ref.type) != ref.type
    if odd or len(ref.id) != 32 or set(ref.id) - set("0123456789abcdef"):  # noqa: PLR2004
        raise Refused("invalid", f"The session {session} names a file in an odd way: {ref.id!a}.")
    if archive.file(session, ref.id) is None:
        raise Refused("invalid", f"The file {ref.id} of the session {session} is not in the zip.")


def _values(archive: Unpacked, user: str) -> tuple[UserValue, ...]:
    kept = archive.user()
    if kept is None or kept.id != user:
        return ()
    return tuple(
        UserValue(name, bytes(value), kept.kinds.get(name, ""))
        for name, value in kept.variables.items()
    )


class _Import:
    """Makes one session."""

    def __init__(
        self, store: Store, files: Files, archive: Unpacked, plan: _Plan, now: float
    ) -> None:
        self._store = store
        self._files = files
        self._archive = archive
        self._plan = plan
        self._now = now
        self._session = secrets.token_hex(16)

    async def run(self) -> Imported:
        claim = await self._store.create(
            self._session, self._plan.user, _created(self._plan.about, self._now)
        )
        if claim is None:
            raise Refused("unavailable", "The session could not be made; try again.", 1.0)
        try:
            await asyncio.to_thread(self._unpack)
            await self._write(claim)
            last = await self._end(claim)
        except BaseException:
            await erase_session(self._store, self._files, self._session)
            raise
        await self._store.release(self._session, claim.epoch)
        return Imported(self._plan.about.id, self._session, last)

    def _unpack(self) -> None:
        archive, origin = self._archive, self._plan.about.id
        with TemporaryDirectory(prefix="parlour-import-") as folder:
            draft = Path(folder) / "file"
            for ref in {ref.id: ref for ref in self._plan.state.files}.values():
                name = archive.file(origin, ref.id)
                assert name is not None
                with draft.open("wb") as target:
                    if archive.copy(name, target, ref.size) != ref.size:
                        raise Refused("invalid", f"The file {ref.id} is shorter than it was.")
                self._files.keep(self._session, ref, draft)
        for name, place in archive.workspace(origin):
            path = self._files.workspace(self._session).joinpath(*place.parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as target:
                archive.copy(name, target)

    async def _write(self, claim: Claim) -> None:
        portions, head = self._portions(), 0
        while (portion := await asyncio.to_thread(next, portions, None)) is not None:
            head = await self._append(claim, head, *portion)

    def _portions(self) -> Iterator[tuple[float, list[tuple[str, list[bytes]]]]]:
        """The records as they are written at once: of one time, each command with what it did."""
        at, size = 0.0, 0
        entries: list[tuple[str, list[bytes]]] = []
        for line, event in _events(self._archive, self._plan.about.id, self._plan.user):
            command = str(getattr(event, "command", ""))
            data = encode_event(event)
            if entries and (line.at != at or size > _PORTION or len(entries) > _MOST_AT_ONCE):
                yield at, entries
                entries, size = [], 0
            if command or not entries:
                entries.append((command, []))
            entries[-1][1].append(data)
            at, size = line.at, size + len(data)
        if entries:
            yield at, entries

    async def _append(
        self, claim: Claim, head: int, at: float, entries: list[tuple[str, list[bytes]]]
    ) -> int:
        kept = tuple(
            Entry(command, encode_chunk(events), len(events)) for command, events in entries
        )
        append = Append(session=self._session, epoch=claim.epoch, after=head, at=at, entries=kept)
        return await self._put(append)

    async def _end(self, claim: Claim) -> int:
        """Say where it comes from, stop what ran, and set what the user had set."""
        state, now = self._plan.state, self._now
        events: list[Event] = []
        if state.phase is not Phase.CLOSED:
            events = first_events(state, self._plan.about.id, again=False)
        after = evolve_all(state, events, now)
        there = {value.name for value in await self._store.user_values(self._plan.user)}
        append = Append(
            session=self._session,
            epoch=claim.epoch,
            after=state.seq,
            at=now,
            entries=(Entry("", encode_events(events), len(events)),) if events else (),
            user_values=tuple(value for value in self._plan.values if value.name not in there),
            due=after.due,
            title=after.name.text,
            closed=after.phase is Phase.CLOSED,
        )
        return await self._put(append)

    async def _put(self, append: Append) -> int:
        [outcome] = await self._store.append([append])
        if not isinstance(outcome, Appended):
            raise Refused(
                "invalid",
                f"The session {self._plan.about.id} has a command twice, or somebody has used "
                "it while it was imported.",
            )
        return outcome.last


def _created(about: About, now: float) -> float:
    try:
        return min(max(0.0, datetime.fromisoformat(about.created).timestamp()), now)
    except (ValueError, OverflowError, OSError):
        return now


def _odd(session: str, seq: int, why: str) -> Refused:
    return Refused("invalid", f"Record {seq} of the session {session} cannot stand there ({why}).")
