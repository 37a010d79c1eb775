import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import deque

import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

SECONDS = 40
BOT = """
@app.on_message
async def answer(session, message):
    session.set("count", session.get("count", 0) + 1)
    session.reply(f"one {session.get('count')}")
"""


def until(happens):
    """Waits, within bounds, for what another process does."""
    end = time.monotonic() + SECONDS
    pause = threading.Event()
    while not happens():
        assert time.monotonic() < end
        pause.wait(0.02)


class Server:
    """`parlour run` as a process of its own."""

    def __init__(self, folder, *arguments):
        self.stderr = folder / "stderr"
        with self.stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "parlour", "run", "bot.py", "--port", "0", *arguments],
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                start_new_session=True,
            )
        assert self.process.stdout
        self.line = self.process.stdout.readline()
        self.address = self.line.removeprefix("Parlour is at ").partition("  ")[0]
        until(self.answers)

    def answers(self):
        try:
            with urllib.request.urlopen(f"{self.address}healthz", timeout=SECONDS) as answer:
                return json.load(answer) == {"status": "ok"}
        except OSError:
            return False

    def logged(self, text):
        return lambda: text in self.stderr.read_text()

    @property
    def socket(self):
        return f"ws{self.address.removeprefix('http')}ws"

    def end(self, number=signal.SIGTERM):
        with self.process:
            self.process.send_signal(number)
            try:
                return self.process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                raise


@pytest.fixture
def server(tmp_path):
    """Starts a server in `tmp_path`; it is ended, and its children with it."""
    servers = []

    def start(*arguments):
        servers.append(Server(tmp_path, *arguments))
        return servers[-1]

    yield start
    for one in servers:
        if one.process.returncode is None:
            one.end()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.process.pid, signal.SIGKILL)


class Visitor:
    """One person with a client of the native wire, who comes back as the same person."""

    def __init__(self):
        self.token = None
        self.session = None
        self.frames = deque()

    def visit(self, address):
        return connect(address, open_timeout=5, close_timeout=5)

    def send(self, ws, **frame):
        ws.send(json.dumps(frame))

    def until(self, ws, wanted):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            while self.frames:
                frame = self.frames.popleft()
                if frame["t"] == wanted:
                    return frame
            lines = ws.recv(timeout=SECONDS).splitlines()
            self.frames.extend(json.loads(line) for line in lines)
        raise AssertionError(f"no {wanted} came")

    def hello(self, ws):
        self.frames.clear()
        more = {} if self.token is None else {"resume": self.token}
        self.send(ws, t="hello", versions=[1], **more)
        self.token = self.until(ws, "hello").get("resume", self.token)

    def open(self, ws):
        self.hello(ws)
        self.send(ws, t="open", id="o1")
        self.session = self.until(ws, "ack")["session"]

    def ask(self, ws, id_, text):
        """Says something, and gives the text of the bot's next message."""
        self.send(ws, t="say", session=self.session, id=id_, text=text)
        said = False
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            for _, event in self.until(ws, "records")["records"]:
                said = said or event.get("command") == id_
                if said and event["type"] == "MessageAdded" and event["role"] == "bot":
                    return event["text"]
        raise AssertionError("no reply came")


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
