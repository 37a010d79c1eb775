import contextlib
import signal
import socket
import time

import pytest
from served import SECONDS, Visitor, until
from websockets.exceptions import WebSocketException

BOT = """
@app.on_message
async def answer(session, message):
    session.set("count", session.get("count", 0) + 1)
    session.reply(f"one {session.get('count')}")
"""


def test_run_prints_its_address_serves_there_and_ends_on_a_signal(app, server):
    app(BOT)
    one = server()
    assert one.line.startswith("Parlour is at http://127.0.0.1:")
    assert "Ctrl-C" in one.line
    assert one.answers()
    visitor = Visitor()
    with visitor.visit(one.socket) as ws:
        visitor.open(ws)
        assert visitor.ask(ws, "m1", "hi") == "one 1"
    assert one.end(signal.SIGINT) == 0


@pytest.mark.promise("P5")
def test_kill_9_of_the_server_loses_nothing_that_was_acknowledged(app, server):
    app(BOT)
    visitor = Visitor()
    one = server()
    with visitor.visit(one.socket) as ws:
        visitor.open(ws)
        assert visitor.ask(ws, "m1", "hi") == "one 1"
        one.end(signal.SIGKILL)
    other = server()
    with visitor.visit(other.socket) as ws:
        visitor.hello(ws)
        visitor.send(ws, t="attach", session=visitor.session, after=0)
        visitor.until(ws, "live")
        assert visitor.ask(ws, "m2", "again") == "one 2"


def come_back_until(visitor, address, beginning):
    """Says something again and again, over new connections where need be; the reply that begins so.

    Which of two processes takes a connection while the code is loaded again is theirs to settle.
    """
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(WebSocketException, OSError), visitor.visit(address) as ws:
            visitor.hello(ws)
            visitor.send(ws, t="attach", session=visitor.session, after=0)
            visitor.until(ws, "live")
            while True:
                reply = visitor.ask(ws, f"m{time.monotonic_ns()}", "and now?")
                if reply.startswith(beginning):
                    return reply
    raise AssertionError(f"no reply began with {beginning}")


def test_watch_loads_changed_code_while_a_session_goes_on(app, server):
    app(BOT)
    one = server("--watch")
    visitor = Visitor()
    with visitor.visit(one.socket) as ws:
        visitor.open(ws)
        assert visitor.ask(ws, "m0", "hi") == "one 1"
    app(BOT.replace("one {", "two {"))
    reply = come_back_until(visitor, one.socket, "two ")
    assert int(reply.removeprefix("two ")) > 1


def test_watch_outlives_broken_code_and_goes_on_when_it_is_mended(app, server):
    app(BOT)
    one = server("--watch")
    visitor = Visitor()
    with visitor.visit(one.socket) as ws:
        visitor.open(ws)
        assert visitor.ask(ws, "m0", "hi") == "one 1"
    app("def broken(:")
    until(one.logged("SyntaxError"))
    app(BOT.replace("one {", "two {"))
    assert come_back_until(visitor, one.socket, "two ") == "two 2"


def test_a_taken_port_is_one_clear_line(app, parlour):
    app(BOT)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = parlour("run", "bot.py", "--port", str(port), "--store", "memory:")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"127.0.0.1:{port} cannot be listened on" in done.stderr
    assert "--port" in done.stderr


def test_bad_settings_are_one_clear_line(app, parlour, tmp_path):
    app(BOT)
    (tmp_path / "parlour.toml").write_text("idle_aftre = 3\n")
    for command in ("run", "chat"):
        done = parlour(command, "bot.py", "--store", "memory:")
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1, done.stderr
        assert "idle_aftre" in done.stderr
