"""Rehearsals: stored rounds played again with other code, to see where they would part.

Each round runs in an engine of its own on a copy of the log as it was before the round's end, so
everything that is recorded comes from the log, as after a crash. The copy takes nothing more: what
the code does past the journal is never durable, and a step waits for what comes before it to be
durable, so no step runs. Nothing is written where the log came from.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from msgspec import Struct
from msgspec.structs import replace

from parlour.app import App
from parlour.engine.clock import SystemClock
from parlour.engine.engine import Engine
from parlour.engine.journal import Journal
from parlour.engine.reading import read_chunks
from parlour.engine.replay import brief
from parlour.errors import Diverged, describe
from parlour.events import Cause, RoundFinished, decode_chunk, encode_chunk, split_chunk
from parlour.session import Agent, Round, Session
from parlour.settings import Settings
from parlour.state import State, encode_snapshot, evolve
from parlour.stores.files import Files
from parlour.stores.memory import MemoryStore
from parlour.stores.store import (
    Append,
    Chunk,
    Entry,
    Fenced,
    Outcome,
    Reading,
    Snapshot,
    UserValue,
)

_SECONDS = 10.0
_LOOK_SECONDS = 0.001
_OPEN = "running"


class Verdict(Struct, frozen=True, kw_only=True):
    """What became of a round when other code played it; `problem` names both sides, "" is fine.

    `status` is how the stored round ended, or `running`.
    """

    session: str
    round: int
    status: str
    problem: str = ""


async def rehearse(
    app: App,
    store: Reading,
    files: Files,
    session: str,
    *,
    settings: Settings | None = None,
    only_open: bool = False,
) -> AsyncGenerator[Verdict]:
    """Play a session's rounds, or `only_open` the one that runs, with the code of `app`.

    Code outside of steps runs, as it does whenever a round is taken up again. Raises `StoreError`.
    """
    state = State()
    past: list[Chunk] = []
    with TemporaryDirectory(prefix="parlour-rehearsal-") as folder:
        stage = _Stage(
            app, store, files, session, folder=Path(folder), settings=settings or Settings()
        )
        async for chunk in read_chunks(store, session, 0):
            past.append(chunk)
            for event in decode_chunk(chunk.data):
                if isinstance(event, RoundFinished) and not only_open:
                    yield await stage.play(past, state, event.status)
                state = evolve(state, event, chunk.at)
        if state.round is not None:
            yield await stage.play(past, state, _OPEN)


class _Stage:
    """Where the rounds of one session are played."""

    def __init__(
        self,
        app: App,
        store: Reading,
        files: Files,
        session: str,
        *,
        folder: Path,
        settings: Settings,
    ) -> None:
        self._app = app
        self._store = store
        self._files = files
        self._session = session
        self._folder = folder
        limits = replace(settings.limits, resumptions=1 << 30, stop_seconds=0.5)
        # `development`: a wait for something that is not journaled is refused, not done.
        self._settings = replace(
            settings,
            limits=limits,
            development=True,
            on_divergence="fail",
            expire_after=None,
            retain_days=None,
        )

    async def play(self, past: Sequence[Chunk], state: State, status: str) -> Verdict:
        """Play the round that runs in `state`, which the records of `past` lead to."""
        running = state.round
        assert running is not None, "a round that is played runs"
        copy = _Copy(self._store)
        await copy.fill(self._session, past, state)
        await asyncio.to_thread(self._bring_files, state)
        play = _Play(self._app.agent, self._session, state, status)
        app = App(play, title=self._app.title, user_env=self._app.user_env)
        for waker in self._app.wakers:
            app.on_wake(waker)
        engine = Engine(
            app,
            copy,
            files=Files(self._folder),
            secret=b"",
            settings=self._settings,
            clock=_Standing(past[-1].at),
        )
        engine.keeps = False
        async with engine:
            problem = await play.watch(engine)
            copy.end()
        return Verdict(session=self._session, round=running.number, status=status, problem=problem)

    def _bring_files(self, state: State) -> None:
        """Copies of the files that were said, for a handler may do with its own what it likes."""
        place = self._folder / self._session
        source = self._files.root / self._session
        place.mkdir(exist_ok=True)
        for ref in state.files:
            if not (place / ref.id).exists() and (source / ref.id).is_file():
                shutil.copyfile(source / ref.id, place / ref.id)


class _Play:
    """An agent that plays one round in another one's place, and what is to be seen of that."""

    def __init__(self, agent: Agent, session: str, state: State, status: str) -> None:
        self._agent = agent
        self._session = session
        self._state = state
        self._status = status
        self._engine: Engine | None = None
        self._journal: Journal | None = None
        self._verdict: str | None = None

    @property
    def causes(self) -> frozenset[Cause]:
        return self._agent.causes

    async def respond(self, session: Session, round: Round, /) -> None:  # noqa: A002
        if self._journal is not None:
            return  # what waits behind the round is not played
        self._journal = journal = cast("Journal", session.effects)
        failure: BaseException | None = None
        try:
            await self._agent.respond(session, round)
        except BaseException as error:
            failure = error
            raise
        finally:
            if self._verdict is None:
                self._verdict = self._judge(journal, failure)

    async def watch(self, engine: Engine) -> str:
        """Wait until it is clear how the code plays the round; what is wrong, or ""."""
        self._engine = engine
        end = engine.monotonic() + _SECONDS
        while engine.monotonic() < end:
            if self._verdict is None and self._journal is not None:
                self._look(self._journal)
            if self._verdict is not None:
                return self._verdict
            await asyncio.sleep(_LOOK_SECONDS)
        return f"the code does not come to the end of the journal in {_SECONDS:g} s"

    def _look(self, journal: Journal) -> None:
        """See whether a handler that has not ended has done or is doing what tells enough."""
        more = self._recorded() or ("a step" if journal.busy else "")
        if not journal.unreached:
            if self._status != "done":
                self._verdict = ""
            elif more:
                self._verdict = f"the journal ends, the code goes on with {more}"
        elif more and (journal.busy or journal.rests):
            self._verdict = (
                f"the journal has {journal.unreached}, the code waits for {more} before it"
            )

    def _judge(self, journal: Journal, failure: BaseException | None) -> str:
        """What is wrong with how a handler has ended."""
        if isinstance(failure, Diverged):
            return describe(failure)
        if failure is None and journal.unreached:
            return f"the journal has {journal.unreached}, which the code no longer reaches"
        if failure is not None and self._status in {"done", _OPEN}:
            raised = f"{type(failure).__name__}: {describe(failure)}"
            return f"the journal goes on, the code raises {raised}"
        more = self._recorded()
        if more and self._status == "done":
            return f"the journal ends, the code goes on with {more}"
        return ""

    def _recorded(self) -> str:
        """The first effect that the code has recorded and the journal has not."""
        activation = None if self._engine is None else self._engine.find_live(self._session)
        running = None if activation is None else activation.state.round
        new = (
            []
            if running is None
            else [effect for effect in running.journal.values() if effect.seq > self._state.seq]
        )
        return brief(new[0].event) if new else ""


class _Copy(MemoryStore):
    """A log that can be read and takes nothing more."""

    def __init__(self, origin: Reading) -> None:
        super().__init__()
        self._origin = origin
        self._full = False
        self._ended = asyncio.Event()

    async def fill(self, session: str, past: Sequence[Chunk], state: State) -> None:
        """Hold the records of `past` up to the last one that `state` knows, and `state` itself."""
        await self.open()
        claim = await self.create(session, state.user, past[0].at)
        assert claim is not None, "it is the first session here"
        appends: list[Append] = []
        for chunk in past:
            count = min(chunk.count, state.seq + 1 - chunk.first)
            data = chunk.data
            if 0 < count < chunk.count:
                data = encode_chunk(map(bytes, split_chunk(data)[:count]))
            if count > 0:
                append = Append(
                    session=session,
                    epoch=claim.epoch,
                    after=chunk.first - 1,
                    at=chunk.at,
                    entries=(Entry("", data, count),),
                    due=0.0,
                )
                appends.append(append)
        appends[-1] = replace(appends[-1], snapshot=Snapshot(state.seq, encode_snapshot(state)))
        await self.append(appends)
        self._full = True

    async def append(self, batch: Sequence[Append]) -> Sequence[Outcome]:
        if not self._full:
            return await super().append(batch)
        await self._ended.wait()
        return [Fenced()] * len(batch)

    async def user_value(self, user: str, name: str) -> UserValue | None:
        return await self._origin.user_value(user, name)

    def end(self) -> None:
        """Answer those who wait: nothing was kept."""
        self._ended.set()


class _Standing(SystemClock):
    """A clock whose wall stands still, so that nothing becomes due."""

    def __init__(self, at: float) -> None:
        self._at = at

    def time(self) -> float:
        return self._at
