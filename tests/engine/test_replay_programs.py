"""Random handlers that crash at random moments say and remember what they would have anyway."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest
from house import House, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import parlour
from parlour.engine.local import AsyncLocalSession, AsyncRunning
from parlour.events import (
    Answer,
    MessageAdded,
    QuestionAsked,
    RoundFinished,
    RoundResumed,
    Say,
    SessionOpened,
)
from parlour.testing import VirtualClock

promise = pytest.mark.promise

Node = tuple[Any, ...]
"""What a handler does: a word, and the programs inside of it."""

SIMPLE = ("reply", "set", "get", "see", "now", "receipt", "ask", "ask", "step", "step", "sleep")
ALONE = ("fetch", "user")
"""What takes as long as the store likes."""
RARE = ("busy step", "stream", "fail")
NESTED = ("gather", "race", "asyncio")


def programs(*, branches: bool) -> st.SearchStrategy[list[Node]]:
    leaf = st.tuples(st.sampled_from(SIMPLE + (RARE if branches else ALONE)))
    if not branches:
        return st.lists(leaf, min_size=1, max_size=8)
    node = st.recursive(
        leaf,
        lambda inner: st.tuples(
            st.sampled_from(NESTED),
            st.lists(st.lists(inner, min_size=1, max_size=4), min_size=1, max_size=3),
        ),
        max_leaves=12,
    )
    return st.lists(node, min_size=1, max_size=5)


class Crash(NamedTuple):
    """When the worker dies: around what the driver does to some label, so many turns later."""

    before: bool
    turns: int


PLANS = st.dictionaries(
    st.integers(0, 12), st.builds(Crash, st.booleans(), st.integers(0, 40)), max_size=4
)


class World:
    """What is outside of the session: gates that steps wait at, opened one at a time."""

    def __init__(self) -> None:
        self.gates: dict[str, asyncio.Future[None]] = {}

    async def wait(self, label: str) -> None:
        gate = self.gates[label] = asyncio.get_running_loop().create_future()
        try:
            await gate
        finally:
            if self.gates.get(label) is gate:
                del self.gates[label]


class Handler:
    """One run of a program; `trace` is what its branches share without telling the journal."""

    def __init__(self, world: World, session: parlour.Session) -> None:
        self._world = world
        self._session = session
        self._groups: list[str] = []
        self.trace: list[str] = []

    def note(self, label: str, value: object = "") -> None:
        self.trace.append(f"{label}={value}")
        self._session.reply(f"{len(self.trace)} {label} {value}")

    async def program(self, nodes: list[Node], label: str) -> None:
        for number, node in enumerate(nodes):
            await self.node(node, f"{label}.{number}")

    async def node(self, node: Node, label: str) -> None:
        match node:
            case (word, branches):
                await self.branches(word, branches, label)
            case (word,):
                await self.leaf(word, label)
            case _:
                raise AssertionError(node)

    async def leaf(self, word: str, label: str) -> None:
        session = self._session
        match word:
            case "reply":
                self.note(label)
            case "set":
                session.set("x", session.get("x", 0) * 3 + len(self.trace))
            case "get":
                self.note(label, session.get("x"))
            case "see":
                seen = [f"{item.role}: {item.text[:20]} at {item.at}" for item in session.history]
                self.note(label, seen)
            case "now":
                session.random()
            case "receipt":
                await session.reply(f"receipt {label}")
                self.trace.append(label)
            case "ask":
                self.note(label, await session.ask(label, name=label))
            case "sleep":
                await session.sleep(10 + _rank(label) % 1000)
                self.trace.append(label)
            case "fail":
                self.trace.append(label)
                raise ValueError(label)
            case _:
                await self.rare(word, label)

    async def rare(self, word: str, label: str) -> None:
        session = self._session
        match word:
            case "step":
                seen = [(item.seq, item.role, item.at) for item in session.history]
                self.note(label, await session.step(self.gated, label, seen, name=label))
            case "busy step":
                self.note(label, await session.step(self.busy, label, name=label))
            case "stream":
                async with session.stream() as out:
                    if not out.recorded:
                        out.write(f"{label} be")
                        await self._world.wait(label)
                        out.write("gun")
                self.note(label, out.text)
            case "fetch":
                self.note(label, [item.text for item in await session.fetch_history(limit=5)])
            case "user":
                session.user.set("y", label)
                self.note(label, await session.user.get("z", "nobody"))
            case _:
                raise AssertionError(word)

    async def gated(self, label: str, seen: list[Any]) -> str:
        await self._world.wait(label)
        return f"{label} saw {len(seen)}"

    async def busy(self, label: str) -> str:
        self._session.set("x", _rank(label))
        self._session.reply(f"inside {label}")
        await self._world.wait(label)
        return label

    async def branch(self, nodes: list[Node], label: str) -> str:
        try:
            await self.program(nodes, label)
        except asyncio.CancelledError:
            # Raw tasks are cancelled all at once and end as they can, so nothing is told of that.
            if not any(label.startswith(group) for group in self._groups):
                self.note(label, "cancelled")
            raise
        return label

    async def branches(self, word: str, branches: list[list[Node]], label: str) -> None:
        if word == "asyncio":
            self._groups.append(f"{label}.")
        parts = [self.branch(nodes, f"{label}.{n}") for n, nodes in enumerate(branches)]
        try:
            self.note(label, await self.together(word, parts))
        except ValueError as failure:
            self.note(label, type(failure).__name__)

    async def together(self, word: str, parts: list[Any]) -> object:
        match word:
            case "gather":
                return await self._session.gather(*parts)
            case "race":
                return await self._session.race(*parts)
            case _:
                return await asyncio.gather(*parts, return_exceptions=True)


def app_of(nodes: list[Node], world: World) -> parlour.App:
    app = parlour.App()

    @app.on_message
    async def talk(session: parlour.Session, message: parlour.Message) -> None:
        if message.text != "go":
            session.reply(f"heard {message.text}")
            return
        handler = Handler(world, session)
        try:
            await handler.program(nodes, "p")
        except ValueError as failure:
            session.reply(f"failed {failure}")
        session.reply(" ".join(handler.trace))

    return app


def _rank(*parts: object) -> int:
    return int.from_bytes(blake2b(repr(parts).encode(), digest_size=4).digest())


class Driver:
    """Plays the user, the world and time: one thing after another, each when all is still.

    What comes next depends on nothing but the seed and what is open, so that a run that crashes
    meets the same as one that does not.
    """

    def __init__(
        self, house: House, nodes: list[Node], seed: int, plan: Mapping[int, Crash], said: set[int]
    ) -> None:
        self._house = house
        self._nodes = nodes
        self._seed = seed
        self._plan = dict(plan)
        self._said = said
        self._done: list[str] = []
        self._told: set[str] = set()
        self._world = World()
        self.crashes = 0
        self._session = ""

    async def play(self) -> list[Any]:
        """The session's log at the end, without what only says that it was resumed."""
        while True:
            async with self._house.running(app_of(self._nodes, self._world)) as running:
                session = await running.get_session(self._session or None)
                if not self._session:
                    self._session = session.id
                    await running.engine.send(session.id, "local", Say(id="go", text="go"))
                log = await self.until_crash(running, session)
                if log is not None:
                    return log
                self.crashes += 1
                await self._house.crash(running)
                self._world.gates.clear()
                self._told.clear()

    async def until_crash(self, running: AsyncRunning, session: AsyncLocalSession) -> Any:
        while True:
            await self.still(running)
            state = await session.state()
            if state.round is None and not state.queue:
                return [
                    record.event
                    for record in await session.records()
                    if not isinstance(record.event, RoundResumed | SessionOpened)
                    # What was shown of a message when its branch was ended may die with a worker.
                    and not (isinstance(record.event, MessageAdded) and record.event.cut)
                ]
            label = self.next_label(state)
            number = self._done.index(label) if label in self._done else len(self._done)
            if label not in self._done:
                self._done.append(label)
            if number in self._said and label not in self._told:
                self._told.add(label)
                say = Say(id=f"say {label}", text=f"beside {label}")
                await running.engine.send(session.id, "local", say)
                continue
            crash = self._plan.pop(number, None)
            if crash is None or not crash.before:
                await self.act(running, state, label)
            if crash is not None:
                for _ in range(crash.turns):
                    await asyncio.sleep(0)
                return None

    def next_label(self, state: Any) -> str:
        open_: list[str] = list(self._world.gates)
        asked = [state.round.journal[path].event for path in state.round.questions.values()]
        open_ += [event.text for event in asked]
        if state.round.timers:
            open_.append(f"time {min(state.round.timers.values())}")
        assert open_, "the round waits for nothing, and does not end"
        return min(open_, key=lambda label: _rank(self._seed, label))

    async def act(self, running: AsyncRunning, state: Any, label: str) -> None:
        clock = self._house.clock
        assert clock is not None
        if label in self._world.gates:
            self._world.gates[label].set_result(None)
        elif label.startswith("time "):
            clock.advance(max(0.0, float(label[5:]) - clock.time()))
        else:
            question = next(
                seq
                for seq, path in state.round.questions.items()
                if state.round.journal[path].event.text == label
            )
            answer = Answer(id=f"to {label}", question=question, text=f"re {label}")
            running.engine.submit(self._session, "local", answer, lambda _: None)

    async def still(self, running: AsyncRunning) -> None:
        """Wait until nothing moves any more: neither the log nor who waits for what."""
        before: Any = None
        quiet = 0
        while quiet < 25:
            await asyncio.sleep(0)
            now = await self.place(running)
            quiet = quiet + 1 if now == before and now is not None else 0
            before = now

    async def place(self, running: AsyncRunning) -> Any:
        engine = running.engine
        activation = engine.find_live(self._session)
        clock = self._house.clock
        assert clock is not None
        if activation is None:
            due = dict(await engine.store.due(clock.time(), 10))
            return None if self._session in due else "asleep"
        journal = activation.runner.journal
        turns = None if journal is None else journal.turns
        if activation.durable != activation.state.seq or (turns is not None and turns._looking):
            return None
        due = activation.state.due
        if due is not None and due <= clock.time():
            return None
        waits = () if journal is None else tuple(sorted(journal.waits))
        return activation.durable, tuple(self._world.gates), waits


def play(kind: str, nodes: list[Node], seed: int, plan: dict[int, Crash], said: set[int]) -> Any:
    async def main() -> Any:
        with tempfile.TemporaryDirectory() as folder:
            house = House(kind, Path(folder))
            house.clock = VirtualClock()
            house.settings = parlour.Settings(
                limits=parlour.Limits(resumptions=50, round_seconds=1e9)
            )
            driver = Driver(house, nodes, seed, plan, said)
            return await driver.play()

    return run(main())


def check(kind: str, nodes: list[Node], seed: int, plan: dict[int, Crash], said: set[int]) -> None:
    smooth = play(kind, nodes, seed, {}, said)
    assert next(e.status for e in smooth if isinstance(e, RoundFinished)) == "done"
    rough = play(kind, nodes, seed, plan, said)
    assert [describe(event) for event in rough] == [describe(event) for event in smooth]


def describe(event: Any) -> object:
    """An event without the numbers that a resumption shifts and what chance gave."""
    name = type(event).__name__
    if isinstance(event, QuestionAsked):
        return name, event.path, event.text
    parts = {key: getattr(event, key) for key in event.__struct_fields__}
    for shifted in ("question", "digest", "source"):
        parts.pop(shifted, None)
    path = str(parts.get("path", ""))
    if "random#" in path or "history#" in path:
        parts.pop("value")
    return name, tuple((key, _plain(value)) for key, value in parts.items())


def _plain(value: object) -> object:
    return bytes(cast("Any", value)) if type(value).__name__ == "Raw" else value


@promise("P8")
@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(programs(branches=False), st.integers(0, 9), PLANS, st.sets(st.integers(0, 8), max_size=2))
def test_a_handler_that_crashes_says_what_it_would_have_said_anyway(
    nodes: list[Node], seed: int, plan: dict[int, Crash], said: set[int]
) -> None:
    check("memory", nodes, seed, plan, said)


@promise("P8")
@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(programs(branches=True), st.integers(0, 9), PLANS, st.sets(st.integers(0, 8), max_size=2))
def test_branches_that_share_what_the_journal_does_not_know_go_on_in_the_same_order(
    nodes: list[Node], seed: int, plan: dict[int, Crash], said: set[int]
) -> None:
    check("memory", nodes, seed, plan, said)


@promise("P8")
@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(programs(branches=True), st.integers(0, 9), PLANS, st.sets(st.integers(0, 8), max_size=2))
def test_the_same_holds_on_a_disk(
    nodes: list[Node], seed: int, plan: dict[int, Crash], said: set[int]
) -> None:
    check("sqlite", nodes, seed, plan, said)
