"""A real `parlour run`, and somebody who visits it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import deque

from websockets.sync.client import connect

SECONDS = 40


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
            for event in filter(None, self.until(ws, "records")["records"]):
                said = said or event.get("command") == id_
                if said and event["type"] == "MessageAdded" and event["role"] == "bot":
                    return event["text"]
        raise AssertionError("no reply came")
