"""Listening: every record once and in order, deltas at their place, bounds, ends and returns."""

from __future__ import annotations

import asyncio
import gc
import itertools
import tempfile
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from house import House, run, settled, until
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import parlour
from parlour.engine import Commit, Engine
from parlour.engine.fanout import Subscription
from parlour.engine.local import AsyncLocalSession
from parlour.engine.reader import Reader
from parlour.engine.reading import read_history
from parlour.errors import Refused, StoreUnavailable
from parlour.events import (
    Assign,
    MessageAdded,
    Record,
    RoundFinished,
    RoundStarted,
    Say,
    SessionClosed,
    SessionOpened,
    TextStreamed,
    VariableSet,
    decode_chunk,
    encode_events,
)
from parlour.stores.memory import MemoryStore
from parlour.stores.store import PAGE_BYTES, Append, Appended, Chunk, Entry, Outcome, Store

promise = pytest.mark.promise


def scripted_app() -> parlour.App:
    """A message is a script: r replies, w writes a piece, e ends the stream, t takes a turn."""
    app = parlour.App()

    @app.on_message
    async def act(session: parlour.Session, message: parlour.Message) -> None:
        out: Any = None
        for at, move in enumerate(message.text):
            if move == "r":
                session.reply(f"reply {at}")
            elif move == "w":
                if out is None:
                    out = await session.stream().__aenter__()
                out.write(f"<piece {at}>")
            elif move == "e" and out is not None:
                await out.__aexit__(None, None, None)
                out = None
            elif move == "t":
                await session.step(asyncio.sleep, 0)
        if out is not None:
            await out.__aexit__(None, None, None)

    return app


class Slow:
    """A store that takes as many turns of the loop as it is told, before and after its work."""

    def __init__(self, store: Store, turns: Sequence[int]) -> None:
        self._store = store
        self._turns = itertools.cycle(turns or [0])
        self.failing = 0
        self.page_bytes = PAGE_BYTES
        self.read_bytes: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def _dawdle(self) -> None:
        for _ in range(next(self._turns)):
            await asyncio.sleep(0)

    async def read(
        self, session: str, after: int, limit: int = 1000, *, limit_bytes: int = PAGE_BYTES
    ) -> Sequence[Chunk]:
        await self._dawdle()
        limit_bytes = min(limit_bytes, self.page_bytes)
        chunks = await self._store.read(session, after, limit, limit_bytes=limit_bytes)
        self.read_bytes.append(sum(len(chunk.data) for chunk in chunks))
        await self._dawdle()
        return chunks

    async def append(self, batch: Sequence[Append]) -> Sequence[Outcome]:
        await self._dawdle()
        outcomes = await self._store.append(batch)
        await self._dawdle()
        if self.failing:
            # The worst kind: it was written, and nobody knows.
            self.failing -= 1
            raise StoreUnavailable("the line was cut")
        return outcomes


class Witness:
    """A listener that knows the rules and notes what breaks them."""

    def __init__(self, after: int) -> None:
        self.place = after
        self.lives = 0
        self.faults: list[str] = []
        self.refusal: Refused | None = None
        self._round = -1 if after else 0
        self._texts: dict[str, str] = {}
        self._complete: set[str] = set()

    def commit(self, commit: Commit) -> None:
        if commit.first != self.place + 1:
            self.faults.append(f"records {commit.first}… came after {self.place}")
        if decode_chunk(commit.data) != list(commit.events):
            self.faults.append(f"the data of {commit.first}… are not its events")
        self.place = commit.last
        for event in commit.events:
            if isinstance(event, RoundStarted):
                self._round, self._texts, self._complete = event.round, {}, set()
            elif isinstance(event, RoundFinished):
                self._round, self._texts = 0, {}
            elif isinstance(event, MessageAdded) and event.role == "bot":
                begun = self._texts.pop(event.path, "")
                self._complete.add(event.path)
                if not event.text.startswith(begun):
                    self.faults.append(f"{event.path} was shown as {begun!r}, is {event.text!r}")

    def delta(self, session: str, delta: TextStreamed) -> None:
        if not self.lives:
            self.faults.append("a delta came before the past was told")
        if self._round not in (-1, delta.round):
            self.faults.append(f"a delta of round {delta.round} came in round {self._round}")
        if delta.path in self._complete:
            self.faults.append(f"a delta of {delta.path} came after its message")
        known = self._texts.get(delta.path, "")
        if delta.offset not in (0, len(known)):
            self.faults.append(f"{delta.path} goes on at {delta.offset}, not at {len(known)}")
        self._texts[delta.path] = known[: delta.offset] + delta.text

    def live(self, session: str, seq: int) -> None:
        self.lives += 1
        if seq != self.place:
            self.faults.append(f"live at {seq}, told until {self.place}")

    def ended(self, session: str, refusal: Refused) -> None:
        self.refusal = refusal


scripts = st.text("rwwet", min_size=1, max_size=8)
moves = st.one_of(
    st.tuples(st.just("say"), scripts),
    st.tuples(st.just("join"), st.integers(0, 3)),
    st.tuples(st.just("turns"), st.integers(1, 12)),
    st.tuples(st.just("fail"), st.just(1)),
    st.tuples(st.just("leave"), st.integers(0, 3)),
)


class Storm:
    """One session, its listeners, and what happens to them."""

    def __init__(self, engine: Engine, session: AsyncLocalSession, store: Slow) -> None:
        self._engine = engine
        self._session = session
        self._store = store
        self._listeners: list[tuple[Witness, Subscription, asyncio.Task[None]]] = []

    async def move(self, number: int, move: str, value: Any) -> None:
        if move == "say":
            self._say(f"m{number}", value)
        elif move == "join":
            await self._join(value)
        elif move == "fail":
            self._store.failing += 1
            self._say(f"m{number}", "wtr")
        elif move == "leave" and value < len(self._listeners):
            self._engine.unsubscribe(self._listeners[value][1])
        for _ in range(value if move == "turns" else 1):
            await asyncio.sleep(0)

    def _say(self, id: str, text: str) -> None:  # noqa: A002
        self._engine.submit(self._session.id, "local", Say(id=id, text=text), lambda _: None)

    async def _join(self, thirds: int) -> None:
        info = await self._engine.store.find(self._session.id)
        assert info is not None
        witness = Witness(info.head * thirds // 3)
        subscription = self._engine.subscribe(self._session.id, witness.place, witness)
        catching = asyncio.create_task(subscription.catch_up())
        self._listeners.append((witness, subscription, catching))

    async def settle(self) -> None:
        """The store is well again, and something more is said."""
        self._store.failing = 0
        accepted = False
        while not accepted:
            try:
                await self._engine.send(self._session.id, "local", Say(id="the end", text="r"))
                accepted = True
            except Refused:
                await asyncio.sleep(0.01)
        await settled(self._session)

    async def check(self) -> None:
        info = await self._engine.store.find(self._session.id)
        assert info is not None
        for witness, subscription, catching in self._listeners:
            await catching
            if not subscription.over:
                await until(lambda w=witness: w.place >= info.head)
                assert witness.lives == 1
            assert witness.faults == []


async def storm(house: House, turns: list[int], plan: list[tuple[str, Any]]) -> None:
    stores: list[Slow] = []

    def wrap(store: Store) -> Store:
        stores.append(Slow(store, turns))
        return stores[0]  # type: ignore[return-value]

    async with house.running(scripted_app(), wrap=wrap) as running:
        storm = Storm(running.engine, await running.get_session(), stores[0])
        for number, (move, value) in enumerate([("join", 0), *plan]):
            await storm.move(number, move, value)
        await storm.settle()
        await storm.check()


@promise("P2")
@promise("P6")
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_in_every_interleaving_each_listener_sees_every_record_once_and_deltas_at_their_place(
    kind: str,
) -> None:
    # An example that fails is small enough, and making it smaller would take minutes.
    @settings(phases=[Phase.reuse, Phase.generate], max_examples=60 if kind == "memory" else 15)
    @given(
        st.lists(st.integers(0, 5), min_size=1, max_size=6),
        st.lists(moves, min_size=4, max_size=25),
    )
    def holds(turns: list[int], plan: list[tuple[str, Any]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            run(storm(House(kind, Path(folder)), turns, plan))

    holds()


# -- what a slow one costs ----------------------------------------------------------------------


def limited(**limits: int) -> parlour.Settings:
    return parlour.Settings(development=True, limits=parlour.Limits(**limits))


async def take_until(stream: Any, seq: int) -> list[int]:
    """The records of a reader until one of them."""
    seqs: list[int] = []
    async for item in stream:
        if isinstance(item, Record):
            seqs.append(item.seq)
            if item.seq >= seq:
                break
    return seqs


async def write_log(
    store: Store, session: str, values: Sequence[bytes], *, alone: bool = True
) -> None:
    """A session of `user` whose log is made of variables, each in a commit of its own or not."""
    claim = await store.create(session, "user", 1.0)
    assert claim is not None
    events: list[Any] = [SessionOpened(user="user", command="open")]
    events += [
        VariableSet(name="v", value=msgspec.Raw(b'"' + value + b'"'), command=f"c{number}")
        for number, value in enumerate(values)
    ]
    chunks = [[event] for event in events] if alone else [events]
    entries = tuple(Entry("", encode_events(chunk), len(chunk)) for chunk in chunks)
    appended = await store.append(
        [Append(session=session, epoch=claim.epoch, after=0, at=1.0, entries=entries)]
    )
    assert appended == [Appended(len(events))]
    await store.release(session, claim.epoch)


@promise("P12")
def test_a_reader_who_is_always_a_little_behind_is_not_too_slow(house: House) -> None:
    async def main() -> None:
        house.settings = limited(listener_bytes=10_000)
        async with house.running(scripted_app()) as running:
            session = await running.get_session()
            stream = running.engine.events(session.id, 0)
            place = 0
            for number in range(60):
                await session.send_message("rrr")
                if number:
                    # One round is read while the next one waits already: never all of it.
                    assert await take_until(stream, place + 6) == list(range(place + 1, place + 7))
                    place += 6
            await stream.aclose()

    run(main())


@promise("P12")
def test_many_small_deltas_are_not_for_nothing() -> None:
    async def main() -> None:
        reader = Reader(20_000)
        for offset in range(1000):
            reader.delta("s", TextStreamed(round=1, path="p", offset=offset, text="x"))
        taken: list[Any] = []

        async def take_all() -> None:
            while True:
                taken.append(await reader.take())

        with pytest.raises(Refused) as cut:
            await take_all()
        assert cut.value.code == "too_slow"
        assert 0 < len(taken) <= 100

    run(main())


@promise("P12")
def test_the_past_is_read_in_pages_that_weigh_little_and_fit_its_reader(house: House) -> None:
    async def main() -> None:
        house.settings = limited(listener_bytes=512 * 1024)
        stores: list[Slow] = []

        def wrap(store: Store) -> Store:
            stores.append(Slow(store, [0]))
            return stores[0]  # type: ignore[return-value]

        async with house.running(scripted_app(), wrap=wrap) as running:
            store = running.engine.store
            await write_log(store, "large", [b"x" * 64_000] * 300)
            seqs = await take_until(running.engine.events("large", 0), 301)
            assert seqs == list(range(1, 302))
            assert max(stores[0].read_bytes) < 128 * 1024 + 64_100

            stores[0].read_bytes.clear()
            await write_log(store, "one", [b"x" * 64_000] * 30, alone=False)
            stream = running.engine.events("one", 0)
            assert await take_until(stream, 31) == list(range(1, 32))
            await stream.aclose()

            await write_log(store, "small", [b"x"] * 3000)
            stores[0].read_bytes.clear()
            assert await take_until(running.engine.events("small", 0), 3001)
            assert len(stores[0].read_bytes) < 40

    run(main())


@promise("P12")
def test_what_is_held_back_for_one_who_catches_up_is_bounded_and_nothing_is_lost(
    house: House,
) -> None:
    async def main() -> None:
        house.settings = limited(listener_bytes=40_000)
        gates: list[GatedReads] = []

        def wrap(store: Store) -> Store:
            gates.append(GatedReads(store))
            return gates[0]  # type: ignore[return-value]

        async with house.running(scripted_app(), wrap=wrap) as running:
            session = await running.get_session()
            engine = running.engine
            gates[0].lets.clear()
            witness = Witness(0)
            subscription = engine.subscribe(session.id, 0, witness)
            catching = asyncio.create_task(subscription.catch_up())
            for number in range(40):
                value = msgspec.Raw(b'"' + b"x" * 5000 + b'"')
                assign = Assign(id=f"a{number}", name="v", value=value)
                await engine.send(session.id, None, assign)
                held = sum(len(commit.data) for commit in subscription._held)
                assert held <= 10_000
            gates[0].lets.set()
            await catching
            assert (witness.place, witness.faults) == (41, [])
            await engine.send(session.id, None, Assign(id="b", name="w", value=msgspec.Raw(b"1")))
            assert (witness.place, witness.faults, witness.lives) == (42, [], 1)

    run(main())


@promise("P12")
def test_who_was_too_slow_returns_after_its_place_and_others_saw_everything_meanwhile(
    house: House,
) -> None:
    async def main() -> None:
        house.settings = limited(listener_bytes=8_000, listeners_per_session=2)
        async with house.running(scripted_app()) as running:
            session = await running.get_session()
            engine = running.engine
            slow = engine.events(session.id, 0)
            place = (await take_until(slow, 1))[-1]
            quick = engine.events(session.id, 0)
            for turn in range(40):
                await session_say(engine, session, f"m{turn}", "rrr")
                head = (await session.state()).seq
                assert (await take_until(quick, head))[-1] == head
            # It takes no listener's place any more, although nobody has told its reader yet.
            other = engine.events(session.id, 0)
            await anext(other)
            await other.aclose()
            seqs: list[int] = []

            async def take_rest() -> None:
                async for item in slow:
                    assert isinstance(item, Record)
                    seqs.append(item.seq)

            with pytest.raises(Refused) as cut:
                await take_rest()
            assert cut.value.code == "too_slow"
            assert seqs == list(range(place + 1, place + 1 + len(seqs)))
            place = seqs[-1]
            again = engine.events(session.id, place)
            assert await take_until(again, head) == list(range(place + 1, head + 1))
            await again.aclose()
            await quick.aclose()

    run(main())


async def session_say(engine: Engine, session: AsyncLocalSession, id: str, text: str) -> None:  # noqa: A002
    await engine.send(session.id, "local", Say(id=id, text=text))
    await settled(session)


@promise("P12")
def test_ten_thousand_listeners_who_hear_nothing_cost_little(house: House) -> None:
    async def main() -> None:
        async with house.running(scripted_app()) as running:
            engine = running.engine
            session = await running.get_session()
            witness = Witness(0)
            await engine.subscribe(session.id, 0, witness).catch_up()
            gc.collect()
            tracemalloc.start()
            idle = [Witness(0) for _ in range(10_000)]
            before = tracemalloc.get_traced_memory()[0]
            for number, listener in enumerate(idle):
                engine.subscribe(f"session {number}", 0, listener)
            each = (tracemalloc.get_traced_memory()[0] - before) / len(idle)
            tracemalloc.stop()
            assert each < 1000
            looked_at: list[str] = []
            commit = Subscription.commit

            def counted(subscription: Subscription, told: Commit) -> None:
                looked_at.append(subscription.session)
                commit(subscription, told)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Subscription, "commit", counted)
                await session.send_message("rrr")
            assert set(looked_at) == {session.id}
            assert witness.faults == []

    run(main())


# -- ends ---------------------------------------------------------------------------------------


class GatedReads:
    """A store whose reads wait until the test lets them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.lets = asyncio.Event()
        self.lets.set()
        self.waiting = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def read(
        self, session: str, after: int, limit: int = 1000, *, limit_bytes: int = PAGE_BYTES
    ) -> Sequence[Chunk]:
        chunks = await self._store.read(session, after, limit, limit_bytes=limit_bytes)
        self.waiting += 1
        await self.lets.wait()
        return chunks


@promise("P6")
@promise("P11")
@pytest.mark.parametrize("asleep", [False, True])
def test_a_reader_at_the_end_of_a_closed_session_ends(house: House, asleep: bool) -> None:
    async def main() -> None:
        async with house.running(scripted_app()) as running:
            session = await running.get_session()
            await session.send_message("r")
            await session.close()
            if asleep:
                await until(lambda: running.engine.find_live(session.id) is None)
            head = (await session.state()).seq
            for after in (0, head - 1, head, head + 1, 2**70):
                seqs = [r.seq async for r in running.engine.events(session.id, after)]  # type: ignore[union-attr]
                assert seqs == list(range(after + 1, head + 1))

    run(main())


@promise("P6")
@promise("P11")
def test_a_reader_ends_when_the_session_is_closed_while_it_catches_up(house: House) -> None:
    async def main() -> None:
        gates: list[GatedReads] = []

        def wrap(store: Store) -> Store:
            gates.append(GatedReads(store))
            return gates[0]  # type: ignore[return-value]

        async with house.running(scripted_app(), wrap=wrap) as running:
            session = await running.get_session()
            await session.send_message("r")
            head = (await session.state()).seq

            async def read(after: int) -> list[Any]:
                return [item.event async for item in running.engine.events(session.id, after)]  # type: ignore[union-attr]

            gates[0].lets.clear()
            gates[0].waiting = 0
            readers = [asyncio.create_task(read(after)) for after in (0, head)]
            await until(lambda: gates[0].waiting == 2)
            await session.close()
            gates[0].lets.set()
            for events in await asyncio.gather(*readers):
                assert isinstance(events[-1], SessionClosed)

    run(main())


@promise("P11")
def test_readers_are_told_when_the_engine_stops(house: House) -> None:
    async def main() -> None:
        async with house.running(scripted_app()) as running:
            session = await running.get_session()
            stream = running.engine.events(session.id, 0)
            await take_until(stream, 1)
            witness = Witness(0)
            await running.engine.subscribe(session.id, 0, witness).catch_up()
            waiting = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0)
        with pytest.raises(Refused) as told:
            await waiting
        assert told.value.code == "unavailable"
        assert told.value.retry_after
        assert witness.refusal is not None
        assert witness.refusal.code == "unavailable"
        with pytest.raises(Refused):
            await anext(running.engine.events(session.id, 0))

    run(main())


@promise("P11")
def test_readers_are_told_when_the_session_is_erased(house: House) -> None:
    async def main() -> None:
        async with house.running(scripted_app()) as running:
            session = await running.get_session()
            stream = running.engine.events(session.id, 0)
            await take_until(stream, 1)
            waiting = asyncio.ensure_future(anext(stream))
            await running.engine.store.erase(session.id)
            # Its owner learns it by writing.
            await asyncio.gather(session.send_message("r"), return_exceptions=True)
            with pytest.raises(Refused) as told:
                await waiting
            assert told.value.code == "unknown_session"

    run(main())


@promise("P5")
def test_a_reader_whose_past_cannot_be_read_is_told_to_attach_again(house: House) -> None:
    class Broken(Slow):
        async def read(self, *_: object, **__: object) -> Sequence[Chunk]:
            raise StoreUnavailable("the disk is gone")

    async def main() -> None:
        wrap: Any = lambda store: Broken(store, [0])  # noqa: E731
        async with house.running(scripted_app(), wrap=wrap) as running:
            session = await running.get_session()
            with pytest.raises(Refused) as told:
                await anext(running.engine.events(session.id, 0))
            assert told.value.code == "unavailable"
            assert "attach again" in told.value.message

    run(main())


# -- what was recorded elsewhere ----------------------------------------------------------------


async def record_elsewhere(store: Store, session: str, number: int) -> None:
    """Another engine takes the session over and records something."""
    claim = await store.claim(session)
    assert claim is not None
    event = VariableSet(name="v", value=msgspec.Raw(b"1"), command=f"elsewhere {number}")
    entry = Entry(f"elsewhere {number}", encode_events([event]), 1)
    append = Append(session=session, epoch=claim.epoch, after=claim.head, at=2.0, entries=(entry,))
    assert await store.append([append]) == [Appended(claim.head + 1)]


@promise("P2")
@promise("P6")
def test_a_listener_misses_nothing_that_another_engine_recorded_meanwhile(house: House) -> None:
    async def main() -> None:
        async with house.running(scripted_app()) as running:
            engine = running.engine
            session = await running.get_session()
            witness = Witness(0)
            await engine.subscribe(session.id, 0, witness).catch_up()
            stream = engine.events(session.id, 0)
            for number in range(3):
                await session.send_message("wtr")
                await record_elsewhere(engine.store, session.id, number)
                with pytest.raises(Refused):
                    await session.send_message("r")
            await session.send_message("r", id="last")
            head = (await session.state()).seq
            assert await take_until(stream, head) == list(range(1, head + 1))
            await until(lambda: witness.place == head)
            assert (witness.faults, witness.lives) == ([], 1)
            await stream.aclose()

    run(main())


@promise("P2")
@promise("P6")
def test_what_was_written_although_nobody_knew_is_told_without_another_word(house: House) -> None:
    async def main() -> None:
        stores: list[Slow] = []

        def wrap(store: Store) -> Store:
            stores.append(Slow(store, [0]))
            return stores[0]  # type: ignore[return-value]

        async with house.running(scripted_app(), wrap=wrap) as running:
            session = await running.get_session()
            witness = Witness(0)
            await running.engine.subscribe(session.id, 0, witness).catch_up()
            stores[0].failing = 1
            with pytest.raises(Refused):
                await running.engine.send(session.id, "local", Say(id="m", text="r"))
            info = await running.engine.store.find(session.id)
            assert info is not None
            assert witness.place < info.head
            await until(lambda: witness.place >= info.head)
            assert witness.faults == []

    run(main())


# -- the history --------------------------------------------------------------------------------


@given(
    st.lists(st.sampled_from("uvvvvvb"), max_size=120),
    st.lists(st.integers(1, 9), min_size=1, max_size=5),
    st.one_of(st.none(), st.integers(-1, 130)),
    st.integers(0, 40),
    st.tuples(st.integers(1, 3000), st.integers(1, 40)),
)
def test_a_page_of_the_history_is_the_same_as_picked_from_the_whole_log(
    kinds: list[str], sizes: list[int], before: int | None, limit: int, page: tuple[int, int]
) -> None:
    async def main() -> None:
        store = MemoryStore()
        await store.open()
        claim = await store.create("s", "user", 1.0)
        assert claim is not None
        events = [history_event(kind, number) for number, kind in enumerate(kinds)]
        place, lengths = 0, itertools.cycle(sizes)
        while place < len(events):
            part = events[place : place + next(lengths)]
            entry = Entry("", encode_events(part), len(part))
            await store.append(
                [Append(session="s", epoch=claim.epoch, after=place, at=1.0, entries=(entry,))]
            )
            place += len(part)
        until_seq = before if before is not None else len(events) + 1
        wanted = [
            (seq, event.text)
            for seq, event in enumerate(events, 1)
            if isinstance(event, MessageAdded) and seq < until_seq
        ]
        pages = Slow(store, [0])
        pages.page_bytes, records = page
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("parlour.engine.reading._RECORDS", records)
            found = await read_history(pages, "s", before, limit)  # type: ignore[arg-type]
        assert [(said.seq, said.text) for said in found] == (wanted[-limit:] if limit else [])

    run(main())


def history_event(kind: str, number: int) -> Any:
    if kind == "v":
        return VariableSet(name="MessageAdded", value=msgspec.Raw(b'"x"'), path=f"set#{number}")
    role = "user" if kind == "u" else "bot"
    return MessageAdded(role=role, text=f"text {number}", path="" if role == "user" else "p")


@promise("P12")
def test_sparse_messages_of_a_long_log_are_found_without_loading_it_at_once() -> None:
    async def main() -> None:
        inner = MemoryStore()
        await inner.open()
        claim = await inner.create("s", "user", 1.0)
        assert claim is not None
        store = Slow(inner, [0])
        for number in range(1000):
            events = [history_event("v", n) for n in range(99)]
            events.append(history_event("b" if number % 10 == 0 else "v", number))
            entry = Entry("", encode_events(events), 100)
            await inner.append(
                [
                    Append(
                        session="s",
                        epoch=claim.epoch,
                        after=100 * number,
                        at=1.0,
                        entries=(entry,),
                    )
                ]
            )
        found = await read_history(store, "s", None, 1_000_000)  # type: ignore[arg-type]
        assert [said.text for said in found] == [f"text {n}" for n in range(0, 1000, 10)]
        total = sum(store.read_bytes)
        assert max(store.read_bytes) < total / 100
        store.read_bytes.clear()
        newest = await read_history(store, "s", None, 2)  # type: ignore[arg-type]
        assert [said.text for said in newest] == ["text 980", "text 990"]
        assert sum(store.read_bytes) < total / 10

    run(main())
