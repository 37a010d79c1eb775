"""The same sessions from a script or a notebook: an engine in this process, no server.

`parlour.local(app)` is used as `with` (an event loop of its own, in a thread; everything blocks)
or as `async with` (the running loop). Both sides have the same words.
"""

from __future__ import annotations

import asyncio
import mimetypes
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from parlour.app import App, load_app
from parlour.engine.buses import bus_for
from parlour.engine.catalogue import ThreadInfo
from parlour.engine.clock import Clock
from parlour.engine.engine import Engine
from parlour.engine.portal import Portal
from parlour.engine.rounds import Follower, Offers, OpenQuestion, RoundResult, open_question
from parlour.errors import Refused, StoreError
from parlour.events import (
    Answer,
    AnyEvent,
    Assign,
    Close,
    Delta,
    FileRef,
    Record,
    RoundStarted,
    Say,
    Signal,
    Stop,
    UnknownEvent,
)
from parlour.session.values import decode_value, encode_value
from parlour.settings import Settings
from parlour.state import Said, State
from parlour.stores.address import files_for, open_store, secret_for
from parlour.stores.files import one_chunk

_LOOK_SECONDS = 0.02

T = TypeVar("T")
Files = Sequence[Mapping[str, Any]]


class EventHandler:
    """Gets every event of a round as it happens; subclass it and override what you need."""

    def handle(self, event: AnyEvent | UnknownEvent | Delta) -> None:
        """An event of the round, or a piece of a message that is being written."""

    def question(self, question: OpenQuestion) -> object:
        """The answer to a question: a value that fits its kind, or None to leave it open.

        Called again, with `note` saying why, for as long as the answer is rejected.
        """
        del question
        return None


class AsyncLocalSession:
    """A session of the running engine, from outside of its handlers."""

    def __init__(self, engine: Engine, session: str, user: str) -> None:
        self._engine = engine
        self._user = user
        self.id = session

    async def send_message(
        self,
        message: str,
        handler: EventHandler | None = None,
        files: Files | None = None,
        id: str | None = None,  # noqa: A002
    ) -> RoundResult:
        """Say something and wait until its round is done, or waits for an answer.

        `files` are mappings with a `path` or `content`, and a `name`. The same `id` again makes
        no new round but gives the same one. Raises `Refused`.
        """
        command = Say(id=id or uuid4().hex, text=message, files=await self._upload(files))
        return await self._send(command, handler)

    async def answer(
        self,
        value: object = None,
        *,
        text: str = "",
        question: int = 0,
        files: Files | None = None,
        handler: EventHandler | None = None,
        id: str | None = None,  # noqa: A002
    ) -> RoundResult:
        """Answer an open question (0: the oldest), and wait on as `send_message` does.

        `value` is what fits the question's kind; `text` is read as typed by a person. An answer
        that does not fit leaves the question open: the round still waits, and the `AnswerRejected`
        among its events says why.
        """
        raw = None if value is None else encode_value(value)[0]
        command = Answer(
            id=id or uuid4().hex,
            question=question,
            value=raw,
            text=text,
            files=await self._upload(files),
        )
        return await self._send(command, handler)

    async def opened(self, handler: EventHandler | None = None) -> RoundResult | None:
        """The round that opened the session, once it is done or waits; None if it has none."""
        if (
            "open"
            not in self._engine.beginnings.rules_for(self._engine.app.profile_named("")).causes
        ):
            return None
        async with aclosing(self._engine.records(self.id)) as records:
            async for record in records:
                event = record.event
                if isinstance(event, RoundStarted) and event.cause == "open":
                    return await self._follow(Follower(1), handler)
                if record.seq > 1:
                    break
        return None

    async def stop(self) -> bool:
        """End the running round; False if none runs."""
        try:
            await self._engine.send(self.id, self._user, Stop(id=uuid4().hex))
        except Refused as refused:
            if refused.code == "not_running":
                return False
            raise
        return True

    async def signal(self, name: str, data: object = None) -> RoundResult:
        """Send a named event and wait for its round."""
        command = Signal(id=uuid4().hex, name=name, data=encode_value(data)[0])
        return await self._send(command, None)

    async def get(self, name: str, default: Any = None, type: Any = None) -> Any:  # noqa: A002
        """A variable of the session, as `Session.get`."""
        found = (await self.state()).variables.get(name)
        return default if found is None else decode_value(found.value, found.kind, type)

    async def set(self, name: str, value: object) -> None:
        """Set a variable from outside; durable when this returns."""
        raw, kind = encode_value(value)
        command = Assign(id=uuid4().hex, name=name, value=raw, kind=kind)
        await self._engine.send(self.id, None, command)

    async def delete(self, name: str) -> None:
        """Forget a variable."""
        await self._engine.send(self.id, None, Assign(id=uuid4().hex, name=name, value=None))

    async def history(self) -> tuple[Said, ...]:
        """All messages, oldest first."""
        return tuple(await self._engine.read_history(self.id, None, 1_000_000))

    async def state(self) -> State:
        """What the session is now."""
        return await self._engine.state_of(self.id)

    async def title(self) -> str:
        """What the session is called: by whoever set it last, else by the user's first words."""
        return (await self.state()).name.text

    async def rename(self, title: str) -> None:
        """Call the session and all its branches `title`; "" gives the first words back."""
        await self._engine.catalogue.rename(self.id, self._user, title)

    async def branch(
        self,
        message: str | None = None,
        handler: EventHandler | None = None,
        *,
        before: int,
        id: str | None = None,  # noqa: A002
    ) -> tuple[AsyncLocalSession, RoundResult]:
        """Say `message` instead of what was said at record `before`, in a branch; see its round.

        None says the same again. The session stays as it is, and so does what its rounds did to the
        world outside. The same `id` again gives the same branch. Raises `Refused`.
        """
        command = id or uuid4().hex
        accepted = await self._engine.catalogue.branch(
            self.id, self._user, before=before, command=command, text=message
        )
        branch = AsyncLocalSession(self._engine, accepted.session, self._user)
        return branch, await branch._follow(Follower(accepted.seq, command), handler)

    async def branches(self) -> tuple[str, ...]:
        """The ids of all branches of the conversation, this one too, oldest first."""
        found = await self._engine.catalogue.branches(self.id, self._user)
        return tuple(branch.info.id for branch in found)

    async def erase(self) -> None:
        """End the conversation with all its branches, and leave nothing of it."""
        await self._engine.catalogue.erase(self.id, self._user)

    async def question(self) -> OpenQuestion | None:
        """The oldest question that waits for an answer."""
        return open_question(await self.state())

    async def records(self, after: int = 0) -> list[Record]:
        """The session's log after seq `after`."""
        return [record async for record in self._engine.records(self.id, after)]

    async def close(self) -> None:
        """End the session; closing it again does nothing."""
        try:
            await self._engine.send(self.id, self._user, Close(id=uuid4().hex))
        except Refused as refused:
            if refused.code != "closed":
                raise

    async def _upload(self, files: Files | None) -> tuple[FileRef, ...]:
        refs: list[FileRef] = []
        for file in files or ():
            path: Any = file.get("path")
            content: Any = file.get("content")
            if content is None:
                if path is None:
                    raise ValueError('a file needs a "path" or its "content"')
                content = await asyncio.to_thread(Path(path).read_bytes)
            data = content.encode() if isinstance(content, str) else bytes(content)
            name = str(file.get("name") or (Path(path).name if path is not None else "file"))
            refs.append(
                await self._engine.files.add(
                    self.id,
                    one_chunk(data),
                    name=name,
                    type_=str(file.get("type") or mimetypes.guess_type(name)[0] or ""),
                    limit=self._engine.settings.limits.upload_bytes,
                )
            )
        return tuple(refs)

    async def _send(
        self, command: Say | Answer | Signal, handler: EventHandler | None
    ) -> RoundResult:
        accepted = await self._engine.send(self.id, self._user, command)
        return await self._follow(Follower(accepted.seq, command.id), handler)

    async def _follow(self, follower: Follower, handler: EventHandler | None) -> RoundResult:
        offers = Offers()
        while True:
            try:
                return await self._follow_on(follower, offers, handler)
            except _Interrupted:
                # What was sent is accepted, so it is followed, as soon as there is room.
                await asyncio.sleep(_LOOK_SECONDS)

    async def _follow_on(
        self, follower: Follower, offers: Offers, handler: EventHandler | None
    ) -> RoundResult:
        after = max(follower.place, follower.cause - 1, 0)
        stream = self._engine.events(self.id, after, user=self._user)
        coming: asyncio.Future[Record | Delta] | None = None
        try:
            while True:
                coming = coming or asyncio.ensure_future(anext(stream))
                # A branch that goes on waiting records nothing, so that has to be looked for.
                await asyncio.wait({coming}, timeout=_LOOK_SECONDS)
                if coming.done():
                    arrived, coming = coming, None
                    item = _arrived(arrived)
                    if item is None:
                        return follower.unfinished("stopped")
                    offers.see(item)
                    if follower.take(item) and handler is not None:
                        handler.handle(item.event if isinstance(item, Record) else item)
                    if follower.result is not None:
                        return follower.result
                state = await self._waiting(follower, offers)
                question = None if state is None else _to_offer(state, offers)
                if state is None or question is None:
                    continue
                if not await self._answered(question, handler):
                    return follower.unfinished("waiting", question, state.rounds)
        finally:
            if coming is not None:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)
            await stream.aclose()

    async def _waiting(self, follower: Follower, offers: Offers) -> State | None:
        """The session's state, if the round can only wait for an answer or the time."""
        if not follower.began:
            return None
        activation = self._engine.find_live(self.id)
        if activation is not None:
            told = follower.place >= activation.durable
            return activation.state if told and activation.resting else None
        if offers.folded >= follower.place:
            return None
        # It waits outside of memory, where nothing changes unless it is recorded.
        try:
            state = await self.state()
        except StoreError:
            if self._engine.stopping:
                return None  # whoever reads its events is told
            raise
        if follower.place < state.seq:
            return None
        offers.folded = follower.place
        return state

    async def _answered(self, question: OpenQuestion, handler: EventHandler | None) -> bool:
        value = handler.question(question) if handler is not None else None
        if value is None:
            return False
        command = Answer(id=uuid4().hex, question=question.id, value=encode_value(value)[0])
        try:
            await self._engine.send(self.id, self._user, command)
        except Refused as refused:
            # Somebody else has answered meanwhile, or the time is over: the round goes on.
            if refused.code not in ("no_question", "closed"):
                raise
        return True


class _Interrupted(Exception):
    """The records could not be followed any further just now."""


def _arrived(coming: asyncio.Future[Record | Delta]) -> Record | Delta | None:
    """The next item, None at the end."""
    try:
        return coming.result()
    except StopAsyncIteration:
        return None
    except Refused as refused:
        if refused.code in ("too_slow", "too_many"):
            raise _Interrupted from refused
        raise


def _to_offer(state: State, offers: Offers) -> OpenQuestion | None:
    """The oldest question that the caller has not been asked yet."""
    running = state.round
    for seq in running.questions if running is not None else ():
        if offers.take(seq):
            return open_question(state, seq, offers.complaint(seq))
    return None


class AsyncRunning:
    """An app that runs in this process."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    async def get_session(
        self,
        id: str | None = None,  # noqa: A002
        *,
        user: str = "local",
    ) -> AsyncLocalSession:
        """The session with this id, or a new one. Raises `Refused` if there is none of `user`'s.

        A new session is returned when its `on_open` is done or waits for an answer.
        """
        if id is None:
            self.engine.keys.keep_own(user)
            opened = await self.engine.open(user, uuid4().hex)
            session = AsyncLocalSession(self.engine, opened.session, user)
            await session.opened()
            return session
        await self.engine.authorise(id, user)
        self.engine.keys.keep_own(user)
        return AsyncLocalSession(self.engine, id, user)

    async def threads(self, query: str = "", *, user: str = "local") -> list[ThreadInfo]:
        """A user's conversations, last updated first; with `query` those that have all its words.

        Each stands there once, by its branch that was last updated.
        """
        found: list[ThreadInfo] = []
        after = ""
        while True:
            page = await self.engine.catalogue.page(user, query, after=after, limit=100)
            if not page.complete:
                continue
            found += page.threads
            after = page.next
            if not after:
                return found


class LocalSession:
    """A session, for code that blocks. See `AsyncLocalSession` for what each word means."""

    def __init__(self, portal: Portal, session: AsyncLocalSession) -> None:
        self._portal = portal
        self._session = session

    @property
    def id(self) -> str:
        return self._session.id

    def send_message(
        self,
        message: str,
        handler: EventHandler | None = None,
        files: Files | None = None,
        id: str | None = None,  # noqa: A002
    ) -> RoundResult:
        return self._portal.call(self._session.send_message(message, handler, files, id))

    def answer(
        self,
        value: object = None,
        *,
        text: str = "",
        question: int = 0,
        files: Files | None = None,
        handler: EventHandler | None = None,
        id: str | None = None,  # noqa: A002
    ) -> RoundResult:
        return self._portal.call(
            self._session.answer(
                value, text=text, question=question, files=files, handler=handler, id=id
            )
        )

    def opened(self, handler: EventHandler | None = None) -> RoundResult | None:
        return self._portal.call(self._session.opened(handler))

    def stop(self) -> bool:
        return self._portal.call(self._session.stop())

    def signal(self, name: str, data: object = None) -> RoundResult:
        return self._portal.call(self._session.signal(name, data))

    def get(self, name: str, default: Any = None, type: Any = None) -> Any:  # noqa: A002
        return self._portal.call(self._session.get(name, default, type))

    def set(self, name: str, value: object) -> None:
        self._portal.call(self._session.set(name, value))

    def delete(self, name: str) -> None:
        self._portal.call(self._session.delete(name))

    @property
    def history(self) -> tuple[Said, ...]:
        return self._portal.call(self._session.history())

    @property
    def state(self) -> State:
        return self._portal.call(self._session.state())

    @property
    def title(self) -> str:
        return self._portal.call(self._session.title())

    def rename(self, title: str) -> None:
        self._portal.call(self._session.rename(title))

    def branch(
        self,
        message: str | None = None,
        handler: EventHandler | None = None,
        *,
        before: int,
        id: str | None = None,  # noqa: A002
    ) -> tuple[LocalSession, RoundResult]:
        branch = self._session.branch(message, handler, before=before, id=id)
        session, result = self._portal.call(branch)
        return LocalSession(self._portal, session), result

    def branches(self) -> tuple[str, ...]:
        return self._portal.call(self._session.branches())

    def erase(self) -> None:
        self._portal.call(self._session.erase())

    @property
    def question(self) -> OpenQuestion | None:
        return self._portal.call(self._session.question())

    def records(self, after: int = 0) -> list[Record]:
        return self._portal.call(self._session.records(after))

    def close(self) -> None:
        self._portal.call(self._session.close())


class Running:
    """An app that runs in this process, for code that blocks."""

    def __init__(self, portal: Portal, running: AsyncRunning) -> None:
        self._portal = portal
        self._running = running

    def get_session(self, id: str | None = None, *, user: str = "local") -> LocalSession:  # noqa: A002
        """The session with this id, or a new one. Raises `Refused` if there is none of `user`'s."""
        session = self._portal.call(self._running.get_session(id, user=user))
        return LocalSession(self._portal, session)

    def threads(self, query: str = "", *, user: str = "local") -> list[ThreadInfo]:
        """A user's conversations, last updated first; with `query` those with all its words."""
        return self._portal.call(self._running.threads(query, user=user))


class local:  # noqa: N801 - it is called like a function
    """Run an app here: `with parlour.local(app) as running: session = running.get_session()`.

    `app` is an `App`, or the address of a file that makes one; `store` an address like `memory:`
    or `sqlite:///x.db`. Raises `AppNotLoaded` and `StoreError` on entering.
    """

    def __init__(
        self,
        app: App | str,
        *,
        store: str = "memory:",
        settings: Settings | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._app = app
        self._store = store
        self._settings = settings
        self._clock = clock
        self._engine: Engine | None = None
        self._portal: Portal | None = None

    def _make(self) -> Engine:
        app = load_app(self._app) if isinstance(self._app, str) else self._app
        return Engine(
            app,
            open_store(self._store),
            files=files_for(self._store),
            secret=secret_for(self._store),
            bus=bus_for(self._store),
            settings=self._settings,
            clock=self._clock,
        )

    async def __aenter__(self) -> AsyncRunning:
        self._engine = self._make()
        await self._engine.__aenter__()
        return AsyncRunning(self._engine)

    async def __aexit__(self, *_: object) -> None:
        if self._engine is not None:
            await self._engine.stop()

    def __enter__(self) -> Running:
        self._portal = Portal()
        try:
            running = self._portal.call(self.__aenter__())
        except BaseException:
            self._portal.close()
            raise
        return Running(self._portal, running)

    def __exit__(self, *_: object) -> None:
        if self._portal is not None:
            self._portal.call(self.__aexit__())
            self._portal.close()
