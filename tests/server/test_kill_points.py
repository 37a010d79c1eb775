"""`kill -9` at each point of a round: the visitor comes back and nothing is lost or done twice."""

import threading
from collections.abc import Callable

import pytest
from client import Client
from live_server import LiveServer, wait_until

from faults.case import Log
from faults.checker import violations

promise = pytest.mark.promise

APP = """
import asyncio
from pathlib import Path

import parlour

HERE = Path(__file__).parent
app = parlour.App()


def note(what):
    with (HERE / "ran.txt").open("a") as file:
        file.write(what + "\\n")


async def hold(point):
    '''Stand still here, if the test wants that.'''
    place = HERE / "hold-at"
    if place.exists() and place.read_text() == point:
        (HERE / "reached").touch()
        await asyncio.Event().wait()


async def price():
    note("price")
    await hold("in a step")
    return 42


async def book(name):
    note("book " + name)
    await hold("after an answer")
    return "B7"


@app.on_message
async def talk(session, message):
    cost = await session.step(price)
    await session.set("cost", cost)
    await hold("between step and reply")
    await session.reply(f"That is {cost}.")
    await hold("after a reply")
    name = await session.ask("For whom?")
    number = await session.step(book, name)
    async with session.stream() as out:
        for word in ("Booked ", "as ", number, " for ", name):
            out.write(word)
            await asyncio.sleep(0)
            if word == "as ":
                await hold("in a stream")
    await session.sleep(0.4)
    session.reply(f"Goodbye, {name}.")
"""

TRANSCRIPT = [
    "user: a room, please",
    "bot: That is 42.",
    "bot? For whom?",
    "user! Ada",
    "bot: Booked as B7 for Ada",
    "bot: Goodbye, Ada.",
]
Serve = Callable[..., LiveServer]
Visit = Callable[..., Client]


def _finish(server: LiveServer, client: Client, session: str) -> None:
    """Play the conversation to its end, from wherever it stands."""
    answered = any(frame["t"] == "answer" for frame in client.history.sent.values())
    if not answered:
        client.acked(client.answer(session, client.question(session), text="Ada"))
    client.wait_finished(session, 1)
    client.wait(lambda: not client.unanswered(), "everything is answered")
    assert client.texts(session) == TRANSCRIPT
    assert client.finished(session) == ["done"]
    assert not client.streams


def _check(server: LiveServer, client: Client, session: str) -> None:
    """The store agrees, and a visitor who comes only now is told the same."""
    late = Client(server.ws, name=client.name, resume=client.resume)
    try:
        late.connect()
        late.attach(session)
        assert late.history.seen == client.history.seen
    finally:
        late.leave()
    server.kill()
    logs = {session: Log(client.history.user, server.log(session))}
    assert violations([client.history], logs) == []
    assert list(server.owners()) == [session], "a repeated `open` made another session"


@promise("P4")
@promise("P5")
@promise("P6")
@promise("P8")
@pytest.mark.parametrize(
    ("point", "runs"),
    [
        ("in a step", ["price", "price", "book Ada"]),
        ("between step and reply", ["price", "book Ada"]),
        ("after a reply", ["price", "book Ada"]),
        ("after an answer", ["price", "book Ada", "book Ada"]),
        ("in a stream", ["price", "book Ada"]),
    ],
)
def test_a_round_killed_within_goes_on_where_it_was(
    point: str, runs: list[str], serve: Serve, visit: Visit
) -> None:
    server = serve(APP)
    (server.folder / "hold-at").write_text(point)
    client = visit(server, name="ada")
    session = client.open()
    client.acked(client.say(session, "a room, please"))
    if point in ("after an answer", "in a stream"):
        client.acked(client.answer(session, client.question(session), text="Ada"))
    wait_until((server.folder / "reached").exists, f"the round stands {point}")
    if point == "in a stream":
        client.wait(lambda: "Booked as " in client.streams.values(), "the stream is shown")
    server.kill()
    (server.folder / "hold-at").unlink()
    server.start()
    _finish(server, client, session)
    assert server.lines("ran.txt") == runs
    _check(server, client, session)


@promise("P6")
def test_who_returns_in_mid_stream_gets_the_text_so_far(serve: Serve, visit: Visit) -> None:
    server = serve(APP)
    client = visit(server, name="ada")
    session = client.open()
    (server.folder / "hold-at").write_text("in a stream")
    client.acked(client.say(session, "a room, please"))
    client.acked(client.answer(session, client.question(session), text="Ada"))
    client.wait(lambda: "Booked as " in client.streams.values(), "the stream is shown")
    client.cut()
    client.connect()
    client.wait(lambda: "Booked as " in client.streams.values(), "the text so far is shown")
    assert client.pieces <= 3
    second = visit(server, as_=client)
    second.attach(session, client.history.places[session])
    assert list(second.streams.values()) in ([], ["Booked as "])
    second.wait(lambda: "Booked as " in second.streams.values(), "the text so far is shown")


@promise("P7")
@promise("P8")
def test_a_question_waits_through_many_kills(serve: Serve, visit: Visit) -> None:
    server = serve(APP)
    client = visit(server, name="ada")
    session = client.open()
    client.acked(client.say(session, "a room, please"))
    question = client.question(session)
    for _ in range(5):
        server.kill()
        server.start()
        client.ping()
        assert client.question(session) == question
    _finish(server, client, session)
    assert server.lines("ran.txt") == ["price", "book Ada"]
    _check(server, client, session)


@promise("P7")
def test_the_deadline_of_a_question_passes_while_the_server_is_dead(
    serve: Serve, visit: Visit
) -> None:
    server = serve("""
        import parlour
        app = parlour.App()

        @app.on_message
        async def talk(session, message):
            name = await session.ask("Who?", timeout=1.0, default="nobody")
            session.reply(f"Hello, {name}.")
    """)
    client = visit(server, name="ada")
    session = client.open()
    client.say(session, "hi")
    client.question(session)
    server.kill()
    server.start()
    client.wait_text(session, "bot: Hello, nobody.")
    client.wait_finished(session, 1)
    assert [e["reason"] for e in client.events(session, "QuestionClosed")] == ["timeout"]


@promise("P7")
@promise("P8")
def test_a_sleep_goes_on_after_a_kill_and_does_not_begin_anew(serve: Serve, visit: Visit) -> None:
    server = serve(APP)
    client = visit(server, name="ada")
    session = client.open()
    client.acked(client.say(session, "a room, please"))
    client.acked(client.answer(session, client.question(session), text="Ada"))
    wait_until(
        lambda: any(event["type"] == "TimerSet" for event in server.log(session)), "it sleeps"
    )
    server.kill()
    server.start()
    _finish(server, client, session)
    kinds = [event["type"] for event in server.log(session)]
    assert (kinds.count("TimerSet"), kinds.count("TimerFired")) == (1, 1)
    assert server.lines("ran.txt") == ["price", "book Ada"]
    _check(server, client, session)


@promise("P7")
def test_a_plain_function_that_asks_waits_through_a_kill(serve: Serve, visit: Visit) -> None:
    server = serve("""
        import parlour
        app = parlour.App()

        @app.on_message
        def talk(session, message):
            name = session.ask("Who?")
            session.reply(f"Hello, {name}.")
    """)
    client = visit(server, name="ada")
    session = client.open()
    client.say(session, "hi")
    client.question(session)
    for _ in range(4):
        server.kill()
        server.start()
        client.ping()
    client.acked(client.say(session, "Ada"))
    client.wait_finished(session, 1)
    assert client.texts(session)[-1] == "bot: Hello, Ada."


MOMENTS = [
    "SessionOpened",
    '"role":"user"',
    "StepFinished",
    "That is 42",
    "QuestionAsked",
    "QuestionAnswered",
    "Booked as B7 for Ada",
    "TimerSet",
    "TimerFired",
    "RoundFinished",
]


@promise("P4")
@promise("P5")
@promise("P6")
@promise("P8")
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_around_an_append_loses_nothing_and_repeats_nothing(
    when: str, moment: str, serve: Serve, visit: Visit
) -> None:
    server = serve(APP, running=False)
    server.start(FRAGILE=f"{when}:{moment}")
    codes: list[int] = []

    def revive() -> None:
        codes.append(server.reap())
        server.start()

    reviver = threading.Thread(target=revive)
    reviver.start()
    try:
        client = visit(server, name="ada")
        session = client.open()
        client.say(session, "a room, please")
        _finish(server, client, session)
    finally:
        reviver.join(20)
    assert codes == [-9], "the server was to be killed once"
    runs = server.lines("ran.txt")
    # A step whose result did not come into the log runs again; no other does.
    lost = {"StepFinished": "price"} if when == "before" else {}
    assert sorted(runs) == sorted(["price", "book Ada", *filter(None, [lost.get(moment)])])
    _check(server, client, session)


@promise("P4")
@promise("P5")
def test_a_session_whose_server_died_before_its_first_record_opens_all_the_same(
    serve: Serve, visit: Visit
) -> None:
    server = serve(
        """
        import parlour
        app = parlour.App()

        @app.on_open
        async def greet(session):
            session.reply("Welcome.")
        """,
        running=False,
    )
    server.start(FRAGILE="before:SessionOpened")
    client = Client(server.ws, name="ada")
    reviver = threading.Thread(target=lambda: (server.reap(), server.start()))
    reviver.start()
    try:
        client.connect()
        session = client.open()
        client.wait_text(session, "bot: Welcome.")
        assert client.events(session)[0]["type"] == "SessionOpened"
    finally:
        reviver.join(20)
        client.leave()
