"""A strict visitor: speaks docs/wire.md, keeps its place, and believes nothing it is not owed.

Everything it sent, was told and saw is kept in a `History`, for the checks of `checker`.
"""

import contextlib
import itertools
import socket
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus
from websockets.sync.client import ClientConnection, connect

Json = dict[str, Any]
WAIT_SECONDS = 15.0
_COMMANDS = frozenset({"open", "say", "answer", "stop", "signal", "close"})


class Violation(AssertionError):
    """The server did what the wire does not allow."""


@dataclass
class History:
    """What one visitor did and saw. Seqs are by session, commands by their ids.

    `seen` keeps the records in the order of their coming; `acks` every acknowledgement of a command
    as pairs of session and seq.
    """

    name: str = ""
    user: str = ""
    sent: dict[str, Json] = field(default_factory=dict)
    acks: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    refused: dict[str, Json] = field(default_factory=dict)
    seen: dict[str, list[tuple[int, Json]]] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)


class Client:
    """One visitor over one socket at a time; cut off, it comes back and goes on.

    The ids of its commands and nothing else name them: one that has no answer is sent again.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str = "",
        resume: str = "",
        headers: dict[str, str] | None = None,
        origin: str | None = None,
    ) -> None:
        self.url = url
        self.name = name
        self.resume = resume
        self.history = History(name=name)
        self.streams: dict[tuple[str, int, str], str] = {}
        self.pieces = 0
        self._rounds: dict[str, int] = {}
        self._recorded: set[tuple[str, int, str]] = set()
        self.others: list[Json] = []
        self.lives: dict[str, int] = {}
        self.limits: Json = {}
        self.closed: int | None = None
        self.connections = 0
        self.repeated = 0
        self._headers = headers
        self._origin = origin
        self._ids = itertools.count(1)
        self._socket: ClientConnection | None = None
        self._life = contextlib.ExitStack()
        self._greeted = False
        self._pinging = False

    # -- the socket -------------------------------------------------------------------------

    def connect(self, seconds: float = WAIT_SECONDS) -> None:
        """Connect, say hello, take up what was left; try for a bounded time."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self._connect(deadline)
            except (OSError, ConnectionClosed, InvalidMessage, TimeoutError, EOFError) as error:
                if time.monotonic() > deadline:
                    raise Violation(f"{self.name} cannot come back: {error}") from error
                time.sleep(0.01)
            else:
                return

    def _connect(self, deadline: float) -> None:
        self.hang_up()
        self._socket = self._life.enter_context(
            connect(
                self.url,
                additional_headers=self._headers,
                origin=self._origin,  # type: ignore[arg-type]
                compression=None,
                proxy=None,
                open_timeout=5,
                close_timeout=1,
                ping_interval=None,
                max_size=None,
            )
        )
        self.connections += 1
        self.closed = None
        self._greeted = False
        hello: Json = {"t": "hello", "versions": [1]}
        if self.resume:
            hello["resume"] = self.resume
        frames = [hello]
        for session, place in self.history.places.items():
            frames.append({"t": "attach", "session": session, "after": place})
        frames += self.unanswered()
        if self._pinging:
            frames.append({"t": "ping"})
        self.lives.clear()
        self.streams.clear()
        self.send(*frames)
        self._read_until(lambda: self._greeted, deadline)

    def unanswered(self) -> list[Json]:
        """The commands of which it does not know whether they arrived."""
        history = self.history
        return [
            frame
            for command, frame in history.sent.items()
            if command not in history.acks and command not in history.refused
        ]

    def hang_up(self) -> None:
        """End the socket properly, if there is one."""
        self._socket = None
        self._life.close()

    def cut(self) -> None:
        """The cable is pulled: the server gets a reset, whatever is under way is lost."""
        connection, self._socket = self._socket, None
        if connection is not None:
            with contextlib.suppress(OSError):
                linger = struct.pack("ii", 1, 0)
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                connection.socket.shutdown(socket.SHUT_RDWR)
        self._life.close()

    leave = hang_up

    @property
    def raw(self) -> ClientConnection:
        assert self._socket is not None, "not connected"
        return self._socket

    # -- out --------------------------------------------------------------------------------

    def send(self, *frames: Json) -> None:
        """Frames as one message. What a dead socket swallows is sent again after the return."""
        text = "\n".join(msgspec.json.encode(frame).decode() for frame in frames)
        with contextlib.suppress(ConnectionClosed):
            self.raw.send(text)

    def command(self, kind: str, session: str = "", *, as_: str = "", **fields: Any) -> str:
        """Send a command and remember it until it is answered; its id."""
        command = as_ or f"{self.name}.{next(self._ids)}"
        frame: Json = {"t": kind, "id": command, **fields}
        if session:
            frame["session"] = session
        self.history.sent[command] = frame
        if self._socket is not None:
            self.send(frame)
        return command

    def open(self) -> str:
        """A new session, attached; returns its id when the past has been told."""
        session, _ = self.acked(self.command("open"))
        self.wait(lambda: session in self.lives, "the session is live")
        return session

    def attach(self, session: str, after: int = 0) -> None:
        self.history.places[session] = after
        self.lives.pop(session, None)
        self.send({"t": "attach", "session": session, "after": after})
        self.wait(lambda: session in self.lives, "the session is live")

    def say(self, session: str, text: str, **fields: Any) -> str:
        return self.command("say", session, text=text, **fields)

    def answer(self, session: str, question: int, **fields: Any) -> str:
        return self.command("answer", session, question=question, **fields)

    # -- in ---------------------------------------------------------------------------------

    def wait(
        self, condition: Callable[[], object], what: str, seconds: float = WAIT_SECONDS
    ) -> None:
        """Read until something is so, over as many sockets as it takes."""
        deadline = time.monotonic() + seconds
        while not condition():
            try:
                self._read_until(condition, deadline)
            except ConnectionClosed as error:
                self._note_end(error)
                self.connect(max(0.1, deadline - time.monotonic()))
            except TimeoutError:
                raise Violation(
                    f"{self.name} waited {seconds:g} s in vain until {what}; it saw {self.tail()}"
                ) from None

    def _read_until(self, condition: Callable[[], object], deadline: float) -> None:
        while not condition():
            message = self.raw.recv(timeout=max(0.001, deadline - time.monotonic()))
            for line in str(message).split("\n"):
                self.take(msgspec.json.decode(line))

    def _note_end(self, error: ConnectionClosed) -> None:
        self.closed = 1006 if error.rcvd is None else error.rcvd.code

    def wait_closed(self, seconds: float = WAIT_SECONDS) -> int:
        """Read until the server ends the socket; the code it gave."""
        try:
            self._read_until(lambda: False, time.monotonic() + seconds)
        except ConnectionClosed as error:
            self._note_end(error)
        self.hang_up()
        assert self.closed is not None
        return self.closed

    def acked(self, command: str) -> tuple[str, int]:
        """Wait for a command's acknowledgement and for the records it owes: its session and seq."""
        self.wait(lambda: self._is_answered(command), f"{command} is answered")
        assert command in self.history.acks, self.history.refused[command]
        session, seq = self.history.acks[command][0]
        if session in self.history.places:
            self.wait(lambda: self.history.places[session] >= seq, f"record {seq} comes")
        return session, seq

    def refusal(self, command: str) -> Json:
        """Wait for a command to be refused."""
        self.wait(lambda: self._is_answered(command), f"{command} is answered")
        assert command in self.history.refused, f"{command} was accepted"
        return self.history.refused[command]

    def _is_answered(self, command: str) -> bool:
        return command in self.history.acks or command in self.history.refused

    def ping(self) -> None:
        """Everything the server had for us until now has come."""
        self._pinging = True
        self.send({"t": "ping"})
        self.wait(lambda: not self._pinging, "a pong comes")

    # -- what the frames mean ---------------------------------------------------------------

    def take(self, frame: Json) -> None:
        """Take a frame of the server. Raises `Violation` for what the wire does not allow."""
        match frame["t"]:
            case "hello":
                self._take_hello(frame)
            case "records":
                self._take_records(frame)
            case "live":
                session, upto = frame["session"], frame["upto"]
                if upto != self.history.places.get(session, 0):
                    raise Violation(f"live at {upto}, but the place is {self.history.places}")
                self.history.places.setdefault(session, 0)
                self.lives[session] = upto
            case "delta":
                self._take_delta(frame)
            case "ack":
                self._take_ack(frame)
            case "pong":
                self._pinging = False
            case "refused" if frame.get("id", "") in self.history.sent:
                self._take_refusal(frame)
            case _:
                self.others.append(frame)

    def _take_hello(self, frame: Json) -> None:
        if self._greeted:
            raise Violation("hello came twice")
        if self.history.user and frame["user"] != self.history.user:
            raise Violation("the server took us for somebody else")
        self._greeted = True
        self.history.user = frame["user"]
        self.limits = frame["limits"]
        self.resume = frame.get("resume", self.resume)

    def _take_records(self, frame: Json) -> None:
        session, after, upto = frame["session"], frame["after"], frame["upto"]
        place = self.history.places.get(session, 0)
        if after != place:
            raise Violation(f"a gap or a repeat: records after {after}, our place is {place}")
        if upto <= after:
            raise Violation(f"a frame that covers nothing: after {after}, up to {upto}")
        last = after
        for seq, event in frame["records"]:
            if not last < seq <= upto:
                raise Violation(f"record {seq} stands wrong between {last} and {upto}")
            last = seq
            self.history.seen.setdefault(session, []).append((seq, event))
            if event["type"] == "RoundStarted":
                self._rounds[session] = event["round"]
            elif event["type"] == "MessageAdded" and "path" in event:
                self._supersede(session, event)
        self.history.places[session] = upto

    def _supersede(self, session: str, event: Json) -> None:
        """The record of a streamed message is the whole text."""
        key = session, self._rounds.get(session, 0), event["path"]
        self._recorded.add(key)
        streamed = self.streams.pop(key, "")
        if not event["text"].startswith(streamed):
            raise Violation(f"streamed {streamed!r}, recorded {event['text']!r}")

    def _take_delta(self, frame: Json) -> None:
        if frame["session"] not in self.lives:
            raise Violation("a delta came before live")
        key = frame["session"], frame["round"], frame["path"]
        if key in self._recorded:
            raise Violation(f"a delta of {key[2]} came after its record: {frame}")
        text = self.streams.get(key, "")
        if frame["offset"] > len(text):
            raise Violation(f"a delta at {frame['offset']} after {len(text)} characters")
        self.streams[key] = text[: frame["offset"]] + frame["text"]
        self.pieces += 1

    def _take_ack(self, frame: Json) -> None:
        command = frame["id"]
        self.repeated += frame.get("repeated", False)
        sent = self.history.sent.get(command)
        if sent is None:
            raise Violation(f"an acknowledgement of {command}, which was never sent")
        if sent.get("session", frame["session"]) != frame["session"]:
            raise Violation(f"{command} was acknowledged for another session")
        answered = self.history.acks.setdefault(command, [])
        if answered and answered[0] != (frame["session"], frame["seq"]):
            raise Violation(f"{command} was acknowledged at {answered[0]}, now {frame}")
        if not answered and sent["t"] == "open":
            self.history.places.setdefault(frame["session"], 0)
        answered.append((frame["session"], frame["seq"]))

    def _take_refusal(self, frame: Json) -> None:
        command = frame["id"]
        if command in self.history.acks:
            raise Violation(f"{command} was acknowledged, then refused: {frame}")
        self.history.refused[command] = frame

    def again(self, command: str) -> None:
        """Send a refused command again, as one does that is told to come back."""
        self.history.refused.pop(command, None)
        self.send(self.history.sent[command])

    # -- what was seen ----------------------------------------------------------------------

    def events(self, session: str, kind: str = "") -> list[Json]:
        seen = self.history.seen.get(session, [])
        return [{"seq": seq, **event} for seq, event in seen if kind in ("", event["type"])]

    def texts(self, session: str) -> list[str]:
        """The conversation as `role: text`, questions and answers with it."""
        said: list[str] = []
        for event in self.events(session):
            match event["type"]:
                case "MessageAdded":
                    said.append(f"{event['role']}: {event.get('text', '')}")
                case "QuestionAsked":
                    said.append(f"bot? {event['text']}")
                case "QuestionAnswered":
                    said.append(f"user! {event['text']}")
        return said

    def finished(self, session: str) -> list[str]:
        """How each round ended."""
        return [event["status"] for event in self.events(session, "RoundFinished")]

    def wait_finished(self, session: str, rounds: int, seconds: float = WAIT_SECONDS) -> None:
        self.wait(
            lambda: len(self.finished(session)) >= rounds, f"round {rounds} finishes", seconds
        )

    def wait_text(self, session: str, text: str) -> None:
        self.wait(lambda: text in self.texts(session), f"{text!r} is said")

    def question(self, session: str) -> int:
        """The newest open question, waited for."""

        def find() -> int:
            over = {
                event["question"]
                for kind in ("QuestionAnswered", "QuestionClosed")
                for event in self.events(session, kind)
            }
            asked = [e["seq"] for e in self.events(session, "QuestionAsked")]
            return next((seq for seq in reversed(asked) if seq not in over), 0)

        self.wait(find, "a question is asked")
        return find()

    def tail(self) -> str:
        seen = {session[:8]: records[-4:] for session, records in self.history.seen.items()}
        return f"{seen}, {self.others[-3:]}, refused {list(self.history.refused.values())[-2:]}"


def send_raw(client: Client, message: str | bytes | Iterable[str]) -> None:
    """Whatever is sent as one message, be it nonsense."""
    with contextlib.suppress(ConnectionClosed):
        client.raw.send(message)


def upgrade_status(url: str, **options: Any) -> int:
    """The HTTP status with which an upgrade is answered; 101 if it succeeds."""
    try:
        with connect(url, compression=None, proxy=None, open_timeout=5, **options):
            return 101
    except InvalidStatus as refusal:
        return refusal.response.status_code
