"""A strict visitor over one blocking socket: speaks docs/wire.md, believes only what it is owed.

What it knows and what it does not put up with is `faults.account`; here are the pipe and waiting.
"""

import contextlib
import socket
import struct
import time
from collections.abc import Callable, Iterable
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from faults.account import Account, Violation, decode, encode
from faults.history import Json

WAIT_SECONDS = 15.0


class Client(Account):
    """One visitor over one socket at a time; cut off, it comes back and goes on."""

    def __init__(
        self,
        url: str,
        *,
        name: str = "",
        resume: str = "",
        headers: dict[str, str] | None = None,
        origin: str | None = None,
    ) -> None:
        super().__init__(name, resume=resume)
        self.url = url
        self.closed: int | None = None
        self.connections = 0
        self._headers = headers
        self._origin = origin
        self._socket: ClientConnection | None = None
        self._life = contextlib.ExitStack()

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
        self.send(*self.greeting())
        self._read_until(lambda: self.greeted, deadline)

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
        with contextlib.suppress(ConnectionClosed):
            self.raw.send(encode(*frames))

    def command(self, kind: str, session: str = "", *, as_: str = "", **fields: Any) -> str:
        """Send a command and remember it until it is answered; its id."""
        frame = self.compose(kind, session, as_=as_, **fields)
        if self._socket is not None:
            self.send(frame)
        command: str = frame["id"]
        return command

    def open(self) -> str:
        """A new session, attached; returns its id when the past has been told."""
        session, _ = self.acked(self.command("open"))
        self.wait(lambda: session in self.lives, "the session is live")
        return session

    def attach(self, session: str, after: int = 0) -> None:
        self.send(self.place(session, after))
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
            for frame in decode(message):
                self.take(frame)

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
        self.wait(lambda: self.is_answered(command), f"{command} is answered")
        assert command in self.history.acks, self.history.refused[command]
        session, seq = self.history.acks[command][0]
        if session in self.history.places:
            self.wait(lambda: self.history.places[session] >= seq, f"record {seq} comes")
        return session, seq

    def refusal(self, command: str) -> Json:
        """Wait for a command to be refused."""
        self.wait(lambda: self.is_answered(command), f"{command} is answered")
        assert command in self.history.refused, f"{command} was accepted"
        return self.history.refused[command]

    def ping(self) -> None:
        """Everything the server had for us until now has come."""
        self.pinging = True
        self.send({"t": "ping"})
        self.wait(lambda: not self.pinging, "a pong comes")

    def again(self, command: str) -> None:
        """Send a refused command again, as one does that is told to come back."""
        self.send(self.recompose(command))

    def wait_finished(self, session: str, rounds: int, seconds: float = WAIT_SECONDS) -> None:
        self.wait(
            lambda: len(self.finished(session)) >= rounds, f"round {rounds} finishes", seconds
        )

    def wait_text(self, session: str, text: str) -> None:
        self.wait(lambda: text in self.texts(session), f"{text!r} is said")

    def question(self, session: str) -> int:
        """The newest open question, waited for."""
        self.wait(lambda: self.open_question(session), "a question is asked")
        return self.open_question(session)


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
