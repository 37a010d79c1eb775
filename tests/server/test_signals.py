"""Signals, freezes, cold starts: what operators and machines do to a server."""

import textwrap
import time
from collections.abc import Callable

import pytest
from client import Client
from live_server import LiveServer, wait_until

from faults.case import Log
from faults.checker import violations

promise = pytest.mark.promise
Serve = Callable[..., LiveServer]
Visit = Callable[..., Client]

APP = """
import asyncio
from pathlib import Path

import parlour

HERE = Path(__file__).parent
app = parlour.App()


async def work(text):
    with (HERE / "ran.txt").open("a") as file:
        file.write(text + "\\n")
    while (HERE / "hold").exists():
        await asyncio.sleep(0.005)
    return text.upper()


@app.on_message
async def talk(session, message):
    match message.text.split()[0]:
        case "work":
            session.reply("I begin.")
            session.reply(await session.step(work, message.text))
        case "sleep":
            await session.sleep(float(message.text.split()[1]))
            session.reply("awake")
        case "ask":
            session.reply("Hello, " + await session.ask("Who?", timeout=600))
        case "stream":
            async with session.stream() as out:
                for number in range(60):
                    out.write(f"{number} ")
                    await asyncio.sleep(0.02)
        case _:
            session.reply("echo " + message.text)
"""


@promise("P5")
@promise("P6")
def test_a_frozen_server_loses_nothing(serve: Serve, visit: Visit) -> None:
    server = serve(APP)
    clients = [visit(server, name=f"visitor{number}") for number in range(5)]
    sessions = [client.open() for client in clients]
    clients[0].say(sessions[0], "stream")
    clients[0].wait(lambda: clients[0].streams, "the stream is shown")
    clients[1].say(sessions[1], "sleep 0.5")
    server.freeze()
    try:
        for client, session in zip(clients[2:4], sessions[2:4], strict=True):
            client.say(session, f"hi from {client.name}")
        # The cable of one is pulled meanwhile; it comes back when the server does.
        clients[4].say(sessions[4], f"hi from {clients[4].name}")
        clients[4].cut()
        frozen_until = time.monotonic() + 2.0
        while time.monotonic() < frozen_until:
            with pytest.raises(TimeoutError):
                clients[2].raw.recv(timeout=0.5)
    finally:
        server.thaw()
    clients[4].connect()
    for client, session in zip(clients, sessions, strict=True):
        client.wait_finished(session, 1)
        client.wait(lambda: not client.unanswered(), "everything is answered")  # noqa: B023
    assert [client.connections for client in clients] == [1, 1, 1, 1, 2]
    assert clients[0].texts(sessions[0])[-1] == "bot: " + "".join(f"{n} " for n in range(60))
    for client, session in zip(clients[2:], sessions[2:], strict=True):
        text = f"hi from {client.name}"
        assert client.texts(session) == [f"user: {text}", f"bot: echo {text}"]
    server.kill()
    logs = {session: Log(user, server.log(session)) for session, user in server.owners().items()}
    assert violations([client.history for client in clients], logs) == []


@promise("P5")
@promise("P8")
def test_an_orderly_end_is_quick_and_a_running_round_goes_on_after_it(
    serve: Serve, visit: Visit
) -> None:
    server = serve(APP)
    (server.folder / "hold").touch()
    worker, asker, idler = (visit(server, name=name) for name in ("worker", "asker", "idler"))
    session = worker.open()
    worker.say(session, "work hard")
    worker.wait_text(session, "bot: I begin.")
    wait_until(lambda: server.lines("ran.txt"), "the step runs")
    asked = asker.open()
    asker.say(asked, "ask")
    question = asker.question(asked)
    idle = idler.open()

    code, seconds = server.terminate()
    assert [client.wait_closed() for client in (worker, asker, idler)] == [1012] * 3
    assert seconds < 10
    assert code == 0
    (server.folder / "hold").unlink()

    server.start()
    worker.connect()
    worker.wait_finished(session, 1)
    assert worker.texts(session) == ["user: work hard", "bot: I begin.", "bot: WORK HARD"]
    assert server.lines("ran.txt") == ["work hard"] * 2
    asker.connect()
    asker.acked(asker.answer(asked, question, text="Ada"))
    asker.wait_finished(asked, 1)
    assert asker.texts(asked)[-1] == "bot: Hello, Ada"
    idler.connect()
    idler.say(idle, "hi")
    idler.wait_text(idle, "bot: echo hi")


STUBBORN = {
    "a task that swallows its cancellation": """
        async def talk(session, message):
            session.reply("I begin.")
            while True:
                try:
                    await asyncio.sleep(0.01)
                except asyncio.CancelledError:
                    pass
    """,
    "a plain function that waits": """
        def talk(session, message):
            session.reply("I begin.")
            time.sleep(60)
    """,
    "a step in a thread that waits": """
        async def talk(session, message):
            session.reply("I begin.")
            await session.step(time.sleep, 60)
    """,
    "a plain function that asks": """
        def talk(session, message):
            session.reply("I begin.")
            session.ask("Who?")
    """,
}


@promise("P14")
@pytest.mark.parametrize("kind", STUBBORN)
def test_an_orderly_end_does_not_wait_for(kind: str, serve: Serve, visit: Visit) -> None:
    handler = textwrap.dedent(STUBBORN[kind])
    source = f"import asyncio, time, parlour\napp = parlour.App()\n\n@app.on_message{handler}"
    server = serve(source, PARLOUR_LIMITS__STOP_SECONDS="0.5")
    client = visit(server)
    session = client.open()
    client.say(session, "hi")
    client.wait_text(session, "bot: I begin.")
    code, _ = server.terminate()
    assert code == 0


@promise("P5")
def test_what_is_said_while_the_server_ends_is_acknowledged_or_sent_again(
    serve: Serve, visit: Visit
) -> None:
    server = serve(APP)
    client = visit(server, name="ada")
    session = client.open()
    for number in range(200):
        client.say(session, f"message {number:03}")
        if number % 8 == 0 and number < 100:
            # Afterwards it may be refused, or nobody is there any more to say anything.
            client.acked(f"ada.{number + 2}")
        if number == 100:
            assert server.process is not None
            server.process.terminate()
    server.reap()
    server.start()
    refused = True
    while refused:
        client.wait(lambda: not client.unanswered(), "everything is answered")
        refused = list(client.history.refused)
        for command in refused:
            assert client.history.refused[command]["code"] in ("unavailable", "busy")
            client.again(command)
    client.wait_finished(session, 200)
    server.kill()
    logs = {session: Log(client.history.user, server.log(session))}
    assert violations([client.history], logs) == []


@promise("P7")
@promise("P8")
def test_a_cold_start_takes_up_all_that_was_left(serve: Serve, visit: Visit) -> None:
    server = serve(APP)
    (server.folder / "hold").touch()
    client = visit(server, name="ada")
    sessions = [client.open() for _ in range(40)]
    for number, session in enumerate(sessions):
        client.say(session, f"work {number}" if number % 2 else "sleep 1")
    client.wait(lambda: not client.unanswered(), "everything is acknowledged")
    wait_until(lambda: len(server.lines("ran.txt")) == 20, "all steps run")
    server.kill()
    client.hang_up()
    (server.folder / "hold").unlink()

    server.start()
    # Nobody comes to ask for it: it happens by itself.
    wait_until(
        lambda: all(server.log(session)[-1]["type"] == "RoundFinished" for session in sessions),
        "all rounds finish",
    )
    client.connect()
    for number, session in enumerate(sessions):
        client.wait_finished(session, 1)
        assert client.finished(session) == ["done"]
        assert client.texts(session)[-1] == (f"bot: WORK {number}" if number % 2 else "bot: awake")
    runs = sorted(server.lines("ran.txt"))
    assert runs == sorted(2 * [f"work {number}" for number in range(1, 40, 2)])


@promise("P10")
@promise("P7")
def test_a_session_put_out_of_memory_goes_on_unseen(serve: Serve, visit: Visit) -> None:
    server = serve(APP, PARLOUR_IDLE_AFTER="0", PARLOUR_HIBERNATE_AFTER="0")
    client = visit(server, name="ada")
    asked, slept, idle = (client.open() for _ in range(3))
    client.say(asked, "ask")
    question = client.question(asked)
    client.say(slept, "sleep 1.5")
    client.say(idle, "one")
    client.wait_finished(idle, 1)
    # The sleeper is long out of memory when its time comes, and wakes by itself.
    client.wait_text(slept, "bot: awake")
    client.acked(client.answer(asked, question, text="Ada"))
    client.wait_text(asked, "bot: Hello, Ada")
    client.say(idle, "two")
    client.wait_text(idle, "bot: echo two")
    kinds = [event["type"] for event in server.log(asked)]
    assert kinds.count("RoundResumed") >= 1, "it was never out of memory"
    assert client.connections == 1
    assert {event["type"] for event in client.events(asked)}.isdisjoint({"RoundResumed"})


@promise("P6")
def test_a_server_that_keeps_nothing_works_too(serve: Serve, visit: Visit) -> None:
    server = serve(APP, store="memory:")
    client = visit(server, name="ada")
    session = client.open()
    client.say(session, "hi")
    client.wait_text(session, "bot: echo hi")
    client.say(session, "ask")
    client.cut()
    client.connect()
    client.acked(client.answer(session, client.question(session), text="Ada"))
    client.wait_text(session, "bot: Hello, Ada")
    late = visit(server, as_=client)
    late.attach(session)
    assert late.history.seen == client.history.seen
    code, _ = server.terminate()
    assert client.wait_closed() == 1012
    assert code == 0
    # It has forgotten everything, and says so clearly.
    server.start()
    client.history.places.clear()
    client.resume = ""
    client.history.user = ""
    client.connect()
    assert client.refusal(client.say(session, "hi"))["code"] == "unknown_session"
    assert not list(server.folder.glob("*.db*"))


def test_two_servers_cannot_share_a_file(serve: Serve, visit: Visit) -> None:
    server = serve(APP)
    other = serve(APP, store=server.store, running=False)
    with pytest.raises(AssertionError, match="did not start") as failure:
        other.start()
    assert "is in use by another process" in str(failure.value)
    assert other.reap() not in (0, -9)
    client = visit(server)
    session = client.open()
    client.say(session, "hi")
    client.wait_text(session, "bot: echo hi")
