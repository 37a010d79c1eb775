"""Many conversations while the server is killed and the cables are pulled; nothing may be wrong."""

import random
import threading
from collections import Counter
from collections.abc import Callable

import pytest
from checker import Log, violations
from client import Client
from live_server import LiveServer

promise = pytest.mark.promise

SEED = 20251121
VISITORS = 20
KILLS = 7
SECONDS = 12.0
CUTS = 0.03
REPEATS = 0.1

APP = """
import asyncio
import uuid
from pathlib import Path

import parlour

HERE = Path(__file__).parent
app = parlour.App()


async def draw(who):
    token = f"token-{uuid.uuid4().hex[:12]}"
    with (HERE / "ran.txt").open("a") as file:
        file.write(f"{who} {token}\\n")
    return token


@app.on_open
async def greet(session):
    session.reply("Welcome.")


@app.on_message
async def talk(session, message):
    name, kind, number = message.text.split()
    session.set("count", session.get("count", 0) + 1)
    count = session.get("count")
    match kind:
        case "echo":
            session.reply(f"{name} said {number}, its message {count}")
        case "draw":
            token = await session.step(draw, name)
            session.reply(f"{name} drew {token}")
            other = await session.step(draw, name)
            session.reply(f"{name} drew also {other}, its message {count}")
        case "ask":
            first = await session.ask(f"{name}, what first?")
            second = await session.ask(f"{name}, what after {first}?")
            session.reply(f"{name} wants {first} and {second}, its message {count}")
        case "stream":
            async with session.stream() as out:
                for piece in range(20):
                    out.write(f"{name} {number} {piece} ")
                    await asyncio.sleep(0.004)
        case "sleep":
            await session.sleep(0.15)
            session.reply(f"{name} slept, its message {count}")
"""
KINDS = ("echo", "echo", "draw", "ask", "stream", "sleep")


class Visitor:
    """Talks until it is told to stop, each sentence by the dice of its own seed."""

    def __init__(self, client: Client, seed: int, over: threading.Event) -> None:
        self.client = client
        self.failure: BaseException | None = None
        self.cuts = 0
        self._dice = random.Random(seed)
        self._over = over
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self.client.connect()
            self._talk()
        except BaseException as failure:  # noqa: BLE001 - the test's own thread raises it
            self.failure = failure
        finally:
            self.client.leave()

    def _talk(self) -> None:
        client, dice = self.client, self._dice
        sessions = [client.open()]
        said = Counter[str]()
        while not self._over.is_set():
            if len(sessions) < 3 and dice.random() < 0.05:
                sessions.append(client.open())
            session = dice.choice(sessions)
            # Sometimes two at once: the second waits for its turn.
            kinds = [dice.choice(KINDS)] if dice.random() < 0.8 else ["echo", dice.choice(KINDS)]
            for kind in kinds:
                said[session] += 1
                command = client.say(session, f"{client.name} {kind} {said[session]}")
                if dice.random() < REPEATS:
                    client.send(client.history.sent[command])
                self._perhaps_cut()
            if kinds[-1] == "ask":
                self._answer(session)
                self._answer(session)
            self._perhaps_cut()
            # The round of `on_open` comes first.
            client.wait_finished(session, 1 + said[session], 30)
        client.wait(lambda: not client.unanswered(), "everything is answered", 30)

    def _answer(self, session: str) -> None:
        client = self.client
        question = client.question(session)
        text = f"{client.name}-{self._dice.randrange(1000)}"
        if self._dice.random() < 0.5:
            command = client.answer(session, question, text=text)
        else:
            command = client.say(session, text)
        self._perhaps_cut()
        client.acked(command)

    def _perhaps_cut(self) -> None:
        if self._dice.random() < CUTS:
            self.cuts += 1
            self.client.cut()
            self.client.connect(30)


@promise("P1")
@promise("P2")
@promise("P4")
@promise("P5")
@promise("P6")
@promise("P7")
@promise("P8")
def test_a_storm_of_kills_and_cuts_changes_nothing_that_was_promised(
    serve: Callable[..., LiveServer],
) -> None:
    server = serve(APP)
    over = threading.Event()
    dice = random.Random(SEED)
    visitors = [
        Visitor(Client(server.ws, name=f"visitor{number:02}"), SEED + number, over)
        for number in range(VISITORS)
    ]
    for visitor in visitors:
        visitor.thread.start()
    try:
        for _ in range(KILLS):
            over.wait(dice.uniform(0.3, 1.0) * SECONDS / KILLS)
            server.kill()
            server.start()
    finally:
        over.set()
        for visitor in visitors:
            visitor.thread.join(60)
    for visitor in visitors:
        assert visitor.failure is None, visitor.failure
    server.kill()

    histories = [visitor.client.history for visitor in visitors]
    logs = {session: Log(user, server.log(session)) for session, user in server.owners().items()}
    assert violations(histories, logs, server.lines("ran.txt")) == []

    opened = {acks[0][0] for history in histories for acks in history.acks.values()}
    assert set(logs) == opened, "a repeated `open` made another session"
    kinds = Counter(event["type"] for log in logs.values() for event in log.events)
    assert kinds["RoundFinished"] > 100, "that was no storm"
    assert kinds["RoundResumed"] >= KILLS, "no round was hit by a kill"
    assert sum(visitor.cuts for visitor in visitors) >= 10
    assert sum(visitor.client.repeated for visitor in visitors) >= 10
    assert len({visitor.client.history.user for visitor in visitors}) == VISITORS
