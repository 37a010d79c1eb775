"""The HTTP pipe: commands by POST, and what a session records as server-sent events.

Frames mean what they mean on the WebSocket; no connection is remembered between two requests, so
that any worker takes any of them. For proxies that let no socket through, for phones and for curl.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from parlour.engine import Accepted, Commit, Engine, Subscription
from parlour.errors import Refused, StoreError
from parlour.events import Delta
from parlour.transports.codecs import native
from parlour.transports.codecs.native import (
    AttachFrame,
    ClientFrame,
    DetachFrame,
    HelloFrame,
    KeysFrame,
    OpenFrame,
    PingFrame,
)
from parlour.transports.commands import command_of, open_for
from parlour.transports.identity import Identity

log = logging.getLogger("parlour.transports")

STATUS = {
    "unknown_session": 404,
    "unknown_file": 404,
    "unknown_link": 404,
    "closed": 409,
    "no_question": 409,
    "not_running": 409,
    "too_large": 413,
    "busy": 429,
    "too_many": 429,
    "overloaded": 503,
    "unavailable": 503,
}
"""What a refusal is in HTTP; all others are 400."""
BEAT_SECONDS = 10.0
"""A silent stream says so often that it lives."""
LONGEST_WAIT = 25.0
"""A request that waits for news ends after this time at the latest: proxies are impatient."""
_GATHER_SECONDS = 0.2
_WRITING_SECONDS = 1.0
"""While a message is being written, a request that waits shows this often how far it is."""
_BODY_SECONDS = 30.0
_NO_PLACE = 2**63 - 1
_HEADERS = {
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",  # nginx would keep a stream until it ends
    "X-Content-Type-Options": "nosniff",
}


class HttpEndpoint:
    """What answers `POST /commands` and `GET /sessions/{session}/events`."""

    def __init__(self, engine: Engine, identity: Identity) -> None:
        self._engine = engine
        self._identity = identity
        self._streams: set[EventStream] = set()

    def end_streams(self) -> None:
        """End what would else keep a server that stops; their clients come back."""
        for stream in tuple(self._streams):
            stream.end()

    async def commands(self, request: Request) -> Response:
        """The frames of the body, answered each by a line."""
        if not self._identity.allows(request.scope["headers"]):
            return refused(Refused("invalid", "Pages of that origin may not talk to this server."))
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                body = await self._read(request)
            frames = native.decode_message(body.decode())
        except (ClientDisconnect, TimeoutError):
            return Response(status_code=408)
        except UnicodeDecodeError:
            return refused(Refused("invalid", "Frames are text in UTF-8."))
        except Refused as refusal:
            return refused(refusal)
        user = self._identity.user_from(request.scope["headers"])
        answers = Answers(self._engine, self._identity, user)
        for frame in frames:
            await answers.take(frame)
        lines = await answers.all()
        status = answers.status if len(frames) == 1 else 200
        return Response(
            "".join(f"{line}\n" for line in lines),
            status,
            headers=_HEADERS,
            media_type="application/x-ndjson",
        )

    async def _read(self, request: Request) -> bytes:
        most = self._engine.settings.limits.frame_bytes
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > most:
                raise Refused("too_large", "That message is too large.")
        return bytes(body)

    async def events(self, request: Request) -> Response:
        """The records after a place, then what happens now, until the client goes."""
        session = request.path_params["session"]
        engine = self._engine
        try:
            user = self._identity.user_from(request.scope["headers"])
            if user is None or not self._identity.allows(request.scope["headers"]):
                raise Refused("unknown_session", "There is no such session.")
            after, wait = _place(request), _wait(request)
            await engine.authorise(session, user)
            stream = EventStream(engine, wait)
            stream.subscription = engine.subscribe(session, after, stream)
        except Refused as refusal:
            return refused(refusal, session)
        self._streams.add(stream)
        stream.when_over = lambda: self._streams.discard(stream)
        return stream


def refused(refusal: Refused, session: str = "", command: str = "") -> Response:
    """A refusal as a response: the frame, and the status that says about the same."""
    headers = dict(_HEADERS)
    if refusal.retry_after is not None:
        headers["Retry-After"] = f"{max(1, round(refusal.retry_after))}"
    line = native.encode_refusal(refusal, session, command)
    status = STATUS.get(refusal.code, 400)
    return Response(f"{line}\n", status, headers=headers, media_type="application/x-ndjson")


def _place(request: Request) -> int:
    """`Last-Event-ID` is newer than the address it was asked under."""
    for text in (request.headers.get("last-event-id"), request.query_params.get("after")):
        if text:
            if text.isascii() and text.isdigit() and int(text[:20]) <= _NO_PLACE:
                return int(text[:20])
            raise Refused("invalid", "A place is the number of a record.")
    return 0


def _wait(request: Request) -> float | None:
    text = request.query_params.get("wait")
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_WAIT)
    raise Refused("invalid", "`wait` is a number of seconds.")


class Answers:
    """Takes the frames of one request, in their order, and gathers what they are answered."""

    def __init__(self, engine: Engine, identity: Identity, user: str | None) -> None:
        self._engine = engine
        self._identity = identity
        self._user = user
        self._loop = asyncio.get_running_loop()
        self._lines: list[asyncio.Future[str]] = []
        self.status = 200

    async def all(self) -> list[str]:
        return [await line for line in self._lines]

    async def take(self, frame: ClientFrame | Refused) -> None:
        try:
            match frame:
                case Refused():
                    raise frame
                case HelloFrame():
                    self._say(self._greet(frame))
                case KeysFrame():
                    user = self._known()
                    self._engine.keys.keep(user, frame.env)
                    self._say(native.encode_keys(self._engine.keys.of(user)))
                case PingFrame():
                    self._say(native.PONG)
                case AttachFrame() | DetachFrame():
                    raise Refused("invalid", "Here a session is followed by GET …/events.")
                case OpenFrame():
                    accepted = await open_for(self._engine, frame, self._known())
                    self._say(native.encode_ack(accepted.session, frame.id, accepted.seq))
                case _:
                    command = command_of(self._engine, frame)
                    line = self._line()

                    def done(outcome: Accepted | Refused) -> None:
                        self._tell(line, frame.session, command.id, outcome)

                    self._engine.submit(frame.session, self._known(), command, done)
        except Refused as refusal:
            session, command_id = getattr(frame, "session", ""), getattr(frame, "id", "")
            self._tell(self._line(), session, command_id, refusal)

    def _greet(self, frame: HelloFrame) -> str:
        if native.VERSION not in frame.versions:
            raise Refused("unsupported_version", f"This server speaks version {native.VERSION}.")
        token = ""
        if self._user is None:
            user = self._identity.user_of(frame.resume) if frame.resume else None
            self._user = user or self._identity.new_user()
            token = self._identity.token(self._user)
        self._engine.keys.keep(self._user, frame.env)
        return native.encode_hello(self._user, self._engine.settings.limits, token)

    def _known(self) -> str:
        if self._user is None:
            raise Refused("invalid", "Say hello first, and bring the token that it gives you.")
        return self._user

    def _line(self) -> asyncio.Future[str]:
        line: asyncio.Future[str] = self._loop.create_future()
        self._lines.append(line)
        return line

    def _say(self, words: str) -> None:
        self._line().set_result(words)

    def _tell(
        self, line: asyncio.Future[str], session: str, command: str, outcome: Accepted | Refused
    ) -> None:
        if line.done():
            return  # whoever asked has gone
        if isinstance(outcome, Refused):
            self.status = STATUS.get(outcome.code, 400)
            line.set_result(native.encode_refusal(outcome, session, command))
        else:
            line.set_result(
                native.encode_ack(session, command, outcome.seq, repeated=outcome.repeated)
            )


class EventStream(Response):
    """A session's frames as server-sent events (an engine `Listener`, and the response).

    Each `records` frame has the seq of its last record as its id. With `wait` it ends once
    something was told, or after so many seconds: for clients behind a proxy that keeps streams.
    """

    hello = "retry: 1000\n\n"
    """What is sent first."""
    beat = f"data: {native.PONG}\n\n"
    """What a silent stream says now and then."""

    def __init__(self, engine: Engine, wait: float | None) -> None:
        super().__init__(headers=_HEADERS, media_type="text/event-stream")
        del self.headers["content-length"]
        self.subscription: Subscription
        self.when_over: Callable[[], None] = lambda: None
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._wait = wait
        self._limit = engine.settings.limits.listener_bytes
        self._outbox: list[str] = []
        self._waiting = 0
        self._sending = False
        self._told = False
        self._wrote = False
        self._ends = False
        self._deadline: float | None = None
        self._news = asyncio.Event()
        self._drained = asyncio.Event()

    # -- the engine's listener --------------------------------------------------------------

    def commit(self, commit: Commit) -> None:
        frame = commit.encoded.get(native)
        if frame is None:
            frame = commit.encoded[native] = native.encode_records(
                commit.session, commit.first, commit.at, commit.events, commit.data
            )
        self._told = True
        self.put(f"id: {commit.last}\ndata: {frame}\n\n")

    def delta(self, session: str, delta: Delta) -> None:
        self._wrote = True
        self.put(f"data: {native.encode_delta(session, delta)}\n\n")

    def live(self, session: str, seq: int) -> None:
        self.put(f"data: {native.encode_live(session, seq)}\n\n")

    def ended(self, session: str, refusal: Refused) -> None:
        self.put(f"data: {native.encode_refusal(refusal, session)}\n\n")
        self.end()

    def end(self) -> None:
        """Nothing more comes; what is in the outbox is sent."""
        self._ends = True
        self._news.set()

    def put(self, event: str) -> None:
        """Have an event sent, or end the stream where too much waits already."""
        if self._ends:
            return
        # What one turn of the loop brings is bounded by others; slow is who does not take it.
        self._waiting += len(event) if self._sending else 0
        if self._waiting > self._limit:
            # What is missing is read after its place when it returns.
            self._outbox.clear()
            self.end()
            return
        self._outbox.append(event)
        self._news.set()
        if self._deadline is not None:
            self._deadline = min(self._deadline, self._loop.time() + _GATHER_SECONDS)

    async def _pause(self) -> None:
        if self._outbox or self._sending:
            self._drained.clear()
            await self._drained.wait()

    # -- the response -----------------------------------------------------------------------

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        tasks: list[asyncio.Task[None]] = []
        try:
            start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            await send(start)
            await send(_body(self.hello))
            tasks += map(self._loop.create_task, (self._catch_up(), self._watch(receive)))
            await self._write(send)
            await send(_body("", more=False))
        except OSError:
            pass  # the client has gone
        finally:
            self._ends = True
            self._engine.unsubscribe(self.subscription)
            self.when_over()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _write(self, send: Send) -> None:
        while True:
            await self._wait_for_news()
            self._news.clear()
            events, self._outbox = "".join(self._outbox), []
            if events or not (self._ends or self._is_late()):
                self._sending, self._waiting = True, 0
                await send(_body(events or self.beat))
                self._sending = False
            if not self._outbox:
                self._drained.set()
                if self._ends or self._is_late():
                    return

    async def _wait_for_news(self) -> None:
        patience = BEAT_SECONDS
        if self._deadline is not None:
            patience = min(patience, max(0.0, self._deadline - self._loop.time()))
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._news.wait()

    def _is_late(self) -> bool:
        return self._deadline is not None and self._loop.time() >= self._deadline

    async def _catch_up(self) -> None:
        try:
            await self.subscription.catch_up(self._pause)
        except StoreError:
            session = self.subscription.session
            log.exception("the past of session %s could not be read", session[:8])
            refusal = Refused("unavailable", "The session could not be read; attach again.", 1.0)
            self.ended(session, refusal)
        if self._wait is not None:
            wait = 0.0 if self._told else self._wait
            wait = min(wait, _WRITING_SECONDS) if self._wrote else wait
            self._deadline = self._loop.time() + wait
            self._news.set()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._outbox.clear()
        self.end()


def _body(text: str, *, more: bool = True) -> MutableMapping[str, Any]:
    return {"type": "http.response.body", "body": text.encode(), "more_body": more}
