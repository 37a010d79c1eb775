"""Engines that are wrong on purpose: the checker must catch each, by the promise it breaks.

The faults are put in at the seams that stay as they are (the store's protocol, the frames of the
wire, the agent, the settings), hardly ever into the engine's inside. Installed by `launcher` in the
server's process only.
"""

import asyncio
import contextlib
import logging
import os
import random
import re
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from faults.history import Json
from parlour.agents.handlers import Handlers
from parlour.engine import Engine
from parlour.engine.journal import Journal
from parlour.errors import StoreUnavailable
from parlour.session import Session
from parlour.stores import sqlite_file
from parlour.stores.sqlite import SqliteStore
from parlour.stores.store import Append, Appended, Chunk, Outcome, UserValue
from parlour.transports.websocket import WebSocketEndpoint

KILLS = frozenset({"kill"})
PEACE: frozenset[str] = frozenset()
dice = random.Random(1)


@dataclass(frozen=True)
class Broken:
    """A defect, what must be said of it (one of `seen`), and what brings it out."""

    install: Callable[[], None]
    seen: frozenset[str]
    strikes: frozenset[str] = PEACE
    weights: Mapping[str, int] = field(default_factory=dict)


ENGINES: dict[str, Broken] = {}


def broken(
    name: str, *seen: str, strikes: frozenset[str] = PEACE, **weights: int
) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def enter(install: Callable[[], None]) -> Callable[[], None]:
        ENGINES[name] = Broken(install, frozenset(seen), strikes, weights)
        return install

    return enter


# -- at the wire ----------------------------------------------------------------------------------

Change = Callable[[Json, dict[str, Any]], list[Json]]


def change_frames(
    out: Change | None = None, into: Callable[[Json], list[Json]] | None = None
) -> None:
    """Let `out` change what leaves (it also gets a place for each socket), `into` what comes."""
    serve = WebSocketEndpoint.__call__

    async def call(self: Any, scope: Any, receive: Any, send: Any) -> None:
        memory: dict[str, Any] = {}

        async def changed_receive() -> Any:
            message = await receive()
            if into is not None and message.get("text"):
                frames = [msgspec.json.decode(line) for line in message["text"].split("\n")]
                message = message | {"text": _joined([f for one in frames for f in into(one)])}
            return message

        async def changed_send(message: Any) -> None:
            if out is not None and message["type"] == "websocket.send":
                frames = [msgspec.json.decode(line) for line in message["text"].split("\n")]
                frames = [f for one in frames for f in out(one, memory)]
                if not frames:
                    return
                message = message | {"text": _joined(frames)}
            await send(message)

        await serve(self, scope, changed_receive, changed_send)

    WebSocketEndpoint.__call__ = call  # type: ignore[method-assign]


def _joined(frames: list[Json]) -> str:
    return "\n".join(msgspec.json.encode(frame).decode() for frame in frames)


def _sometimes(kind: str, chance: float, change: Change) -> None:
    def out(frame: Json, memory: dict[str, Any]) -> list[Json]:
        return change(frame, memory) if frame["t"] == kind and dice.random() < chance else [frame]

    change_frames(out)


@broken("skips records on the wire", "P2 protest")
def _() -> None:
    _sometimes("records", 0.03, lambda frame, _: [])


@broken("sends records twice", "P2 protest")
def _() -> None:
    _sometimes("records", 0.03, lambda frame, _: [frame, frame])


@broken("sends records in disorder", "P2 protest")
def _() -> None:
    def swap(frame: Json, memory: dict[str, Any]) -> list[Json]:
        held = memory.pop("held", None)
        if held is not None:
            return [frame, held]
        if frame["t"] == "records" and dice.random() < 0.03:
            memory["held"] = frame
            return []
        return [frame]

    change_frames(swap)


@broken("hides a record from its user", "P6 never seen")
def _() -> None:
    def hide(frame: Json, _: dict[str, Any]) -> list[Json]:
        hidden = [
            None if e is not None and e["type"] == "MessageAdded" else e for e in frame["records"]
        ]
        return [frame | {"records": hidden}]

    _sometimes("records", 0.05, hide)


@broken("changes a text on its way", "P2 seen otherwise")
def _() -> None:
    def change(frame: Json, _: dict[str, Any]) -> list[Json]:
        for event in filter(None, frame["records"]):
            if event["type"] == "MessageAdded":
                event["text"] += "!"
        return [frame]

    _sometimes("records", 0.05, change)


@broken("shows the words of another", "P1 foreign text")
def _() -> None:
    last: list[str] = []

    def leak(frame: Json, _: dict[str, Any]) -> list[Json]:
        for event in filter(None, frame["records"]):
            if event["type"] == "MessageAdded" and event["role"] == "bot":
                last.append(event["text"])
                event["text"] = last[-min(len(last), 3)]
        return [frame]

    _sometimes("records", 0.2, leak)


@broken("shows that a session slept", "P10 seen from inside", sleep=20, patient=0)
def _() -> None:
    def show(frame: Json, _: dict[str, Any]) -> list[Json]:
        shown = [e or {"type": "RoundResumed", "round": 1} for e in frame["records"]]
        return [frame | {"records": shown}]

    _sometimes("records", 1.0, show)


@broken("forgets the text so far", "P6 protest", stream=30)
def _() -> None:
    def forget(frame: Json, memory: dict[str, Any]) -> list[Json]:
        if frame["t"] == "live":
            memory["live"] = True
        elif frame["t"] == "delta" and frame["offset"] == 0 and dice.random() < 0.3:
            return []
        return [frame]

    change_frames(forget)


@broken("acknowledges a repetition at another place", "P4 protest", "P4 acknowledged differently")
def _() -> None:
    def move(frame: Json, _: dict[str, Any]) -> list[Json]:
        return [frame | {"seq": frame["seq"] + 1}] if frame.get("repeated") else [frame]

    _sometimes("ack", 1.0, move)


@broken("never answers some commands", "P12 starved", "P12 unanswered")
def _() -> None:
    _sometimes("ack", 0.1, lambda frame, _: [])


@broken("does not know a session of one's own", "P5 forgotten session")
def _() -> None:
    def unknown(frame: Json, _: dict[str, Any]) -> list[Json]:
        refusal = {
            "t": "refused",
            "code": "unknown_session",
            "message": "There is no such session.",
        }
        return [refusal | {"id": frame["id"], "session": frame["session"]}]

    _sometimes("ack", 0.03, unknown)


@broken("does not say when to come back", "P12 no time to come back")
def _() -> None:
    def refuse(frame: Json, _: dict[str, Any]) -> list[Json]:
        refusal = {"t": "refused", "code": "busy", "message": "Later."}
        return [refusal | {"id": frame["id"], "session": frame["session"]}]

    _sometimes("ack", 0.03, refuse)


# -- in the store ---------------------------------------------------------------------------------


@broken("acknowledges before it is durable", "P5 acknowledged and lost", strikes=KILLS)
def _() -> None:
    write = SqliteStore.append
    waiting: list[Append] = []
    tasks: list[asyncio.Task[None]] = []

    one_at_a_time = asyncio.Lock()

    async def flush(store: SqliteStore) -> None:
        async with one_at_a_time:
            batch, waiting[:] = waiting[:], []
            for item in batch:
                await write(store, [item])

    async def later(store: SqliteStore) -> None:
        while True:
            await asyncio.sleep(0.2)
            await flush(store)

    async def append(store: SqliteStore, batch: Sequence[Append]) -> Sequence[Outcome]:
        if not tasks:
            tasks.append(asyncio.get_running_loop().create_task(later(store)))
        waiting.extend(batch)
        return [Appended(item.after + sum(e.count for e in item.entries)) for item in batch]

    def after_flush(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(store: SqliteStore, *args: Any, **options: Any) -> Any:
            await flush(store)
            return await method(store, *args, **options)

        return call

    SqliteStore.append = append  # type: ignore[method-assign]
    for name in ("read", "find", "claim", "release"):
        setattr(SqliteStore, name, after_flush(getattr(SqliteStore, name)))


@broken("keeps what it refused", "P5 refused and kept")
def _() -> None:
    write = SqliteStore.append

    async def append(store: SqliteStore, batch: Sequence[Append]) -> Sequence[Outcome]:
        outcomes = await write(store, batch)
        if dice.random() < 0.05:
            raise StoreUnavailable("nothing was written")
        return outcomes

    SqliteStore.append = append  # type: ignore[method-assign]
    # A visitor that is refused sends the command again; this one is told for good.
    change_frames(
        lambda frame, _: [frame | {"code": "invalid"} if frame["t"] == "refused" else frame]
    )


def _rewrite_appends(change: Callable[[Json], Json]) -> None:
    """Let `change` have each event on its way into the store."""
    write = SqliteStore.append

    async def append(store: SqliteStore, batch: Sequence[Append]) -> Sequence[Outcome]:
        changed: list[Append] = []
        for item in batch:
            entries = tuple(
                structs.replace(
                    entry,
                    data=msgspec.json.encode([change(e) for e in msgspec.json.decode(entry.data)]),
                )
                for entry in item.entries
            )
            changed.append(structs.replace(item, entries=entries))
        return await write(store, changed)

    SqliteStore.append = append  # type: ignore[method-assign]


@broken("does not keep what it shows", "P5 changed", "P2 seen otherwise")
def _() -> None:
    def change(event: Json) -> Json:
        if event["type"] == "MessageAdded" and dice.random() < 0.05:
            return event | {"text": event["text"] + "?"}
        return event

    _rewrite_appends(change)


@broken("records no ids of commands", "P4 elsewhere", "P5 acknowledged and lost")
def _() -> None:
    _rewrite_appends(lambda event: {k: v for k, v in event.items() if k != "command"})


@broken("lets a stranger's value in", "P1 foreign text", user=40)
def _() -> None:
    values: list[UserValue] = []
    find = SqliteStore.user_value

    async def user_value(store: SqliteStore, user: str, name: str) -> UserValue | None:
        mine = await find(store, user, name)
        if mine is not None:
            values.append(mine)
        return dice.choice(values) if values else None

    SqliteStore.user_value = user_value  # type: ignore[method-assign]


def _forget_on_waking(hide: Callable[[list[Json]], list[Json]]) -> None:
    """Who wakes a session reads its log as `hide` makes it; listeners read it as it is."""
    claim, read = SqliteStore.claim, SqliteStore.read
    wakers: dict[str, object] = {}

    async def changed_claim(store: SqliteStore, session: str) -> Any:
        wakers[session] = asyncio.current_task()
        found = await claim(store, session)
        return None if found is None else structs.replace(found, snapshot=None)

    async def changed_read(
        store: SqliteStore, session: str, after: int, *limit: int, **limits: int
    ) -> Sequence[Chunk]:
        chunks = await read(store, session, after, *limit, **limits)
        if wakers.get(session) is not asyncio.current_task():
            return chunks
        places = iter(hide([e for chunk in chunks for e in msgspec.json.decode(chunk.data)]))
        return [
            structs.replace(
                chunk, data=msgspec.json.encode([next(places) for _ in range(chunk.count)])
            )
            for chunk in chunks
        ]

    SqliteStore.claim = changed_claim  # type: ignore[method-assign]
    SqliteStore.read = changed_read  # type: ignore[method-assign]


def _hidden(*kinds: str) -> Callable[[list[Json]], list[Json]]:
    def hide(events: list[Json]) -> list[Json]:
        return [{"type": "Hidden"} if event["type"] in kinds else event for event in events]

    return hide


@broken(
    "runs a recorded step again",
    "P8 ran again",
    "P8 path repeated",
    "P8 computed",
    patient=40,
    edit=40,
)
def _() -> None:
    _forget_on_waking(_hidden("StepFinished"))


@broken("repeats a reply", "P8 said again", "P8 path repeated", ask=40, edit=40)
def _() -> None:
    def hide(events: list[Json]) -> list[Json]:
        said = [e["type"] == "MessageAdded" and e["role"] == "bot" for e in events]
        return [{"type": "Hidden"} if s else e for s, e in zip(said, events, strict=True)]

    _forget_on_waking(hide)


@broken(
    "forgets a question",
    "P7 forgotten question",
    "P8 path repeated",
    "P7 starved",
    ask=40,
    edit=40,
)
def _() -> None:
    _forget_on_waking(_hidden("QuestionAsked"))


@broken("loses a queued message", "P4 rounds of a message", "P4 starved", "P13 starved")
def _() -> None:
    def hide(events: list[Json]) -> list[Json]:
        begun = {event.get("source") for event in events if event["type"] == "RoundStarted"}
        return [
            {"type": "Hidden"}
            if event["type"] == "MessageAdded" and event["role"] == "user" and seq not in begun
            else event
            for seq, event in enumerate(events, 1)
        ]

    _forget_on_waking(hide)
    # A message waits for its turn while the server dies, once.
    write = SqliteStore.append
    died = Path("died")

    def _is_first(place: Path) -> bool:
        with contextlib.suppress(FileExistsError):
            place.touch(exist_ok=False)
            return True
        return False

    async def append(store: SqliteStore, batch: Sequence[Append]) -> Sequence[Outcome]:
        outcomes = await write(store, batch)
        texts = [entry.data for item in batch for entry in item.entries]
        queued = any(b'"role":"user"' in text and b"RoundStarted" not in text for text in texts)
        if queued and _is_first(died):
            os._exit(9)
        return outcomes

    SqliteStore.append = append  # type: ignore[method-assign]


@broken("forgets a variable", "P5 variable lost", ask=40, sleep=40)
def _() -> None:
    _forget_on_waking(_hidden("VariableSet"))


@broken("opens what was closed", "P11 after the end", close=60)
def _() -> None:
    _forget_on_waking(_hidden("SessionClosed"))
    claim = SqliteStore.claim

    async def opened(store: SqliteStore, session: str) -> Any:
        found = await claim(store, session)
        return None if found is None else structs.replace(found, closed=False)

    SqliteStore.claim = opened  # type: ignore[method-assign]


@broken(
    "goes on with other code in silence",
    "P9 silent divergence",
    strikes=frozenset({"deploy"}),
    edit=200,
)
def _() -> None:
    file = Path("version.txt")
    version = file.read_text() if file.exists() else "1"

    def hide(events: list[Json]) -> list[Json]:
        text = msgspec.json.encode(events).decode()
        return msgspec.json.decode(re.sub(r"version \d+\?", f"version {version}?", text))

    _forget_on_waking(hide)


@broken("lets a second server in", "P3 started", strikes=frozenset({"rival"}))
def _() -> None:
    sqlite_file._lock = lambda descriptor: None


# -- the agent, the settings, the process ---------------------------------------------------------


@broken("runs a step twice", "P8 ran too often", draw=40)
def _() -> None:
    step = Session.step

    async def twice(self: Session, fn: Any, *args: Any, **options: Any) -> Any:
        if asyncio.iscoroutinefunction(fn) and dice.random() < 0.2:
            await fn(*args)
        return await step(self, fn, *args, **options)

    Session.step = twice  # type: ignore[method-assign]


@broken("lets one failure fail another round", "P13 wrong end", fail=30)
def _() -> None:
    respond = Handlers.respond
    failed: list[Exception] = []

    def infect(self: Handlers, session: Session, round_: Any, /) -> Awaitable[None]:
        async def run() -> None:
            if failed:
                raise failed.pop()
            try:
                await respond(self, session, round_)
            except RuntimeError as error:
                failed.append(error)
                raise

        return run()

    Handlers.respond = infect  # type: ignore[method-assign]


@broken("goes on after a stop", "P14 goes on", tick=100)
def _() -> None:
    respond = Handlers.respond
    Journal.adopt = lambda self, task: None  # type: ignore[method-assign]

    def shielded(self: Handlers, session: Session, round_: Any, /) -> Awaitable[None]:
        async def run() -> None:
            if round_.message is None or " tick " not in round_.message.text:
                await respond(self, session, round_)
                return
            # Made without the loop's task factory, so that the round does not own it; nor does it
            # own what that makes.
            inner = asyncio.Task(respond(self, session, round_))  # type: ignore[arg-type]
            await asyncio.shield(inner)

        return run()

    Handlers.respond = shielded  # type: ignore[method-assign]


@broken("does not stop", "P14 wrong end", "P14 not stopped", "P5 acknowledged and lost", tick=60)
def _() -> None:
    def ignore(frame: Json) -> list[Json]:
        return [frame | {"t": "signal", "name": "stop"}] if frame["t"] == "stop" else [frame]

    change_frames(into=ignore)
    change_frames(
        lambda frame, _: [
            {"t": "ack", "id": frame["id"], "session": frame["session"], "seq": 1}
            if frame["t"] == "refused" and frame.get("code") == "unhandled"
            else frame
        ]
    )


@broken("shows internals to the user", "P13 internals shown", fail=40)
def _() -> None:
    os.environ["PARLOUR_DEVELOPMENT"] = "1"


@broken("tells the operator nothing", "P13 no error id", fail=40)
def _() -> None:
    logging.disable(logging.CRITICAL)
    print("the log is somewhere else", file=sys.stderr)


@broken("lets a round record too much", "P12 more than its limit", flood=40)
def _() -> None:
    os.environ["PARLOUR_LIMITS__RECORDS_PER_ROUND"] = "400"


@broken("ends badly", "P11 disorderly end", strikes=frozenset({"restart"}))
def _() -> None:
    stop = Engine.stop

    async def crash(self: Engine) -> None:
        await stop(self)
        os._exit(7)

    Engine.stop = crash  # type: ignore[method-assign]


@broken("ends by itself", "P13 server ended")
def _() -> None:
    write = SqliteStore.append

    async def append(store: SqliteStore, batch: Sequence[Append]) -> Sequence[Outcome]:
        if dice.random() < 0.01:
            os._exit(9)
        return await write(store, batch)

    SqliteStore.append = append  # type: ignore[method-assign]


@broken("takes all the memory", "P12 memory")
def _() -> None:
    hoard: list[bytearray] = []
    change_frames(
        lambda frame, _: (
            (hoard.append(bytearray(b"x") * 8_000_000), [frame])[1] if len(hoard) < 80 else [frame]
        )
    )
