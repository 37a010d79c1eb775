"""Several engines on one store: what one of them cannot do, another does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from house import run, until

import parlour
from parlour.engine import Engine
from parlour.engine.bus import Bus, NoBus
from parlour.engine.bus_postgres import PostgresBus
from parlour.engine.reader import Reader
from parlour.errors import Refused
from parlour.events import Close, Rate, Rename, Say, Stop
from parlour.stores.files import Files
from parlour.stores.postgres import PostgresStore
from postgres import database, run_sql

REDIS = "redis://127.0.0.1:6379"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with database() as made:
        yield made


class Town:
    """Engines that share a database and, unless it is down, a bus."""

    def __init__(self, address: str, folder: Path, bus: str) -> None:
        self.address = address
        self.bus = bus
        self._folder = folder
        self.settings = parlour.Settings(development=True, lease_seconds=1.0)

    def engine(self, app: parlour.App, **settings: object) -> Engine:
        return Engine(
            app,
            PostgresStore(self.address),
            files=Files(self._folder / "files"),
            secret=b"k" * 32,
            settings=parlour.Settings(development=True, **{"lease_seconds": 1.0, **settings}),
            bus=self._bus(),
        )

    def _bus(self) -> Bus:
        match self.bus:
            case "postgres":
                return PostgresBus(self.address)
            case "redis":
                from parlour.engine.bus_redis import RedisBus

                return RedisBus(REDIS)
            case _:
                return NoBus()

    @asynccontextmanager
    async def engines(
        self, app: parlour.App, count: int = 2, **settings: object
    ) -> AsyncGenerator[list[Engine]]:
        engines = [self.engine(app, **settings) for _ in range(count)]
        for engine in engines:
            await engine.__aenter__()
        try:
            yield engines
        finally:
            for engine in engines:
                await engine.stop()


@pytest.fixture(params=["none", "postgres", "redis"])
def town(address: str, tmp_path: Path, request: pytest.FixtureRequest) -> Town:
    if request.param == "redis":
        redis = pytest.importorskip("redis")
        try:
            redis.Redis.from_url(REDIS).ping()
        except redis.ConnectionError:
            pytest.skip("no Redis at hand")
    run_sql(
        "DO $$ BEGIN IF to_regclass('parlour.session') IS NOT NULL THEN TRUNCATE parlour.session,"
        " parlour.chunk, parlour.inbox, parlour.worker, parlour.snapshot; END IF; END $$",
        address,
    )
    return Town(address, tmp_path, request.param)


class Window(Reader):
    """A listener that keeps what it is told."""

    def __init__(self, engine: Engine, session: str) -> None:
        super().__init__(1 << 22)
        self.texts: list[str] = []
        self.seqs: list[int] = []
        self.types: list[str] = []
        self.deltas: list[str] = []
        self.over: Refused | None = None
        self._subscription = engine.subscribe(session, 0, self)
        self.caught_up = asyncio.create_task(self._subscription.catch_up())

    def commit(self, commit):
        for seq, event in enumerate(commit.events, commit.first):
            self.seqs.append(seq)
            self.types.append(type(event).__name__)
            if hasattr(event, "role"):
                self.texts.append(event.text)

    def delta(self, session, delta):
        self.deltas.append(delta.text)

    def ended(self, session, refusal):
        self.over = refusal

    def check(self) -> None:
        assert self.seqs == list(range(1, len(self.seqs) + 1)), "no gap, no repeat, in order"


def echo() -> parlour.App:
    app = parlour.App()

    @app.on_message
    async def answer(session, message):
        session.reply(f"echo {message.text}")

    return app


async def opened(engine: Engine, command: str = "o1") -> str:
    return (await engine.open("ann", command)).session


async def finished(engine: Engine, session: str, rounds: int) -> None:
    async def enough() -> bool:
        return (
            sum([type(r.event).__name__ == "RoundFinished" async for r in engine.records(session)])
            >= rounds
        )

    while not await enough():
        await asyncio.sleep(0.01)


@pytest.mark.promise("P2")
@pytest.mark.promise("P4")
@pytest.mark.promise("P6")
def test_a_command_that_comes_elsewhere_is_answered_there(town):
    async def scenario():
        async with town.engines(echo()) as (one, two):
            session = await opened(one)
            windows = [Window(engine, session) for engine in (one, two)]
            for number in range(5):
                engine = (one, two)[number % 2]
                accepted = await engine.send(session, "ann", Say(id=f"m{number}", text=f"{number}"))
                again = await two.send(session, "ann", Say(id=f"m{number}", text=f"{number}"))
                assert (again.seq, again.repeated) == (accepted.seq, True)
            wanted = [text for n in range(5) for text in (f"{n}", f"echo {n}")]
            for window in windows:
                await until(lambda window=window: len(window.texts) >= len(wanted))
                assert window.texts == wanted
                window.check()
            assert two.find_live(session) is None

    run(scenario())


def test_a_conversation_that_lives_elsewhere_is_named_and_answers_are_rated(town):
    async def scenario():
        async with town.engines(echo()) as (one, two):
            session = await opened(one)
            await one.send(session, "ann", Say(id="m1", text="hello"))
            await until(lambda: one.find_live(session).state.round is None)

            await two.send(session, "ann", Rename(id="n1", title="Named elsewhere"))

            assert one.find_live(session).state.name.title == "Named elsewhere"
            bots = [said.seq for said in one.find_live(session).state.view.history]
            await two.send(session, "ann", Rate(id="r1", message=bots[-1], rating="up"))
            assert two.find_live(session) is None

    run(scenario())


@pytest.mark.promise("P4")
def test_what_the_owner_refuses_is_refused_elsewhere_in_the_same_words(town):
    async def scenario():
        async with town.engines(echo()) as (one, two):
            session = await opened(one)
            for _ in range(2):
                with pytest.raises(Refused) as here:
                    await one.send(session, "ann", Stop(id="s1", round=7))
                with pytest.raises(Refused) as there:
                    await two.send(session, "ann", Stop(id="s2", round=7))
                assert (there.value.code, there.value.message) == (
                    here.value.code,
                    here.value.message,
                )
            assert await two.store.inbox(session) == []
            await two.send(session, "ann", Close(id="c"))
            with pytest.raises(Refused) as closed:
                await two.send(session, "ann", Say(id="late", text="late"))
            assert closed.value.code == "closed"

    run(scenario())


@pytest.mark.promise("P17")
def test_nobody_elses_session_is_there_elsewhere(town):
    async def scenario():
        async with town.engines(echo()) as (one, two):
            session = await opened(one)
            await two.send(session, "ann", Say(id="m", text="hi"))
            for engine in (one, two):
                for id_ in (session, "0" * 32):
                    with pytest.raises(Refused) as refused:
                        await engine.send(id_, "bob", Say(id="b", text="let me in"))
                    assert refused.value.code == "unknown_session"
            await finished(one, session, 1)

    run(scenario())


@pytest.mark.promise("P4")
def test_two_engines_that_open_the_same_session_open_it_once(town):
    async def scenario():
        async with town.engines(echo(), count=3) as engines:
            for number in range(5):
                found = await asyncio.gather(
                    *(engine.open("ann", f"o{number}") for engine in engines)
                )
                assert len({each.session for each in found}) == 1
                records = [r async for r in engines[0].records(found[0].session)]
                assert [type(record.event).__name__ for record in records].count(
                    "SessionOpened"
                ) == 1

    run(scenario())


@pytest.mark.promise("P6")
def test_a_listener_elsewhere_sees_a_message_while_it_is_written(town):
    go = asyncio.Event()
    app = parlour.App()

    @app.on_message
    async def answer(session, message):
        async with session.stream() as stream:
            stream.write("one ")
            await go.wait()
            stream.write("two")

    async def scenario():
        async with town.engines(app) as (one, two):
            session = await opened(one)
            early = Window(two, session)
            await early.caught_up
            await one.send(session, "ann", Say(id="m", text="go on"))
            if town.bus != "none":
                await until(lambda: "one " in early.deltas)
                late = Window(two, session)
                await until(lambda: "one " in late.deltas)
            go.set()
            await until(lambda: "one two" in early.texts)
            early.check()

    run(scenario())


@pytest.mark.promise("P3")
@pytest.mark.promise("P5")
@pytest.mark.promise("P7")
@pytest.mark.promise("P8")
def test_what_a_dead_worker_has_left_goes_on_elsewhere(town):
    calls: list[str] = []
    runs: list[str] = []
    app = parlour.App()

    @app.on_message
    async def answer(session, message):
        runs.append(message.text)
        await session.step(calls.append, message.text)
        if len(runs) == 1:
            await asyncio.Event().wait()
        session.reply(f"done {message.text}")

    async def scenario():
        async with town.engines(app) as (one, two):
            session = await opened(one)
            window = Window(two, session)
            await one.send(session, "ann", Say(id="m", text="work"))
            await until(lambda: calls == ["work"])
            held = one.find_live(session)
            await until(lambda: held.durable == held.state.seq and held.state.round.journal)
            waiting = asyncio.create_task(two.send(session, "ann", Say(id="m2", text="next")))
            await _die(one)
            await until(lambda: "done work" in window.texts)
            await waiting
            await until(lambda: "done next" in window.texts)
            assert calls == ["work", "next"]
            window.check()
            assert two.find_live(session) is not None

    run(scenario())


async def _die(engine: Engine) -> None:
    """Be heard of no more, as after `kill -9`: the process is gone, its lease runs out."""
    workers = engine.workers
    for task in (workers._leases._task, workers._polling):
        task.cancel()
    engine._keeping.cancel()
    engine.committer._task.cancel()


@pytest.mark.promise("P3")
def test_a_worker_that_was_paused_drops_what_it_did(town):
    app = echo()

    async def scenario():
        async with town.engines(app) as (one, two):
            session = await opened(one)
            await one.send(session, "ann", Say(id="m1", text="1"))
            await finished(one, session, 1)
            window = Window(one, session)
            await window.caught_up
            heart = one.workers._leases
            heart._task.cancel()
            await _expired(two, one)
            await two.send(session, "ann", Say(id="m2", text="2"))
            assert two.find_live(session) is not None
            stale = one.find_live(session)
            assert stale is not None
            with pytest.raises(Refused) as refused:
                await one.send(session, "ann", Say(id="m3", text="3"))
            assert (refused.value.code, refused.value.retry_after) == ("unavailable", 1.0)
            heart._task = asyncio.create_task(heart._run())
            accepted = await _until_accepted(one, session, Say(id="m3", text="3"))
            assert not accepted.repeated
            await until(lambda: window.texts[-1:] == ["echo 3"])
            assert window.texts == [t for n in "123" for t in (n, f"echo {n}")]
            window.check()

    run(scenario())


async def _expired(by: Engine, other: Engine) -> None:
    while other.workers.id in await by.store.living():
        await asyncio.sleep(0.05)


async def _until_accepted(engine, session, command):
    while True:
        try:
            return await engine.send(session, "ann", command)
        except Refused as refused:
            if refused.retry_after is None:
                raise
            await asyncio.sleep(0.05)


@pytest.mark.promise("P3")
def test_a_worker_that_wakes_late_drops_what_others_have_taken_over(town):
    app = parlour.App()

    @app.on_message
    async def answer(session, message):
        await session.ask("And?")

    async def scenario():
        async with town.engines(app, idle_after=60.0) as (one, two):
            session = await opened(one)
            await one.send(session, "ann", Say(id="m1", text="1"))
            heart = one.workers._leases
            heart._task.cancel()
            await _expired(two, one)
            await two.send(session, "ann", Say(id="m2", text="2"))
            stale = one.find_live(session)
            assert stale is not None
            heart._task = asyncio.create_task(heart._run())
            await until(lambda: stale.gone)
            assert two.find_live(session) is not None

    run(scenario())


@pytest.mark.promise("P5")
@pytest.mark.promise("P7")
def test_a_worker_that_stops_hands_its_sessions_over_at_once(town):
    stuck = asyncio.Event()
    runs: list[str] = []
    app = parlour.App()

    @app.on_message
    async def answer(session, message):
        runs.append(message.text)
        if len(runs) <= 3:
            await stuck.wait()
        session.reply(f"done {message.text}")

    async def scenario():
        async with town.engines(app, lease_seconds=600.0) as (one, two):
            sessions = [await opened(one, f"o{number}") for number in range(3)]
            windows = [Window(two, session) for session in sessions]
            for session in sessions:
                await one.send(session, "ann", Say(id="m", text=session))
            await until(lambda: len(runs) == 3)
            await one.stop()
            for window, session in zip(windows, sessions, strict=True):
                await until(lambda w=window, s=session: f"done {s}" in w.texts)
                window.check()
            assert two.live == 3

    run(scenario())


@pytest.mark.promise("P11")
def test_a_session_erased_here_is_gone_everywhere(town):
    async def scenario():
        async with town.engines(echo()) as (one, two):
            session = await opened(one)
            await one.send(session, "ann", Say(id="m", text="x"))
            await finished(one, session, 1)
            window = Window(two, session)
            await window.caught_up
            assert await two.erase(session)
            await until(lambda: window.over is not None)
            assert window.over.code == "unknown_session"
            for engine in (one, two):
                refused = await _refused(engine, session, Say(id="m2", text="x"))
                assert refused.code == "unknown_session"

    run(scenario())


async def _refused(engine, session, command) -> Refused:
    """The last word on a command that will never be taken."""
    while True:
        try:
            await engine.send(session, "ann", command)
        except Refused as refused:
            if refused.retry_after is None:
                return refused
            await asyncio.sleep(0.05)


def test_many_sessions_of_a_dead_worker_are_taken_over_soon(town):
    if town.bus != "postgres":
        pytest.skip("the store alone decides this")
    stuck = asyncio.Event()
    count = 100
    app = parlour.App()
    begun: list[str] = []

    @app.on_message
    async def answer(session, message):
        begun.append(message.text)
        if len(begun) <= count:
            await stuck.wait()
        session.reply("done")

    async def scenario():
        async with town.engines(app) as (one, two):
            sessions = await asyncio.gather(*(opened(one, f"o{n}") for n in range(count)))
            await asyncio.gather(
                *(one.send(session, "ann", Say(id="m", text="x")) for session in sessions)
            )
            await until(lambda: len(begun) == count)
            await _die(one)
            await until(lambda: len(begun) == 2 * count)
            await asyncio.gather(*(finished(two, session, 1) for session in sessions))

    run(scenario())


@pytest.mark.promise("P4")
def test_a_session_that_its_maker_has_forgotten_is_begun_when_asked_for_elsewhere(town):
    async def scenario():
        async with town.engines(echo()) as (one, two):
            session = one.session_id("ann", "o1")
            await one.store.create(session, "ann", 0.0)
            assert await opened(two) == session
            await two.send(session, "ann", Say(id="m", text="x"))
            await finished(two, session, 1)

    run(scenario())
