"""Several sockets at once: one user's that agree, two users' that never meet, one that sleeps."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable

import pytest
from client import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live_server import LiveServer
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from faults.case import Log
from faults.checker import violations

promise = pytest.mark.promise
Serve = Callable[..., LiveServer]
Visit = Callable[..., Client]

APP = """
import asyncio

import parlour

app = parlour.App()


@app.on_open
async def greet(session):
    session.reply("Welcome.")


@app.on_message
async def talk(session, message):
    seen = [*session.get("seen", []), message.text]
    session.set("seen", seen)
    session.user.set("last", message.text)
    session.local["last"] = message.text
    name, kind = message.text.split()[:2]
    match kind:
        case "ask":
            answer = await session.ask(f"{name}, what?")
            session.reply(f"{name} wants {answer} after {session.local.get('last')} {seen}")
        case "stream":
            async with session.stream() as out:
                for number in range(5):
                    out.write(f"{name} {number} ")
                    await asyncio.sleep(0.001)
        case "fail":
            raise ValueError(name)
        case "last":
            last = await session.user.get("last", "nothing")
            session.reply(f"{name} said last {last}")
        case _:
            session.reply(f"{name} said {seen}")
"""


@promise("P4")
def test_the_same_words_over_two_sockets_at_once_make_one_round(
    shared_server: LiveServer, visit: Visit
) -> None:
    first = visit(shared_server, name="ada")
    session = first.open()
    second = visit(shared_server, name="ada", as_=first)
    second.attach(session)
    for number in range(30):
        both = threading.Barrier(2)

        def say(client: Client, at: int = number, both: threading.Barrier = both) -> None:
            both.wait(10)
            client.command("say", session, as_=f"same{at}", text=f"ada echo {at}")

        other = threading.Thread(target=say, args=(second,))
        other.start()
        say(first)
        other.join(10)
        assert first.acked(f"same{number}") == second.acked(f"same{number}")
    assert first.repeated + second.repeated == 30
    for client in (first, second):
        client.wait_finished(session, 31)
        assert len(client.events(session, "RoundStarted")) == 31
    assert first.history.seen == second.history.seen
    logs = {session: Log(first.history.user, shared_server.log(session))}
    assert violations([first.history], logs) == []
    assert violations([second.history], logs) == []


@promise("P4")
def test_the_same_opening_over_many_sockets_at_once_makes_one_session(
    shared_server: LiveServer, visit: Visit
) -> None:
    first = visit(shared_server, name="ada")
    clients = [first, *(visit(shared_server, name="ada", as_=first) for _ in range(4))]
    for number in range(20):
        together = threading.Barrier(len(clients))

        def open_(client: Client, at: int = number, all_: threading.Barrier = together) -> None:
            all_.wait(10)
            client.command("open", as_=f"open{at}")

        threads = [threading.Thread(target=open_, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        sessions = {client.acked(f"open{number}")[0] for client in clients}
        assert len(sessions) == 1
        session = sessions.pop()
        for client in clients:
            client.wait_finished(session, 1)
            assert client.texts(session) == ["bot: Welcome."]
    owned = [s for s, user in shared_server.owners().items() if user == first.history.user]
    assert len(owned) == 20


@promise("P4")
@promise("P10")
def test_the_same_words_to_a_sleeping_session_make_one_round(serve: Serve, visit: Visit) -> None:
    server = serve(APP)
    first = visit(server, name="ada")
    session = first.open()
    first.wait_finished(session, 1)
    for number in range(3):
        server.kill()
        server.start()
        clients = [visit(server, name="ada", as_=first) for _ in range(4)]
        for client in clients:
            client.history.places[session] = 0
            client.send(
                {"t": "attach", "session": session, "after": 0},
                {"t": "say", "session": session, "id": f"m{number}", "text": "ada echo x"},
            )
            client.history.sent[f"m{number}"] = {"t": "say", "session": session}
        acks = {client.acked(f"m{number}") for client in clients}
        assert len(acks) == 1
        for client in clients:
            client.wait_finished(session, number + 2)
            assert len(client.events(session, "RoundStarted")) == number + 2
            client.leave()


OWN = ["echo", "ask", "stream", "fail", "last", "answer", "stop", "attach", "detach", "cut", "ping"]
SPYING = [f"spy {kind}" for kind in ("attach", "say", "answer", "stop", "signal", "close")]
MOVES = st.sampled_from([*OWN, "look", *SPYING])


def _move(kind: str, mine: Client, session: str, foreign: str) -> None:
    if kind.startswith("spy "):
        _spy(kind.removeprefix("spy "), mine, foreign)
        return
    match kind:
        case "answer":
            mine.answer(session, 0, text=f"{mine.name}-words")
        case "stop":
            mine.command("stop", session)
        case "attach":
            mine.ping()
            place = mine.begun_again[session] = mine.history.places[session]
            mine.send({"t": "attach", "session": session, "after": place})
        case "detach":
            mine.send({"t": "detach", "session": session})
            mine.ping()
            mine.attach(session, mine.history.places[session])
        case "cut":
            mine.cut()
            mine.connect()
        case "ping":
            mine.ping()
        case "look":
            with contextlib.suppress(TimeoutError):
                mine._read_until(lambda: False, 0)
        case _:
            mine.say(session, f"{mine.name} {kind} {len(mine.history.sent)}")


def _spy(kind: str, mine: Client, foreign: str) -> None:
    if kind == "attach":
        mine.send({"t": "attach", "session": foreign, "after": 0})
        return
    fields = {
        "say": {"text": f"{mine.name} spies"},
        "answer": {"question": 0, "text": f"{mine.name} spies"},
        "signal": {"name": "spy"},
    }
    mine.command(kind, foreign, **fields.get(kind, {}))


@promise("P1")
@promise("P2")
@promise("P17")
@settings(
    max_examples=30,
    deadline=None,
    database=None,
    derandomize=True,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(moves=st.lists(st.tuples(st.booleans(), MOVES), min_size=5, max_size=25))
def test_two_browsers_never_see_each_other(
    moves: list[tuple[bool, str]], shared_server: LiveServer
) -> None:
    browsers = [Client(shared_server.ws, name=name) for name in ("visitor-a", "visitor-b")]
    try:
        for client in browsers:
            client.connect()
        sessions = [client.open() for client in browsers]
        for who, kind in moves:
            _move(kind, browsers[who], sessions[who], sessions[not who])
        for client, session in zip(browsers, sessions, strict=True):
            client.say(session, f"{client.name} echo end")
            _answer_all(client, session)
        for client, foreign in zip(browsers, reversed(sessions), strict=True):
            _has_seen_nothing(client, foreign)
    finally:
        for client in browsers:
            client.leave()
    logs = {
        session: Log(user, shared_server.log(session))
        for session, user in shared_server.owners().items()
        if session in sessions
    }
    histories = [client.history for client in browsers]
    assert violations(histories, logs, statuses=("done", "stopped", "failed")) == []


def _has_seen_nothing(client: Client, foreign: str) -> None:
    """Whatever it tried with the session of the other, it was told that there is none."""
    assert foreign not in client.history.places
    assert foreign not in client.lives
    for command, frame in client.history.sent.items():
        if frame.get("session") == foreign:
            refusal = client.history.refused[command]
            assert refusal["code"] == "unknown_session"
            assert refusal["message"] == "There is no such session."
    for frame in client.others:
        assert (frame["t"], frame["code"]) == ("refused", "unknown_session")


def _answer_all(client: Client, session: str) -> None:
    """Until every command is answered, every question too, and every round has ended."""

    def state() -> tuple[int, int]:
        started = len(client.events(session, "RoundStarted"))
        return started - len(client.finished(session)), len(client.unanswered())

    while True:
        client.ping()
        client.wait(lambda: not client.unanswered(), "everything is answered")
        sent = [f for f in client.events(session, "MessageAdded") if f["role"] == "user"]
        rounds = [f for f in client.events(session, "RoundStarted") if f["cause"] == "message"]
        if state() == (0, 0) and len(sent) == len(rounds):
            return
        over = {
            event["question"]
            for kind in ("QuestionAnswered", "QuestionClosed")
            for event in client.events(session, kind)
        }
        running = client.events(session, "RoundStarted")[-1]["seq"]
        asked = [e["seq"] for e in client.events(session, "QuestionAsked") if e["seq"] > running]
        if set(asked) - over:
            command = client.answer(session, 0, text=f"{client.name}-words")
            client.wait(lambda: client.is_answered(command), "the answer is answered")  # noqa: B023


@promise("P2")
@promise("P6")
def test_a_stream_that_ends_before_it_is_durable_leaves_no_ghost(
    serve: Serve, visit: Visit
) -> None:
    server = serve(APP, running=False)
    server.start(FRAGILE="slow:hold the disk")
    ada, eve = visit(server, name="ada"), visit(server, name="eve")
    session, others = ada.open(), eve.open()
    ada.wait_finished(session, 1)
    eve.wait_finished(others, 1)
    eve.say(others, "eve hold the disk")
    eve.ping()
    # Ada's round begins and ends while the disk is busy with what Eve said.
    ada.say(session, "ada stream")
    ada.wait_finished(session, 2)
    ada.ping()
    assert ada.streams == {}
    assert ada.texts(session)[-1] == "bot: ada 0 ada 1 ada 2 ada 3 ada 4 "


@promise("P1")
@promise("P12")
def test_a_listener_that_does_not_read_is_cut_off_while_others_flow(
    serve: Serve, visit: Visit
) -> None:
    server = serve(
        """
        import parlour
        app = parlour.App()

        @app.on_message
        async def talk(session, message):
            if message.text == "flood":
                for number in range(600):
                    await session.reply(f"{number:06} " + 20_000 * "x")
            else:
                session.reply("echo " + message.text)
        """,
        PARLOUR_LIMITS__LISTENER_BYTES="1000000",
    )
    reader = visit(server, name="ada")
    session = reader.open()
    other = visit(server, name="eve")
    others = other.open()
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    small.connect(("127.0.0.1", server.port))
    with connect(
        server.ws, sock=small, compression=None, proxy=None, max_queue=1, max_size=None
    ) as sleeper:
        hello = {"t": "hello", "versions": [1], "resume": reader.resume}
        attach = {"t": "attach", "session": session, "after": 0}
        sleeper.send(f"{json.dumps(hello)}\n{json.dumps(attach)}")
        assert '"hello"' in str(sleeper.recv(10))
        reader.say(session, "flood")
        for number in range(20):
            other.say(others, f"hi {number}")
            other.wait_text(others, f"bot: echo hi {number}")
        reader.wait_finished(session, 1, 30)
        assert len(reader.events(session, "MessageAdded")) == 601
        assert (reader.connections, other.connections) == (1, 1)
        # Now it reads: what had left for it already, then the end.
        with contextlib.suppress(ConnectionClosed):
            while True:
                sleeper.recv(10)
        assert sleeper.protocol.close_rcvd is not None
        assert sleeper.protocol.close_rcvd.code == 4008
    back = visit(server, as_=reader)
    back.attach(session)
    assert back.history.seen == reader.history.seen


@promise("P6")
@promise("P12")
def test_one_long_answer_reaches_a_listener_that_reads(serve: Serve, visit: Visit) -> None:
    server = serve(
        """
        import parlour
        app = parlour.App()

        @app.on_message
        async def talk(session, message):
            for number in range(5):
                session.reply(f"{number}" + 60_000 * "x")
        """,
        PARLOUR_LIMITS__LISTENER_BYTES="100000",
    )
    client = visit(server, name="ada")
    session = client.open()
    client.say(session, "go")
    client.wait_finished(session, 1)
    assert client.connections == 1


@promise("P6")
@promise("P12")
def test_a_long_past_reaches_a_listener_that_reads(serve: Serve, visit: Visit) -> None:
    server = serve(
        """
        import parlour
        app = parlour.App()

        @app.on_message
        async def talk(session, message):
            session.reply(60_000 * "x")
        """,
        PARLOUR_LIMITS__LISTENER_BYTES="100000",
    )
    client = visit(server, name="ada")
    session = client.open()
    for number in range(1, 11):
        client.say(session, "go")
        client.wait_finished(session, number)
    late = visit(server, as_=client)
    late.attach(session)
    assert late.connections == 1
    assert late.history.seen == client.history.seen
